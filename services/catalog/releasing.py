"""The routes of releases: publish, list, read, and the manifests as they were uploaded."""

from __future__ import annotations

import asyncio
import heapq
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import Request, Response
from fastapi.responses import JSONResponse

from libs.commands.intents import etag
from libs.commands.proposals import Proposal
from libs.contracts import stream_id
from libs.contracts.absent import Absent
from libs.contracts.names import nearest
from libs.contracts.problems import not_found
from libs.kinds.categories import PLACES
from libs.web.bodies import read_document
from libs.web.intents import flag, intent_of
from libs.web.paging import page_answer, page_of
from libs.web.positions import POSITION_HEADER, wanted_position
from libs.web.router import respond, unwrapped
from services.catalog import checking
from services.catalog.checking import Surroundings, surroundings
from services.catalog.domain import releases
from services.catalog.publishing import CompiledRelease, compiled_release, read_upload

if TYPE_CHECKING:
    from libs.commands.commands import Commands
    from libs.contracts import ApplicationDeclared
    from libs.fleet import Fleet
    from services.catalog.events import ReleasePublished

RELEASE_VERSION = 1
"""A release's stream holds one event: what was published."""
READ = (*PLACES, "application", "release", "choices", "placementpolicy", "withheld")
"""What publishing reads from other services."""


class Releases:
    """The handlers of releases."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    async def publish(self, request: Request, application: str, version: str) -> Response:
        """Publish a version: 201; 204 if it was published with this very content."""
        value, body = await read_document(request)
        document, assume = unwrapped(value)
        intent = intent_of(request, body, assume=assume)
        releases.check_release_version(version)
        upload = read_upload(document)
        stream = stream_id("release", f"{application}/{version}")
        strict = flag(request, "strict")
        known: dict[tuple[str, tuple[str, ...], Surroundings], CompiledRelease] = {}

        async def propose(facts: Fleet) -> Proposal:
            namespace = _application(facts, application).namespace
            published = facts.releases.get((application, version))
            if published and (published.digest, published.namespace) == (upload.digest, namespace):
                # Not compiled again: the namespace, or this server, may allow less since.
                intent.check_version(RELEASE_VERSION, exists=True)
                return Proposal(expected={stream: RELEASE_VERSION}, guards=READ, stream=stream, version=RELEASE_VERSION)
            allow = facts.namespaces[namespace].allow
            meets = surroundings(facts, application, allow)
            key = (namespace, tuple(allow), meets)
            if key not in known:
                known[key] = await compiled_release(upload, version, facts, application, meets)
            published = facts.releases.get((application, version))
            intent.check_version(RELEASE_VERSION if published else 0, exists=published is not None)
            command = known[key].command(application, version, intent.actor, self._commands.clock())
            events = releases.decide(command, published or Absent(), facts)
            checking.refuse(known[key].checked, strict=strict)
            return Proposal(
                events=[(stream, event) for event in events],
                expected={stream: RELEASE_VERSION if published else 0},
                guards=READ,
                blobs=known[key].blobs(),
                status=201,
                body={
                    "result": "created",
                    "digest": upload.digest,
                    "warnings": [*releases.warnings(command, facts), *checking.warnings(known[key].checked)]
                    if events
                    else [],
                },
                stream=stream,
                version=RELEASE_VERSION if published else 0,
            )

        return respond(await self._commands.change(propose, intent))

    async def list(
        self, request: Request, response: Response, application: str, limit: str = "100", cursor: str = ""
    ) -> dict[str, Any]:
        """Return a page of an application's releases in the order of their versions' text."""
        del limit, cursor  # declared for the schema; page_of reads them
        page = page_of(request)
        facts = await self._facts(request)
        _application(facts, application)
        later = (version for version in _versions(facts, application) if version > page.after)
        found = heapq.nsmallest(page.limit + 1, later)
        more = len(found) > page.limit
        found = found[: page.limit]
        response.headers[POSITION_HEADER] = str(self._commands.facts.position)
        items = [_release(facts, facts.releases[application, version]) for version in found]
        return page_answer(request, response, items, found[-1] if more else None)

    async def count(self, request: Request, response: Response, application: str) -> dict[str, int]:
        """Return how many releases an application has."""
        facts = await self._facts(request)
        _application(facts, application)
        response.headers[POSITION_HEADER] = str(self._commands.facts.position)
        return {"count": len(_versions(facts, application))}

    async def get(self, request: Request, application: str, version: str) -> Response:
        """Return a release with its schema and defaults."""
        facts = await self._facts(request)
        published = _published(facts, application, version)
        bodies = {"schema": published.schema, "defaults": published.defaults}
        said = {name: None if digest is None else await self._json(facts, digest) for name, digest in bodies.items()}
        headers = {"ETag": etag(RELEASE_VERSION), POSITION_HEADER: str(self._commands.facts.position)}
        return JSONResponse({**_release(facts, published), **said}, headers=headers)

    async def manifests(self, request: Request, application: str, version: str) -> Response:
        """Return the manifests as they were uploaded."""
        facts = await self._facts(request)
        published = _published(facts, application, version)
        body = await asyncio.to_thread(facts.blob, published.manifests)
        headers = {"ETag": etag(RELEASE_VERSION), POSITION_HEADER: str(self._commands.facts.position)}
        return Response(body or b"", media_type="application/yaml", headers=headers)

    @staticmethod
    async def _json(facts: Fleet, digest: str) -> Any:
        body = await asyncio.to_thread(facts.blob, digest)
        return None if body is None else msgspec.json.decode(body)

    async def _facts(self, request: Request) -> Fleet:
        commands = self._commands
        await commands.positions.seen(wanted_position(request), commands.facts, commands.view)
        return commands.facts.fleet


def _application(facts: Fleet, name: str) -> ApplicationDeclared:
    declared = facts.applications.get(name)
    if declared is None:
        raise not_found("application", name, nearest(name, facts.applications))
    return declared


def _versions(facts: Fleet, application: str) -> list[str]:
    return [version for each, version in facts.releases if each == application]


def _published(facts: Fleet, application: str, version: str) -> ReleasePublished:
    _application(facts, application)
    published = facts.releases.get((application, version))
    if published is None:
        raise not_found("release", version, nearest(version, _versions(facts, application)))
    return published


def _release(facts: Fleet, published: ReleasePublished) -> dict[str, Any]:
    fact = facts.facts["release", f"{published.application}/{published.version}"]
    return {
        "application": published.application,
        "version": published.version,
        "namespace": published.namespace,
        "digest": published.digest,
        "images": published.images,
        "objects": [
            {"apiVersion": each.api_version, "kind": each.kind, "namespace": each.namespace, "name": each.name}
            for each in published.objects
        ],
        "published_at": fact.at.isoformat(),
        "published_by": fact.actor,
        "position": fact.position,
    }
