"""What inventory publishes: a store as it is now, or that it is gone."""

from libs.contracts import ClusterSpec, HoursException, OpeningHours, StoreDeclared, StoreRemoved

__all__ = ["ClusterSpec", "HoursException", "OpeningHours", "StoreDeclared", "StoreRemoved"]
