"""Audit publishes nothing: it reads every service's events as they are."""
