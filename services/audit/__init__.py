"""Audit shows what happened: it reads the log for people, and verifies it."""
