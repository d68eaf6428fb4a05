"""What a renderer's model says, in names instead of codes, so that any two models can be compared."""

from __future__ import annotations

from typing import Any

from services.rendering.model import Model


def described(model: Model) -> dict[str, Any]:
    """Return all that is admitted, registered, held and confirmed, and where the branch stands."""
    name = model.fleet.selection.name
    return {
        "position": model.position,
        "hash": model.hash,
        "parent": model.parent,
        "clusters_tree": model.clusters_tree,
        "written_tree": model.written_tree,
        "must_commit": model.must_commit,
        "foreign": model.foreign,
        "held": model.fuse.parts,
        "confirmed": {
            plan: {key: sorted(map(name, clusters)) for key, clusters in left.items() if clusters}
            for plan, left in model.fuse.confirmed.items()
        },
        "accepted": sorted(model.fuse.accepted),
        "unconfirmed": model.fuse.unconfirmed,
        "registered": {name(ordinal): int(model.trees.layout.values[ordinal]) for ordinal in model.trees.registered},
        "layout": model.layout,
        "admissions": model.placements.admissions,
        "admitted": {
            key: {
                name(ordinal): (
                    model.placements.versions.names[int(placement.release.values[ordinal])],
                    placement.blob.values[ordinal].tobytes(),
                    int(placement.admission.values[ordinal]),
                )
                for ordinal in placement.admitted()
            }
            for key, placement in model.placements.by_key.items()
            if placement.admitted()
        },
        "trees": {
            namespace: {
                name(ordinal): (
                    model.trees.contents.names[int(tree.content.values[ordinal])],
                    tree.tree.values[ordinal].tobytes(),
                )
                for ordinal in range(model.size)
                if tree.present.values[ordinal]
            }
            for namespace, tree in model.trees.namespaces.items()
            if tree.present.values.any()
        },
        "clusters": {
            name(ordinal): (
                model.trees.flux.values[ordinal].tobytes(),
                model.trees.cluster.values[ordinal].tobytes(),
            )
            for ordinal in model.trees.registered
        },
    }


def targets(model: Model) -> dict[str, Any]:
    """Return what a planned model wants, refuses and waits for."""
    name = model.fleet.selection.name
    return {
        "wanted": {
            key: {
                name(ordinal): model.placements.versions.names[code]
                for ordinal, code in enumerate(placement.target_release.values[: model.size].tolist())
                if code
            }
            for key, placement in model.placements.by_key.items()
            if placement.target_release.values.any()
        },
        "pending": {
            key: sorted(map(name, placement.pending))
            for key, placement in model.placements.by_key.items()
            if placement.pending
        },
        "refused": {
            (each.key, each.code, each.detail): sorted(map(name, clusters))
            for each, clusters in model.placements.refusals.items()
        },
    }
