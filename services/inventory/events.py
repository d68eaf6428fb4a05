"""The events of inventory, as published for every other service."""

from libs.contracts import ClusterSpec, HoursException, OpeningHours, StoreDeclared, StoreRemoved

__all__ = ["ClusterSpec", "HoursException", "OpeningHours", "StoreDeclared", "StoreRemoved"]
