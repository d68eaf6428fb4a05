"""What a fleet remembers so as not to count it again is what counting gives, on forks and after a restore too."""

from __future__ import annotations

import random

import numpy as np
import pytest

from libs.contracts import (
    ApplicationDeclared,
    ClusterSpec,
    ConfigurationDeclared,
    ConfigurationRemoved,
    Event,
    NamespaceDeclared,
    NamespaceRemoved,
    StoreDeclared,
    StoreRemoved,
)
from libs.contracts.quantities import milli
from libs.fleet import Fleet, ordinals, rank
from libs.fleet.snapshots import dump_fleet, load_fleet

SPACES, APPLICATIONS, STORES, LAYERS = 4, 6, 12, 14


def change(chance: random.Random) -> Event:
    store, layer, space = chance.randrange(STORES), chance.randrange(LAYERS), chance.randrange(SPACES)
    match chance.randrange(7):
        case 0:
            return StoreRemoved(f"s{store}")
        case 1 | 2:
            labels: dict[str, str | list[str]] = {"size": chance.choice("abc")}
            return StoreDeclared(f"s{store}", "UTC", labels, clusters=[ClusterSpec(f"s{store}")])
        case 3:
            return ConfigurationRemoved(f"c{layer}")
        case 4 | 5:
            applications = sorted({f"a{chance.randrange(APPLICATIONS)}" for _ in range(chance.randrange(3))})
            named = None if applications or chance.random() < 0.5 else f"n{space}"
            return ConfigurationDeclared(
                name=f"c{layer}",
                expression="/c/*",
                applications=applications,
                namespace=named,
                priority=chance.randrange(2),
                values={"key": chance.randrange(3)},
            )
        case _:
            if chance.random() < 0.2:
                return NamespaceRemoved(f"n{space}")
            capacity = {"cpu": f"{chance.randrange(1, 4)}00m"} if chance.random() < 0.8 else {}
            expression = f"size = {chance.choice('abc')}"
            return NamespaceDeclared(name=f"n{space}", expression=expression, capacity=capacity)


def check(fleet: Fleet) -> None:
    for each in fleet.configurations.values():
        peers = [
            other
            for _, other in sorted(fleet.configurations.items())
            if other.name != each.name
            and (rank(other), other.namespace) == (rank(each), each.namespace)
            and (not each.applications or set(each.applications) & set(other.applications))
        ]
        assert fleet.peers(each) == peers
    for without in (None, "n0", "n9"):
        total = np.zeros(fleet.selection.size, np.int64)
        for name, space in fleet.namespaces.items():
            if name != without and "cpu" in space.capacity:
                total[ordinals(fleet.selection.saved(("in", name)))] += milli(space.capacity["cpu"])
        assert fleet.taken("cpu", without=without).tolist() == total.tolist()


@pytest.mark.parametrize("seed", range(20))
def test_peers_and_capacity_are_those_of_the_facts(seed: int) -> None:
    chance, fleet = random.Random(seed), Fleet()
    for name in range(APPLICATIONS):
        fleet.assume(ApplicationDeclared(name=f"a{name}", namespace=f"n{name % SPACES}"))
    for step in range(120):
        if step % 3 == 0:
            check(fleet)
        if step % 10 == 9:
            fork = fleet.fork()
            for _ in range(4):
                fork.assume(change(chance))
                check(fork)
            check(fleet)
        if step == 60:
            restored = Fleet()
            load_fleet(restored, dump_fleet(fleet))
            fleet = restored
        fleet.assume(change(chance))
    check(fleet)
