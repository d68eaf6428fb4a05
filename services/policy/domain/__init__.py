"""The deciders of policy: one file per kind."""
