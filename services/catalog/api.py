"""The routes of the catalog: namespaces, applications, configurations. Those of releases and choices are beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from libs.commands.kinds import DeclaredKind
from libs.commands.proposals import Proposal
from libs.contracts import stream_id
from libs.contracts.names import nearest
from libs.contracts.problems import not_found
from libs.kinds import BY_DOCUMENT
from libs.web.auth import requires
from libs.web.bodies import parse_json, read_body
from libs.web.intents import intent_of
from libs.web.openapi import YAML, answers, body_of
from libs.web.positions import POSITION_HEADER, wanted_position
from libs.web.router import declared_router, respond
from libs.web.schema import document_model
from services.catalog.choosing import ChoicesSpec, ReleaseChoices, SetSpec, UnsetSpec
from services.catalog.documents import (
    ApplicationSpec,
    ConfigurationSpec,
    NamespaceSpec,
    application_document,
    configuration_document,
    namespace_document,
    parse_application,
    parse_configuration,
    parse_namespace,
)
from services.catalog.domain import applications, configurations, namespaces
from services.catalog.events import (
    ApplicationDeclared,
    ApplicationRemoved,
    ConfigurationDeclared,
    ConfigurationRemoved,
    NamespaceDeclared,
    NamespaceRemoved,
    ReleaseChoicesSet,
)
from services.catalog.publishing import ReleaseSpec
from services.catalog.releasing import Releases

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyroaring import BitMap

    from libs.commands.commands import Commands
    from libs.fleet import Fleet

NAMED = "/v1/applications/{name:path}"


def namespaces_on(facts: Fleet, clusters: BitMap) -> Iterable[str]:
    """Return the namespaces that one of `clusters` has."""
    return (name for name in facts.namespaces if not facts.selection.namespace_members(name).isdisjoint(clusters))


def applications_on(facts: Fleet, clusters: BitMap) -> Iterable[str]:
    """Return the applications that are placed on one of `clusters`."""
    return (name for name in facts.applications if not facts.placed(name).isdisjoint(clusters))


def configurations_on(facts: Fleet, clusters: BitMap) -> Iterable[str]:
    """Return the configurations whose expression selects one of `clusters`."""
    saved = facts.selection.saved
    return (name for name in facts.configurations if not saved(("configuration", name)).isdisjoint(clusters))


NAMESPACE: DeclaredKind[namespaces.Command, namespaces.State] = DeclaredKind(
    registered=BY_DOCUMENT["Namespace"],
    declared=NamespaceDeclared,
    removed=NamespaceRemoved,
    parse=parse_namespace,
    remove=namespaces.RemoveNamespace,
    decide=namespaces.decide,
    to_document=namespace_document,
    besides=("release", "withheld"),  # what is placed against the law
    warnings=namespaces.warnings,
    clusters_to_names=namespaces_on,
    schema=document_model("Namespace", NamespaceSpec, "name").model_json_schema(),
)

APPLICATION: DeclaredKind[applications.Command, applications.State] = DeclaredKind(
    registered=BY_DOCUMENT["Application"],
    declared=ApplicationDeclared,
    removed=ApplicationRemoved,
    parse=parse_application,
    remove=applications.RemoveApplication,
    decide=applications.decide,
    to_document=application_document,
    besides=("application", "release", "choices", "withheld"),  # what it runs, and law
    warnings=applications.warnings,
    clusters_to_names=applications_on,
    schema=document_model("Application", ApplicationSpec, "name").model_json_schema(),
)

CONFIGURATION: DeclaredKind[configurations.Command, configurations.State] = DeclaredKind(
    registered=BY_DOCUMENT["Configuration"],
    declared=ConfigurationDeclared,
    removed=ConfigurationRemoved,
    parse=parse_configuration,
    remove=configurations.RemoveConfiguration,
    decide=configurations.decide,
    to_document=configuration_document,
    besides=("configuration", "release", "choices", "placementpolicy", "withheld"),  # its rank, and values in force
    clusters_to_names=configurations_on,
    schema=document_model("Configuration", ConfigurationSpec, "name").model_json_schema(),
)


class Catalog:
    """Routes of the catalog besides those of documents."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    async def remove_application(self, request: Request, name: str, reason: str = "") -> Response:
        """Remove an application, and with it its release choices: both, or neither."""
        del reason  # declared for the schema; intent_of reads it
        body = await read_body(request)
        intent = intent_of(request, body, assume=parse_json(body).get("assume") if body else None)

        def make(actor: str, at: Any) -> applications.Command:
            return applications.RemoveApplication(name, actor, at)

        async def propose(facts: Fleet) -> Proposal:
            proposal = await self._commands.propose(APPLICATION, name, make, intent, facts, removing=True)
            # The guard covers the choices' stream: nobody has changed it since it was read.
            return replace(proposal, events=[(_stream(stream, event), event) for stream, event in proposal.events])

        return respond(await self._commands.change(propose, intent))

    async def resolve(self, request: Request, cluster: str, application: str) -> Response:
        """Return an application's values on one cluster, and which layer gave each of them."""
        commands = self._commands
        await commands.positions.seen(wanted_position(request), commands.facts, commands.view)
        facts = commands.facts.fleet
        ordinal = facts.selection.ordinal(cluster)
        if ordinal is None:
            raise not_found("cluster", cluster)
        resolved = facts.resolve(application, ordinal)
        if resolved is None:
            raise not_found("application", application, nearest(application, facts.applications))
        answer = {
            "cluster": cluster,
            "application": application,
            "release": facts.release_on(application, ordinal),
            "values": resolved.merged.values,
            "origins": resolved.merged.origins,
            "layers": list(resolved.layers),
            "conflicts": [{"key": each.key, "layers": list(each.layers)} for each in resolved.conflicts],
            "problems": list(resolved.problems),
        }
        return JSONResponse(answer, headers={POSITION_HEADER: str(commands.facts.position)})


def _stream(stream: str, event: Any) -> str:
    return stream_id("choices", event.application) if isinstance(event, ReleaseChoicesSet) else stream


BODIES = (ReleaseSpec, ChoicesSpec, SetSpec, UnsetSpec)


def catalog_router(commands: Commands) -> APIRouter:
    """Return all routes of the catalog; those below an application first, since a name takes the rest of its URL."""
    router = APIRouter()
    catalog, releases, choices = Catalog(commands), Releases(commands), ReleaseChoices(commands)

    def add(method: str, path: str, handler: Any, verb: str, kind: str, operation_id: str, **more: Any) -> None:
        router.add_api_route(
            path,
            handler,
            methods=[method],
            dependencies=[requires(verb, kind)],
            operation_id=operation_id,
            response_model=None,
            tags=["applications" if "applications" in path else "configurations"],
            **more,
        )

    one = "/v1/applications/{application}"
    release, choose, put, unset = ({"openapi_extra": body_of(each)} for each in BODIES)
    yaml = {"responses": answers(200, media=(YAML,))}
    add("PUT", one + "/releases/{version:path}", releases.publish, "publish", "Release", "publish_release", **release)
    add("GET", one + "/releases:count", releases.count, "count", "Release", "count_releases")
    add("GET", one + "/releases", releases.list, "list", "Release", "list_releases")
    add("GET", one + "/releases/{version}", releases.get, "read", "Release", "read_release")
    add("GET", one + "/releases/{version}/manifests", releases.manifests, "read", "Release", "read_manifests", **yaml)
    add("GET", one + "/release-choices", choices.get, "read", "ReleaseChoices", "read_choices")
    add("PUT", one + "/release-choices", choices.put, "choose", "ReleaseChoices", "put_choices", **choose)
    add("POST", one + "/release-choices:set", choices.set, "choose", "ReleaseChoices", "set_release", **put)
    add("POST", one + "/release-choices:unset", choices.unset, "choose", "ReleaseChoices", "unset_release", **unset)
    add("DELETE", NAMED, catalog.remove_application, "remove", "Application", "remove_application")
    add("GET", "/v1/configurations:resolve", catalog.resolve, "read", "Configuration", "resolve_configuration")
    router.include_router(declared_router(NAMESPACE, commands))
    router.include_router(declared_router(APPLICATION, commands, without=("remove",)))
    router.include_router(declared_router(CONFIGURATION, commands))
    return router
