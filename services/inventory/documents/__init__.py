"""Store documents: parsed into commands, and rendered from events.

Documents are validated here, once, so that an event never holds an invalid time zone, hour, label or quantity.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from libs.commands.kinds import Make
from libs.contracts.names import check_labels, check_name
from libs.contracts.quantities import check_capacity
from libs.contracts.refusals import Invalid
from libs.fleet import Fleet
from libs.kubernetes import check_kubernetes_version
from libs.web.schema import Spec, document_of, event_of, read_as
from services.inventory.documents.hours import EXCEPTIONS_MAX, HOURS_MAX, HoursItem, check_items, hours_items
from services.inventory.documents.zones import check_zone
from services.inventory.domain import Command, DeclareStore
from services.inventory.events import ClusterSpec, StoreDeclared

CLUSTERS_MAX = 200


class ClusterItem(Spec):
    """A cluster of the store."""

    name: str
    labels: dict[str, Any] = Field(default_factory=dict)
    capacity: dict[str, Any] = Field(default_factory=dict)
    kubernetes: str = ""


class StoreSpec(Spec):
    """The fields of a store besides name and labels; without `clusters` it has one, with its own name."""

    timezone: str
    hours: list[HoursItem] = Field(default_factory=list, max_length=HOURS_MAX + EXCEPTIONS_MAX)
    clusters: list[ClusterItem] | None = Field(default=None, max_length=CLUSTERS_MAX)


def _cluster(item: ClusterItem, index: int) -> ClusterSpec:
    pointer = f"/spec/clusters/{index}"
    said = {name: getattr(item, name) for name in ClusterItem.model_fields}
    checked = {
        "name": check_name(item.name, f"{pointer}/name"),
        "labels": check_labels(item.labels, f"{pointer}/labels"),
        "capacity": check_capacity(item.capacity, f"{pointer}/capacity"),
        "kubernetes": check_kubernetes_version(item.kubernetes, f"{pointer}/kubernetes"),
    }
    return ClusterSpec(**said | checked)


def parse_store(document: Any, name: str | None) -> tuple[str, Make[Command]]:
    """Return a store's name and what makes the command that declares it.

    Raises:
        Invalid: the document does not fit.
    """
    read = read_as(document, kind="Store", spec=StoreSpec, name=name)
    zone = check_zone(read.spec.timezone)
    hours = check_items(read.spec.hours)
    if read.spec.clusters is None:
        clusters = [ClusterSpec(read.name)]
    else:
        clusters = [_cluster(item, index) for index, item in enumerate(read.spec.clusters)]
    seen: set[str] = set()
    for index, cluster in enumerate(clusters):
        if cluster.name in seen:
            raise Invalid(f"cluster {cluster.name} is listed twice", pointer=f"/spec/clusters/{index}/name")
        seen.add(cluster.name)
    store = event_of(
        StoreDeclared,
        read,
        timezone=zone,
        hours=list(hours.regular),
        clusters=clusters,
        exceptions=list(hours.exceptions),
    )

    def make(actor: str, at: datetime) -> DeclareStore:
        return DeclareStore(store, actor, at)

    return read.name, make


def store_document(event: StoreDeclared, _facts: Fleet) -> dict[str, Any]:
    """Return the document of a store; declaring it again changes nothing."""
    document = document_of("Store", event, StoreSpec, hours=hours_items(event), clusters=())
    # Written even if empty: a document without `clusters` means one with the store's own name.
    document["spec"]["clusters"] = [cluster_item(each) for each in event.clusters]
    return document


def cluster_item(cluster: ClusterSpec) -> dict[str, Any]:
    """Return a cluster as its store's document lists it."""
    return {name: said for name in ClusterItem.model_fields if (said := getattr(cluster, name))}
