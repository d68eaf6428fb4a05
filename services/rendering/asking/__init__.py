"""Answers about decisions: why, what is blocked, the branch as of a position, verification."""
