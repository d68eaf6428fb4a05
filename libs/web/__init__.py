"""How the services speak HTTP: problem documents, tokens, idempotency, conditional requests, paging, declared kinds."""
