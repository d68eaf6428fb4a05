"""Checks of Kubernetes objects: whether API servers accept them, before a store's Flux tries.

Schemas of several minor versions are in `packs` (see its NOTICE.md); everything here is a function of them and of the
objects, without I/O besides reading a pack once.
"""

from libs.kubernetes.crds import kinds_of, registered_kind
from libs.kubernetes.findings import SLOT, Demand, Finding, FindingsReport, OpenSlot, Relation
from libs.kubernetes.immutable import immutable_changes
from libs.kubernetes.relations import RELATION_RULES as RELATIONS
from libs.kubernetes.release import Manifest, check_objects, missing_apis
from libs.kubernetes.reserved import ignored_as
from libs.kubernetes.scalars import value_problem
from libs.kubernetes.schemas import check_kubernetes_version, minor_of, minors, newest

__all__ = [
    "RELATIONS",
    "SLOT",
    "Demand",
    "Finding",
    "FindingsReport",
    "Manifest",
    "OpenSlot",
    "Relation",
    "check_kubernetes_version",
    "check_objects",
    "ignored_as",
    "immutable_changes",
    "kinds_of",
    "minor_of",
    "minors",
    "missing_apis",
    "newest",
    "registered_kind",
    "value_problem",
]
