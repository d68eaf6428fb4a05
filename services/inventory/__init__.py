"""Inventory decides what exists: stores, their clusters, labels and opening hours."""
