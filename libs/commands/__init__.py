"""How a change is decided and appended: kinds, intents, proposals, the documents view."""
