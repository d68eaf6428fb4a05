"""Shared building blocks; never import services."""
