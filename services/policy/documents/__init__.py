"""The documents of policy, a module for each kind or two: read into commands, and rendered from what was declared.

The one rule: what a document renders, declared again, changes nothing; fields that say nothing are left out.
"""
