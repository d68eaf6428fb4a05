"""Identity and rights: principals, tokens, roles, bindings, and whether a change is within its author's rights."""
