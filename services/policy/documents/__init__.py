"""The documents of policy, one module for each kind or two: parsed into commands, and rendered from events.

A rendered document, declared again, changes nothing; empty fields are left out.
"""
