"""How a change is decided and appended: kinds, intents, proposals, and the documents view."""
