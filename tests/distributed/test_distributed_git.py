"""A renderer that dies of SIGKILL at each step of a Git write; the branch goes on where the log says that it is."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.clients import Clients
from tests.support.drills import chance, die_at, seed, shuffled
from tests.support.rendered import check_branch, declare
from tests.support.system import System

WRITE = (
    "rendering.decided",
    "gittree.before-pack",
    "gittree.pack-written",
    "gittree.pack-fsynced",
    "gittree.pack-renamed",
    "gittree.ref-locked",
    "gittree.ref-written",
    "gittree.ref-renamed",
    "rendering.moved",
    "rendering.recorded",
)
MAINTENANCE = ("gittree.packs-merged", "gittree.indexes-removed")


def test_a_renderer_killed_at_each_step_of_a_write(make_system: Callable[..., System]) -> None:
    """SIGKILL when decided, at each step of the pack, of the branch, of the record, and of merging packs."""
    chances, system = chance(), make_system(RESEDGE_RENDERING_MAINTAIN_EVERY_COMMITS="1")
    system.start("relay", "inventory", "catalog")
    with Clients(system, seed=seed(), pause_seconds=0.2) as clients:
        clients.more(5)
        declare(system)  # a saved expression must select something
        for point in [*shuffled(chances, WRITE), *shuffled(chances, MAINTENANCE)]:
            nth = chances.randint(1, 3) if point in WRITE else 1
            die_at(system, "rendering", f"{point}:{nth}")
        system.start("rendering")
        clients.more(5)
    system.check()
    clients.check()
    check_branch(system)
