"""What relay decides: which sources there are, what an external event means, what becomes of a dead letter."""
