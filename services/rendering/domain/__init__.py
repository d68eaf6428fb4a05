"""What rendering decides of itself: the fuse and the branch."""
