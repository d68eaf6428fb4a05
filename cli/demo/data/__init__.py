"""Data that the demo ships; see ATTRIBUTION.md for where it comes from."""
