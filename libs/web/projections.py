"""The views of a process over HTTP: their progress, and rebuilds.

Answers about a rebuild come from the view's database, so that any replica can give them; the replica that was asked
runs it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import structlog
from fastapi import APIRouter, Request, Response

from libs.bus import Feed, ViewConsumer
from libs.bus.alone import RebuildRunning
from libs.bus.faults import passing
from libs.bus.rebuild import Progress, RebuildFailed, rebuild, rebuild_progress
from libs.contracts.names import nearest
from libs.contracts.problems import Problem, not_found, unavailable
from libs.eventlog import EventLog
from libs.web.auth import requires

_LOOK_SECONDS = 2.0
"""How often a view that has stopped looks whether it was rebuilt, here or by another replica."""

log = structlog.get_logger("resedge.web")


class Projections:
    """The views of one process: their routes, the rebuilds that it carries out, and going on after one."""

    def __init__(self, event_log: EventLog, views: Iterable[ViewConsumer]) -> None:
        """Take the views that this process feeds."""
        self._log = event_log
        self._views = {view.name: view for view in views}
        self._rebuilds: set[asyncio.Task[None]] = set()
        self._watch: asyncio.Task[None] | None = None
        self.router = APIRouter(tags=["projections"])
        self._add("GET", "/v1/projections", self.list_projections, "list", 200)
        self._add("GET", "/v1/projections/{name}", self.read_projection, "read", 200)
        self._add("POST", "/v1/projections/{name}:rebuild", self.rebuild_projection, "rebuild", 202)

    def start(self, feed: Feed) -> None:
        """Watch for views that have stopped and are rebuilt."""
        self._watch = asyncio.create_task(self._resume_rebuilt(feed))

    async def stop(self) -> None:
        """Give up what is being built; the next rebuild drops it."""
        tasks = [*self._rebuilds, *([] if self._watch is None else [self._watch])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def list_projections(self) -> dict[str, list[Progress]]:
        """List the projections of this service."""
        return {"items": [await self._told(view) for _, view in sorted(self._views.items())]}

    async def read_projection(self, name: str) -> Progress:
        """Tell how far a projection is, and the generation that is built beside it."""
        return await self._told(self._named(name))

    async def rebuild_projection(self, name: str, request: Request, response: Response) -> Progress:
        """Begin to rebuild a projection from the log; it is swapped in when it has caught up."""
        view = self._named(name)
        begun: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._carry_out(view, begun, request.state.principal.name))
        self._rebuilds.add(task)
        task.add_done_callback(self._rebuilds.discard)
        generation = await begun
        response.headers["Location"] = f"/v1/projections/{name}"
        return replace(await self._told(view), generation=generation)

    def _add(self, method: str, path: str, endpoint: Callable[..., Any], verb: str, status: int) -> None:
        self.router.add_api_route(
            path,
            endpoint,
            methods=[method],
            status_code=status,
            operation_id=f"{verb}-projection{'s' if verb == 'list' else ''}",
            dependencies=[requires(verb, "Projection")],
        )

    async def _carry_out(self, view: ViewConsumer, begun: asyncio.Future[int], actor: str) -> None:
        def begin(generation: int) -> None:
            log.info("rebuild begun", projection=view.name, generation=generation, actor=actor)
            begun.set_result(generation)

        try:
            swapped = await rebuild(view, self._log, begin)
        except RebuildRunning:
            begun.set_exception(_running(view.name))
        except Exception as error:
            if begun.done():
                log.warning("rebuild failed", projection=view.name, reason=str(error), exc_info=error)
            else:
                begun.set_exception(_unanswered(view) if isinstance(error, RebuildFailed) or passing(error) else error)
        else:
            log.info("rebuilt", projection=view.name, position=swapped.position)
        finally:
            begun.cancel()

    async def _told(self, view: ViewConsumer) -> Progress:
        try:
            return await rebuild_progress(view, self._log)
        except Exception as error:
            if passing(error):
                raise _unanswered(view) from error
            raise

    def _named(self, name: str) -> ViewConsumer:
        view = self._views.get(name)
        if view is None:
            raise not_found("projection", name, nearest(name, self._views))
        return view

    async def _resume_rebuilt(self, feed: Feed) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for name in [state.name for state in feed.states() if state.stopped]:
                view = self._views.get(name)
                if view is not None and await _was_moved(view):
                    log.info("goes on after a rebuild", projection=name)
                    feed.resume(name)


async def _was_moved(view: ViewConsumer) -> bool:
    """Tell whether a stopped view's checkpoint is another one than it left."""
    with contextlib.suppress(Exception):  # its database does not answer: look again later
        kept = await view.kept()
        return kept is not None and kept != view.stored
    return False


def _unanswered(view: ViewConsumer) -> Problem:
    return unavailable(f"the database of {view.name} does not answer")


def _running(name: str) -> Problem:
    return Problem(
        409,
        "rebuild-running",
        "The projection is already being rebuilt.",
        f"{name} is being rebuilt",
        fix=f"wait for it: GET /v1/projections/{name}",
    )
