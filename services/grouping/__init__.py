"""Grouping decides who belongs together: the groups of business hierarchies."""
