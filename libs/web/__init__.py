"""HTTP for services: problem documents, tokens, idempotency, conditional requests, paging, declared kinds."""
