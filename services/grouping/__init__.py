"""Decides who belongs together: the groups of business hierarchies."""
