"""Every route of the composed application by every role and every bad token; a route without a row fails.

The table says in roles' words which right a route asks for; it is written by hand, so that a route whose rule changes
fails here until somebody has read what that means.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from fastapi.routing import APIRoute

from cli.embedded import SERVICES
from libs.contracts import RoleBindingDeclared, RoleDeclared, RoleRule, RoleSubject, encode, type_name
from libs.eventlog import NewEvent, Submission
from libs.runtime.embedded import Embedded
from libs.runtime.wiring import Wiring
from tests.architecture.test_architecture_routes import all_routes
from tests.flow.conftest import Server
from tests.support.tokens import REASONS, bad_tokens, issuing, local_token

if TYPE_CHECKING:
    from pathlib import Path

    from httpx2 import AsyncClient, Response

OPEN = ("GET /livez", "GET /readyz")
ONESELF = (
    "GET /v1/whoami",
    "GET /v1/kinds",
    "GET /v1/can-i",
    "POST /v1/approvals/{approval}/withdraw",
    "DELETE /v1/tokens/{token}",
)
"""For everybody whose token is accepted: these act on what is the caller's own, or refuse by themselves."""

DECLARED = {
    "stores": "Store",
    "groups": "Group",
    "namespaces": "Namespace",
    "applications": "Application",
    "configurations": "Configuration",
    "roles": "Role",
    "rolebindings": "RoleBinding",
    "signoffs": "SignOff",
    "calendars": "Calendar",
    "freezes": "Freeze",
    "placementpolicies": "PlacementPolicy",
    "sources": "Source",
}
ROWS = """
GET /metrics get Metrics
GET /openapi.json get Schema
POST /v1/documents apply Document
POST /v1/documents:decide decide Document
GET /v1/projections get Projection
GET /v1/projections/{name} get Projection
POST /v1/projections/{name}:rebuild rebuild Projection
POST /v1/stores:import apply Store
POST /v1/stores:label apply Store
GET /v1/clusters:count get Cluster
GET /v1/clusters get Cluster
GET /v1/clusters/{name} get Cluster
GET /v1/clusters/{name}/explain get Cluster
DELETE /v1/clusters/{name} delete Cluster
GET /v1/groups/{path:path}:members get Group
GET /v1/groups/{path:path}:count get Group
PUT /v1/applications/{application}/releases/{version:path} publish Release
GET /v1/applications/{application}/releases:count get Release
GET /v1/applications/{application}/releases get Release
GET /v1/applications/{application}/releases/{version} get Release
GET /v1/applications/{application}/releases/{version}/manifests get Release
GET /v1/applications/{application}/release-choices get ReleaseChoices
PUT /v1/applications/{application}/release-choices choose ReleaseChoices
POST /v1/applications/{application}/release-choices:set choose ReleaseChoices
POST /v1/applications/{application}/release-choices:unset choose ReleaseChoices
GET /v1/configurations:resolve get Configuration
GET /v1/overrides get Override
POST /v1/overrides request Override
GET /v1/overrides/{override} get Override
POST /v1/overrides/{override}/revoke request Override
GET /v1/approvals get Approval
GET /v1/approvals/{approval} get Approval
POST /v1/approvals/{approval}/grant approve Approval
POST /v1/approvals/{approval}/refuse approve Approval
GET /v1/tokens get Token
POST /v1/tokens issue Token
GET /v1/withheld get Policy
GET /v1/withheld/{change} get Policy
POST /v1/withheld/{change}/confirm policy:affect Policy
GET /v1/windows get Window
GET /v1/clusters/{name}/why get Placement
GET /v1/refusals get Refusal
GET /v1/blocked get Blocked
GET /v1/holds get Hold
POST /v1/holds/{plan}/confirm confirm Hold
GET /v1/rendering get Rendering
GET /v1/rendering:preview get Release
GET /v1/rendering:settled get Rendering
POST /v1/rendering:verify verify Rendering
GET /v1/remotes get Remote
POST /v1/gitops:restore restore Branch
POST /v1/gitops:upgrade-layout upgrade Branch
GET /v1/retired-clusters get RetiredCluster
DELETE /v1/retired-clusters/{name} delete RetiredCluster
GET /v1/events get Event
GET /v1/events:export get Event
GET /v1/audit get Audit
POST /v1/log:verify verify Log
POST /v1/events send ExternalEvent
GET /v1/inbox get ExternalEvent
GET /v1/dead-letters get DeadLetter
GET /v1/dead-letters/{letter} get DeadLetter
POST /v1/dead-letters/{letter}:retry retry DeadLetter
POST /v1/dead-letters/{letter}:skip skip DeadLetter
"""


def table() -> dict[str, tuple[str, str]]:
    """Return `METHOD path` → (verb, kind)."""
    rows = {}
    for line in ROWS.strip().splitlines():
        method, path, verb, kind = line.split()
        rows[f"{method} {path}"] = (verb, kind)
    for plural, kind in DECLARED.items():
        one = f"/v1/{plural}/{{name}}" if plural == "sources" else f"/v1/{plural}/{{name:path}}"
        rows |= {f"GET /v1/{plural}:count": ("get", kind), f"GET /v1/{plural}": ("get", kind)}
        rows |= {f"PUT {one}": ("apply", kind), f"GET {one}": ("get", kind), f"DELETE {one}": ("delete", kind)}
    return rows


TABLE = table()
OF_THE_RELAY = "POST /v1/documents:decide"
"""Its role alone may, whatever verbs another one has."""
QUERIES = {"POST /v1/rendering:verify": "all=perhaps", "GET /v1/rendering:settled": "timeout_seconds=x"}
"""What would take long is asked in a way that is refused once the right was found (422)."""

ROLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "admin": (("*",), ("*",)),
    "viewer": (("get",), ("*",)),
    "source": (("send",), ("*",)),
    "relay": (("get", "apply", "delete", "publish", "decide"), ("*",)),
    "team": (("get", "apply", "delete", "choose", "publish"), ("Application", "Configuration", "Release")),
    "operator": (("approve", "request", "policy:affect"), ("*",)),
    "nobody": ((), ()),
    "late": ((), ()),
    "orphan": ((), ()),
    "impostor": ((), ()),
    "grouped": (("*",), ("Freeze",)),
    "robot": (("get",), ("*",)),
}
"""Who asks → what they may: file tokens with built-in roles, then people and a service account of the log."""


def expected(who: str, row: str) -> bool:
    verbs, kinds = ROLES[who]
    if row in ONESELF:
        return True
    if row == OF_THE_RELAY:
        return who == "relay"
    verb, kind = TABLE[row]
    named = kind in kinds or "*" in kinds or (kind == "Document" and bool(kinds))
    return named and (verb in verbs or "*" in verbs)


def rule(who: str) -> RoleRule:
    verbs, kinds = ROLES[who]
    return RoleRule(list(verbs), list(kinds))


def declared(embedded: Embedded) -> None:
    """Put roles and bindings into the log; those that must give nothing would give everything if they counted."""
    everything = RoleRule(["*"], ["*"])
    events: list[tuple[str, Any]] = [
        ("role-team", RoleDeclared("team", [rule("team")])),
        ("role-operator", RoleDeclared("operator", [rule("operator")])),
        ("role-freezer", RoleDeclared("freezer", [rule("grouped")])),
        ("role-all", RoleDeclared("all", [everything])),
        ("rolebinding-team", RoleBindingDeclared("team", "team", [RoleSubject(user="team")], clusters="none")),
        ("rolebinding-operator", RoleBindingDeclared("operator", "operator", [RoleSubject(user="operator")])),
        ("rolebinding-orphan", RoleBindingDeclared("orphan", "gone", [RoleSubject(user="orphan")])),
        ("rolebinding-relays", RoleBindingDeclared("relays", "relay", [RoleSubject(user="orphan")])),
        ("rolebinding-impostor", RoleBindingDeclared("impostor", "all", [RoleSubject(service_account="impostor")])),
        ("rolebinding-person", RoleBindingDeclared("person", "all", [RoleSubject(user="robot")])),
        ("rolebinding-freezer", RoleBindingDeclared("freezer", "freezer", [RoleSubject(group="ops")])),
        ("rolebinding-robot", RoleBindingDeclared("robot", "viewer", [RoleSubject(service_account="robot")])),
    ]
    ended = embedded.log.read_recorded(0)[0].at
    late = RoleBindingDeclared("late", "all", [RoleSubject(user="late")], expires=ended)
    events.append(("rolebinding-late", late))
    embedded.log.append(Submission([NewEvent(s, type_name(e), encode(e)) for s, e in events], actor="admin"))


def tokens_of(embedded: Embedded) -> dict[str, str]:
    found = {role: embedded.tokens.issue(role, frozenset({role})) for role in ("admin", "viewer", "source", "relay")}
    for who in ("team", "operator", "nobody", "late", "orphan", "impostor"):
        found[who] = local_token(embedded.log, who, id=f"t-{who}")
    found["grouped"] = local_token(embedded.log, "grouped", id="t-grouped", groups=["ops"])
    found["robot"] = local_token(embedded.log, "robot", id="t-robot", service_account=True)
    return found


async def ask(client: AsyncClient, row: str) -> Response:
    method, path = row.split(" ", 1)
    for parameter in (
        "{name:path}",
        "{path:path}",
        "{version:path}",
        "{name}",
        "{application}",
        "{version}",
        "{letter}",
        "{plan}",
    ):
        path = path.replace(parameter, "nothing")
    for parameter in ("{override}", "{approval}", "{token}", "{change}"):
        path = path.replace(parameter, "nothing")
    query = QUERIES.get(row)
    return await client.request(method, path if query is None else f"{path}?{query}")


async def test_every_route_asks_for_its_right_and_every_bad_token_is_refused(tmp_path: Path) -> None:
    with issuing() as issuer:
        embedded = Embedded(tmp_path / "data", SERVICES, wiring=Wiring(provider=issuer.provider))
        async with embedded.running() as app, AsyncExitStack() as stack:
            rows = [
                f"{method} {route.path}"
                for route in all_routes(app.routes)
                if isinstance(route, APIRoute)
                for method in sorted(route.methods or ())
            ]
            assert sorted(rows) == sorted([*TABLE, *OPEN, *ONESELF])
            tokens = tokens_of(embedded)
            declared(embedded)
            bad = bad_tokens(issuer, embedded)
            assert bad.keys() == REASONS.keys()
            await embedded.settled()
            server = Server(embedded, None, "")  # type: ignore[arg-type]  # no client is used
            wrong = []
            for who, token in tokens.items():
                client = await stack.enter_async_context(server.client_for(token))
                for row in (*TABLE, *ONESELF):
                    status = (await ask(client, row)).status_code
                    fits = status not in {401, 403} if expected(who, row) else status == 403
                    # Others' tokens are not one's own: that route refuses by itself.
                    if not fits and not (row == ONESELF[-1] and status == 403):
                        wrong.append(f"{who}: {row} answers {status}")
            for name, token_or_none in bad.items():
                client = await stack.enter_async_context(server.client_for(token_or_none))
                wrong += [f"{name}: {row}" for row in rows if row not in OPEN and not await _refused(client, row)]
            assert wrong == []


async def _refused(client: AsyncClient, row: str) -> bool:
    return (await ask(client, row)).status_code == 401
