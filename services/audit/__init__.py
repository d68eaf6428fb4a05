"""Audit tells what happened: it reads the log to people, and verifies it."""
