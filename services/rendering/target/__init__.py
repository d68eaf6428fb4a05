"""What each cluster should have and what it has been given."""
