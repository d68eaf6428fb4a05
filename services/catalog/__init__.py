"""Decides what can run: namespaces, applications, their releases and configuration, and which release runs where."""
