"""The events of groups, as published for every other service."""

from libs.contracts import GroupDeclared, GroupRemoved

__all__ = ["GroupDeclared", "GroupRemoved"]
