"""A store's Flux, as far as it matters here: what it applies, who owns it, and what it prunes when.

Taken from kustomize-controller: an apply marks each object with the name of its Kustomization; pruning, and deleting a
Kustomization, remove only objects of its inventory that bear its mark, and nothing where it is suspended or `prune` is
false. A Kustomization that is deleted while it prunes takes its objects with it.
"""

from __future__ import annotations

import random
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

BOOTSTRAP = "store.bootstrap"
Object = tuple[str, str, str]
"""Kind, namespace, name."""


@dataclass(slots=True)
class Kustomization:
    """One Kustomization of the cluster and what it applied last."""

    path: str
    prune: bool
    suspend: bool
    inventory: set[Object] = field(default_factory=set)


@dataclass(slots=True)
class Store:
    """One store's cluster. `objects` are there, each with the Kustomization that applied it last."""

    repository: Path
    directory: str
    draw: random.Random
    objects: dict[Object, str] = field(default_factory=dict)
    kustomizations: dict[str, Kustomization] = field(default_factory=dict)
    lost: list[Object] = field(default_factory=list)
    """Objects that were removed although the commit that was pulled has them."""
    _own: set[str] = field(default_factory=set)

    def pull(self, commit: str) -> None:
        """Reconcile everything on a commit, the Kustomizations of namespaces in any order, each twice."""
        files = self._files(commit)
        self._bootstrap(files)
        for _ in range(2):
            names = list(self.kustomizations)
            self.draw.shuffle(names)
            for name in names:
                self._reconcile(name, files)

    def _files(self, commit: str) -> dict[str, list[dict[str, Any]]]:
        """Return the objects of each directory below the store's."""
        listed = _git(self.repository, "ls-tree", "-r", "--name-only", commit, "--", self.directory).splitlines()
        found: dict[str, list[dict[str, Any]]] = {}
        for path in listed:
            directory, _, file = path.rpartition("/")
            inside = found.setdefault(directory, [])
            if file != "kustomization.yaml":
                text = _git(self.repository, "show", f"{commit}:{path}")
                inside += [each for each in yaml.safe_load_all(text) if each]
        return found

    def _bootstrap(self, files: dict[str, list[dict[str, Any]]]) -> None:
        wanted = {each["metadata"]["name"]: each["spec"] for each in files.get(f"{self.directory}/flux-system", [])}
        assert BOOTSTRAP not in wanted
        for name, spec in wanted.items():
            path, prune = spec["path"].removeprefix("./"), bool(spec["prune"])
            known = self.kustomizations.setdefault(name, Kustomization(path, prune, suspend=False))
            known.path, known.prune, known.suspend = path, prune, bool(spec.get("suspend"))
        for name in sorted(self._own - wanted.keys()):
            gone = self.kustomizations.pop(name)
            if gone.prune and not gone.suspend:
                self._remove(name, gone.inventory, files)
        self._own = set(wanted)

    def _reconcile(self, name: str, files: dict[str, list[dict[str, Any]]]) -> None:
        known = self.kustomizations[name]
        if known.suspend:
            return
        applied = {_identity(each) for each in files[known.path]}
        self.objects.update(dict.fromkeys(applied, name))
        if known.prune:
            self._remove(name, known.inventory - applied, files)
        known.inventory = applied

    def _remove(self, name: str, objects: set[Object], files: dict[str, list[dict[str, Any]]]) -> None:
        present = {_identity(each) for inside in files.values() for each in inside}
        for each in sorted(objects):
            if self.objects.get(each) == name and each[0] != "Namespace":  # ours are never pruned
                del self.objects[each]
                if each in present:
                    self.lost.append(each)

    def unowned(self) -> list[Object]:
        """Return the objects that no Kustomization would prune, were they to leave the tree; namespaces never are."""
        owned = {
            each
            for known in self.kustomizations.values()
            if known.prune and not known.suspend
            for each in known.inventory
        }
        return sorted(each for each in set(self.objects) - owned if each[0] != "Namespace")


def _identity(it: dict[str, Any]) -> Object:
    return it["kind"], it["metadata"].get("namespace", ""), it["metadata"]["name"]


def _git(repository: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "--git-dir", str(repository), *arguments], capture_output=True, text=True, check=True, timeout=60
    ).stdout
