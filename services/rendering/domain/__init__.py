"""The deciders of rendering: the fuse and the branch."""
