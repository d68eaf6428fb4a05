"""Answers about what was decided: why, what is blocked, the branch as of a position, verification."""
