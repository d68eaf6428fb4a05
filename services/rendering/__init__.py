"""Rendering decides what each cluster gets now, and writes it as commits that stores pull."""
