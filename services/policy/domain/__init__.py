"""The deciders of policy: one file a kind."""
