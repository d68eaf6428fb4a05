"""The routes of rendering: why, refusals, holds, status, what waits, and the confirmation of held plans."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pyroaring import BitMap

from libs.commands.commands import Commands
from libs.commands.positions import Positions
from libs.contracts.meaning import counted
from libs.contracts.names import nearest
from libs.contracts.problems import Problem, not_found, unavailable
from libs.web.auth import requires
from libs.web.bodies import read_body
from libs.web.intents import flag, intent_of
from libs.web.openapi import JSON, answers, taking
from libs.web.positions import POSITION_HEADER, wanted_position
from libs.web.router import respond, select
from libs.web.turns import Turn
from services.rendering.asking.apart import verify_apart
from services.rendering.asking.blocked import EXAMPLES_MAX, blocked
from services.rendering.asking.broken import VerificationBroken
from services.rendering.asking.outcome import asked_at, outcome
from services.rendering.asking.preview import previewed
from services.rendering.asking.why import Why
from services.rendering.branching import ANSWER, add_branch_routes, proposing, reason_of
from services.rendering.consumer import Rendering
from services.rendering.deciding.leaving import layouts_now
from services.rendering.deciding.requesting import awaited
from services.rendering.domain.fuse import Answerable, ConfirmRemovals, Hold, decide
from services.rendering.target.placements import split_key
from services.rendering.writing.layout import LAYOUTS

_WAIT_SECONDS_MAX = 600.0


class Routes:
    """The handlers; they read the model in the event loop and never change it."""

    def __init__(self, rendering: Rendering, commands: Commands, positions: Positions) -> None:
        self._rendering = rendering
        self._commands = commands
        self._positions = positions
        self._verifying = Turn("verification")

    async def why(self, request: Request, name: str, application: str) -> Response:
        """Return the gates between an application and a cluster, in order, with reasons and evidence."""
        await self._positions.seen(wanted_position(request), self._rendering)
        model = self._rendering.model
        ordinal = model.fleet.selection.ordinal_ever(name)
        if ordinal is None:
            raise not_found("cluster", name)
        if application not in model.fleet.applications:
            raise not_found("application", application, nearest(application, model.fleet.applications))
        reconciler = self._rendering.reconciler
        answer = Why(model, reconciler.hold, ordinal, application, reconciler.now()).answer()
        return JSONResponse(answer, headers={POSITION_HEADER: str(model.position)})

    async def refusals(
        self, request: Request, application: str | None = None, cluster: str | None = None
    ) -> dict[str, Any]:
        """Return the refusals: application, reason, the number of clusters and a few of them."""
        await self._positions.seen(wanted_position(request), self._rendering)
        model = self._rendering.model
        ordinal = None if cluster is None else model.fleet.selection.ordinal_ever(cluster)
        if cluster is not None and ordinal is None:
            raise not_found("cluster", cluster)
        items = []
        for refusal, clusters in sorted(
            model.placements.refusals.items(), key=lambda each: (each[0].key, each[0].code)
        ):
            namespace, owner = split_key(refusal.key)
            if application in {None, owner} and (ordinal is None or ordinal in clusters):
                items.append(
                    {
                        "application": owner,
                        "namespace": namespace,
                        "code": refusal.code,
                        "detail": refusal.detail,
                        "count": len(clusters),
                        "examples": self._names(clusters),
                    }
                )
        return {"items": items, "next": None}

    async def blocked(
        self, request: Request, where: str | None = None, application: str | None = None
    ) -> dict[str, Any]:
        """Return the waiting changes by gate, with the time until when: counts and a few clusters."""
        await self._positions.seen(wanted_position(request), self._rendering)
        model, reconciler = self._rendering.model, self._rendering.reconciler
        if application is not None and application not in model.fleet.applications:
            raise not_found("application", application, nearest(application, model.fleet.applications))
        within = None if where is None else select(model.fleet, where)
        items = blocked(model, reconciler.hold, reconciler.now(), within, application)
        return {"items": items, "next": None, "at": reconciler.now().isoformat(), "position": model.position}

    async def preview(self, request: Request, application: str, version: str, where: str) -> dict[str, Any]:
        """Return what a release would change on the clusters of `where`; on one cluster, its file too."""
        await self._positions.seen(wanted_position(request), self._rendering)
        model, fleet = self._rendering.model, self._rendering.model.fleet
        if application not in fleet.applications:
            raise not_found("application", application, nearest(application, fleet.applications))
        if (application, version) not in fleet.releases:
            known = [each for name, each in fleet.releases if name == application]
            raise not_found("release", f"{application} {version}", nearest(version, known))
        now = self._rendering.reconciler.now()
        return await previewed(model, application, version, select(fleet, where), now)

    async def holds(self, request: Request) -> dict[str, Any]:
        """Return the held removals."""
        await self._positions.seen(wanted_position(request), self._rendering)
        hold = self._rendering.reconciler.hold
        return {"items": [] if hold is None else [self._shown(hold)], "next": None}

    def _shown(self, hold: Hold) -> dict[str, Any]:
        everywhere = BitMap.union(BitMap(), hold.clusters, *hold.applications.values())
        return {
            "id": hold.plan,
            "count": hold.count,
            "admitted": hold.admitted,
            "share_percent": round(100 * hold.count / max(1, hold.admitted), 2),
            "recent": hold.recent,
            "cause": hold.cause,
            "applications": {split_key(key)[1]: len(clusters) for key, clusters in sorted(hold.applications.items())},
            "clusters_removed": len(hold.clusters),
            "examples": self._names(everywhere),
        }

    def _names(self, clusters: BitMap) -> list[str]:
        name = self._rendering.model.fleet.selection.name
        return [name(ordinal) for ordinal in islice(clusters, EXAMPLES_MAX)]

    async def confirm(self, request: Request, plan: str) -> Response:
        """Confirm a held plan; its id names exactly what it removes."""
        body = await read_body(request)
        branch = self._rendering.model.branch
        command = ConfirmRemovals(branch, plan, reason_of(body))
        propose = proposing(f"hold-{branch}", "confirmed", lambda: decide(command, self._answerable()))
        return respond(await self._commands.change(propose, intent_of(request, body)))

    def _answerable(self) -> Answerable:
        hold = self._rendering.reconciler.hold
        model = self._rendering.model
        missing = () if hold is None else tuple(awaited(model, hold))
        return Answerable("" if hold is None else hold.plan, model.fuse.confirmed.keys(), missing)

    async def status(self, request: Request) -> dict[str, Any]:
        """Return the status of rendering and its branch."""
        await self._positions.seen(wanted_position(request), self._rendering)
        model, reconciler = self._rendering.model, self._rendering.reconciler
        pending = sum(len(placement.pending) for placement in model.placements.by_key.values())
        written = reconciler.writer.written
        return {
            "position": model.position,
            "settled_position": reconciler.settled_position,
            "branch": model.branch,
            "repository": str(self._rendering.path),
            "commit": model.parent,
            "clusters": len(model.trees.registered & model.fleet.selection.everything),
            "retired": len(model.trees.registered - model.fleet.selection.everything),
            "placements": model.placements.admitted_count(),
            "pending": pending,
            "refused": sum(map(len, model.placements.refusals.values())),
            "held": 0 if reconciler.hold is None else reconciler.hold.count,
            "stopped": reconciler.stopped or None,
            "trouble": reconciler.trouble or None,
            "set_aside": dict(model.aside.shared),
            "remote": self._rendering.pushing.status or None,
            "layouts": {LAYOUTS[code].name: count for code, count in sorted(layouts_now(model).items())},
            "settling": reconciler.settling,
            "last": {
                "commit": written.commit,
                "files": written.files,
                "seconds": round(written.seconds, 3),
                "position": written.position,
            },
        }

    async def settled(
        self,
        request: Request,
        timeout_seconds: float = 60.0,
        counts: bool = False,
        application: str | None = None,
        asked: int = 0,
    ) -> dict[str, Any]:
        """Wait until everything up to a position is rendered, except changes that wait for a closed gate.

        With `counts` it answers how many placements are admitted, waiting and refused: of `application`, of those
        whose release choices were declared at the position `asked`, or of all.
        """
        position = wanted_position(request) or await self._head()
        reconciler = self._rendering.reconciler
        try:
            async with asyncio.timeout(max(0.0, min(timeout_seconds, _WAIT_SECONDS_MAX))):
                await reconciler.settled(position)
        except TimeoutError:
            detail = f"position {position} is not rendered yet; rendering is at {reconciler.settled_position}"
            count = reconciler.settling
            settling = f"{counted(count, 'removal')} must be wanted for a while first" if count else ""
            told = reconciler.stopped or reconciler.trouble or settling
            raise Problem(
                504,
                "timeout",
                "Rendering did not finish in time.",
                f"{detail}: {told}" if told else detail,
                fix="wait longer, or see GET /v1/rendering",
            ) from None
        written = reconciler.writer.written
        answer = {
            "position": reconciler.settled_position,
            "commit": self._rendering.model.parent,
            "files": written.files,
            "seconds": round(written.seconds, 3),
            **({"remote": remote} if (remote := self._rendering.pushing.item()) else {}),
        }
        return {**answer, "outcome": await self._outcome(application, asked)} if counts else answer

    async def _outcome(self, application: str | None, asked: int) -> dict[str, Any]:
        model, reconciler = self._rendering.model, self._rendering.reconciler
        if application is not None and application not in model.fleet.applications:
            raise not_found("application", application, nearest(application, model.fleet.applications))
        named = [application] if application is not None else asked_at(model, asked) or None
        return await outcome(model, reconciler.hold, reconciler.now(), named)

    async def remotes(self, request: Request) -> dict[str, Any]:
        """Return the remote that the branch is pushed to, how far it is behind, and why; nothing if none is set."""
        await self._positions.seen(wanted_position(request), self._rendering)
        item = self._rendering.pushing.item()
        return {"items": [] if item is None else [item], "next": None}

    async def _head(self) -> int:
        return await asyncio.to_thread(self._rendering.head_position)

    async def verify(self, request: Request) -> dict[str, Any]:
        """Fold the whole log in a new process and compare the branch with it; `all=true` compares every commit."""
        every_commit = flag(request, "all")
        try:
            with self._verifying.taken():
                checks = await verify_apart(self._rendering.log_url, self._rendering.path, every_commit=every_commit)
        except VerificationBroken as broken:
            raise _unfinished(broken) from broken
        if (remote := await self._rendering.pushing.compared()) is not None:
            checks = [*checks, remote]
        return {"ok": all(check["ok"] for check in checks), "checks": checks}


def _unfinished(broken: VerificationBroken) -> Problem:
    """Return the problem of a verification that could not be finished: the step, the place and the reason."""
    if broken.passing:
        return unavailable(f"the verification could not be finished: {broken}", fix="ask again")
    at = broken.at
    place = {"step": at.step, "position": at.position or None, "commit": at.commit or None}
    return Problem(
        500,
        "verification-broken",
        "The verification could not be finished.",
        str(broken),
        fix=broken.fix,
        extra={**place, "checks": broken.checks},
    )


def rendering_router(rendering: Rendering, commands: Commands, positions: Positions) -> APIRouter:
    """Return all routes of rendering."""
    router = APIRouter(tags=["rendering"])
    routes = Routes(rendering, commands, positions)

    def add(method: str, path: str, handler: Any, verb: str, kind: str, **more: Any) -> None:
        router.add_api_route(
            path,
            handler,
            methods=[method],
            dependencies=[requires(verb, kind)],
            operation_id=f"{verb}_{kind}".lower(),
            response_model=None,
            **more,
        )

    add("GET", "/v1/clusters/{name}/why", routes.why, "explain", "Placement")
    add("GET", "/v1/refusals", routes.refusals, "list", "Refusal")
    add("GET", "/v1/blocked", routes.blocked, "list", "Blocked")
    add("GET", "/v1/rendering:preview", routes.preview, "explain", "Release")
    add("GET", "/v1/holds", routes.holds, "list", "Hold")
    add(
        "POST",
        "/v1/holds/{plan}/confirm",
        routes.confirm,
        "confirm",
        "Hold",
        openapi_extra=taking({JSON: ANSWER}, required=False),
    )
    add("GET", "/v1/rendering", routes.status, "read", "Rendering")
    add("GET", "/v1/remotes", routes.remotes, "list", "Remote")
    add("GET", "/v1/rendering:settled", routes.settled, "explain", "Rendering")
    add("POST", "/v1/rendering:verify", routes.verify, "verify", "Rendering", responses=answers(200))
    add_branch_routes(add, rendering, commands, positions)
    return router
