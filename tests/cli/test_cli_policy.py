"""The commands of policy against the real server on a virtual clock: override, approve, issue, ask, confirm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.cells import store_time
from cli.durations import duration_of, duration_seconds
from cli.errors import UsageProblem
from tests.cli.cli_machine import Machine
from tests.cli.cli_server import Answer, FakeServer, changed
from tests.cli.conftest import Resedge
from tests.support.waiting import until

AT = "2026-11-27T12:00:00-06:00"
STORES = "name,timezone,state\n" + "".join(f"tx-{i:02},America/Chicago,{'ut' if i < 15 else 'tx'}\n" for i in range(20))
FLEET = """
kind: Namespace
metadata: {name: pos}
spec: {expression: /c/*}
---
kind: Application
metadata: {name: lottery}
spec: {namespace: pos}
---
kind: Role
metadata: {name: operations}
spec: {rules: [{verbs: [get, approve, request], kinds: ["*"]}]}
---
kind: RoleBinding
metadata: {name: everywhere}
spec: {role: operations, subjects: [{user: ana}, {user: bob}, {user: carl}], clusters: /c/*}
---
kind: SignOff
metadata: {name: freeze-override}
spec: {stages: [{roles: [operations], quorum: 2}]}
---
kind: Calendar
metadata: {name: night}
spec: {clusters: state = tx, windows: [{days: [sat], from: "01:00", to: "05:00"}]}
"""
FREEZE = """
kind: Freeze
metadata: {name: black-friday}
spec: {from: "2026-11-27T00:00", until: "2026-12-01T00:00", at: store, clusters: /c/*, new_clusters: hold,
  reason: Black Friday, owner: operations, signoff: freeze-override}
"""
LAW = """
kind: PlacementPolicy
metadata: {name: no-lottery-in-utah}
spec: {forbid: {applications: [lottery]}, clusters: state = ut, basis: Utah Code 76-10-1102, enforcement: immediate}
"""
MANIFEST = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: lottery}\ndata: {store: '${edge.store.name}'}\n"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A fleet on Black Friday with one application admitted everywhere before its freeze was declared."""
    machine = Machine(tmp_path_factory.mktemp("policy"))
    (machine.home / "stores.csv").write_text(STORES)
    (machine.home / "lottery").mkdir()
    (machine.home / "lottery" / "lottery.yaml").write_text(MANIFEST)
    with machine.up("--at", AT):
        machine.ok("import", "stores", str(machine.home / "stores.csv"))
        machine.ok("apply", "-f", "-", stdin=FLEET)
        for version in ("1", "2"):
            machine.ok("publish", "lottery", version, str(machine.home / "lottery"))
        machine.ok("set-release", "lottery", "1")
        machine.ok("wait", "--for=rendered")
        yield machine


def token_of(shop: Machine, user: str) -> str:
    ran = shop.resedge("token", "create", "--user", user, "--for", "8h", "--reason", "the night shift")
    assert ran.code == 0, ran.err
    assert f"of {user} expires at 2026-11-28T" in ran.err
    return ran.out.strip()


def soon(shop: Machine, *arguments: str) -> str:
    """Read until there is something: only what one wrote oneself is waited for by the server."""
    return until(lambda: shop.ok(*arguments))


def test_a_freeze_is_overridden_by_two_people_and_the_override_ended(shop: Machine) -> None:
    ana, bob = token_of(shop, "ana"), token_of(shop, "bob")
    shop.ok("apply", "-f", "-", stdin=FREEZE)
    asked = shop.resedge(
        *("override", "request", "--freeze", "black-friday", "-l", "/c/tx-03", "--application", "lottery"),
        *("--for", "4h", "--reason", "a broken menu", "--ticket", "OPS-1", "--token", token_of(shop, "carl")),
    )
    assert asked.code == 0, asked.err
    override = asked.out.strip()
    assert len(override.split()) == 1
    assert "needs 2 of operations" in asked.err
    (approval,) = soon(shop, "get", "approvals", "--mine", "--token", ana, "-o", "name").split()

    first = shop.resedge("approval", "grant", approval, "--reason", "seen", "--token", ana)
    assert (first.code, first.out) == (0, f"{approval} granted\n")
    assert "needs 1 of operations" in first.err
    assert shop.ok("get", "approvals", "--mine", "--token", ana, "-o", "name") == ""
    assert shop.ok("approval", "grant", approval, "--reason", "seen", "--token", bob) == f"{approval} approved\n"
    shown = json.loads(shop.ok("get", "override", override, "-o", "json", "--token", bob))
    assert (shown["state"], shown["people"], shown["minutes"]) == ("active", ["ana", "bob"], 240)

    assert shop.ok("override", "revoke", override, "--reason", "done") == f"override/{override} revoked\n"
    assert shop.ok("get", "overrides", "--state", "revoked", "-o", "name") == f"override/{override}\n"
    assert "black-friday" in shop.ok("get", "overrides")


def test_glass_is_broken_by_who_may_and_loudly(shop: Machine) -> None:
    shop.ok("apply", "-f", "-", stdin=FREEZE)
    request = ("override", "request", "--freeze", "black-friday", "--reason", "fire", "--break-glass")
    ran = shop.resedge(*request, "--for", "1h")

    assert ran.code == 0, ran.err
    assert "break-glass" in ran.err
    assert "break-glass" in shop.ok("get", "override", ran.out.strip())
    assert shop.resedge(*request, "--for", "5h").code == 2
    assert shop.resedge(*request, "--for", "1h", "--token", token_of(shop, "bob")).code == 4


def test_a_refused_request_is_over(shop: Machine) -> None:
    ana = token_of(shop, "ana")
    shop.ok("apply", "-f", "-", stdin=FREEZE)
    asked = ("override", "request", "--freeze", "black-friday", "--for", "90m", "--reason", "why not", "-o", "json")
    approval = json.loads(shop.ok(*asked, "--token", token_of(shop, "carl")))["approval"]

    assert shop.ok("approval", "refuse", approval, "--reason", "no", "--token", ana) == f"approval/{approval} refused\n"
    assert shop.resedge("approval", "grant", approval, "--reason", "yes", "--token", ana).code == 3
    assert shop.resedge("approval", "grant", "no-such", "--reason", "yes").code == 5


def test_what_one_may_is_answered_with_yes_and_no(shop: Machine) -> None:
    bob = token_of(shop, "bob")
    for words, code in (
        (["approve", "Override"], 0),
        (["approve", "overrides", "-l", "/c/tx-03"], 0),
        (["apply", "freezes"], 1),
        (["aply", "Freeze"], 2),
    ):
        ran = shop.resedge("auth", "can-i", *words, "--token", bob)
        assert (ran.code, ran.out) == (code, {0: "yes\n", 1: "no\n"}.get(code, "")), ran.err


def test_a_revoked_token_is_listed_and_not_accepted(shop: Machine) -> None:
    dora = token_of(shop, "dora")
    (token,) = [each for each in json.loads(shop.ok("get", "tokens", "-o", "json"))["items"] if each["user"] == "dora"]

    assert shop.ok("token", "revoke", token["id"], "--reason", "gone") == f"token/{token['id']} revoked\n"
    assert shop.resedge("auth", "whoami", "--token", dora).code == 4


def test_windows_are_told_on_the_stores_own_clock(shop: Machine) -> None:
    table = shop.ok("get", "windows", "-l", "state = tx", "--from", AT, "--to", "2026-12-06T00:00:00-06:00")

    assert "America/Chicago" in table
    assert "Sat 2026-11-28 01:00 to 05:00 -06:00; Sat 2026-12-05 01:00 to 05:00 -06:00" in table
    assert shop.resedge("get", "windows", "--from", "soon").code == 2


def test_what_a_freeze_keeps_back_is_listed(shop: Machine) -> None:
    shop.ok("apply", "-f", "-", stdin=FREEZE)
    for plan in shop.ok("get", "overrides", "--state", "active", "-o", "name").split():
        shop.ok("override", "revoke", plan, "--reason", "over")
    shop.ok("set-release", "lottery", "2", "-l", "/c/tx-19")
    shop.ok("wait", "--for=rendered")

    items = json.loads(shop.ok("get", "blocked", "-l", "/c/tx-19", "-o", "json"))["items"]
    assert ("freeze", "lottery", 1) in [(each["gate"], each["application"], each["count"]) for each in items]
    assert shop.ok("get", "withheld", "-o", "name") == ""


def test_law_that_removes_much_is_held_and_confirmed_with_the_documents(shop: Machine) -> None:
    first = shop.resedge("apply", "-f", "-", "--confirm", "0" * 16, stdin=LAW)
    assert (first.code, first.out) == (3, "placementpolicy/no-lottery-in-utah created\n"), first.err
    (hold,) = shop.ok("get", "holds", "-o", "name").split()
    assert hold.removeprefix("hold/") in first.err

    assert shop.ok("apply", "-f", "-", "--confirm", hold, "--reason", "the law", stdin=LAW).splitlines() == [
        "placementpolicy/no-lottery-in-utah unchanged",
        f"{hold} confirmed",
    ]
    shop.ok("wait", "--for=rendered")
    assert shop.ok("get", "holds", "-o", "name") == ""
    again = shop.resedge("apply", "-f", "-", "--confirm", hold, stdin=LAW)
    assert (again.code, "nothing is held" in again.err) == (0, True)


@pytest.mark.parametrize(
    "words",
    [
        ["override", "request", "--for", "4h", "--reason", "x"],
        ["override", "request", "--freeze", "a", "--for", "4h"],
        ["override", "request", "--freeze", "a", "--for", "4 hours", "--reason", "x"],
        ["override", "revoke", "ab12"],
        ["approval", "grant", "ab12"],
        ["token", "create", "--user", "ana"],
        ["token", "revoke", "ab12", "--reason", " "],
        ["confirm", "withheld", "ab12"],
        ["confirm", "tokens", "ab12", "--reason", "x"],
        ["get", "stores", "--mine"],
        ["get", "tokens", "-l", "/c/*"],
        ["apply", "-f", "-", "--dry-run", "--confirm", "ab12"],
    ],
)
def test_what_cannot_be_meant_sends_nothing(resedge: Resedge, server: FakeServer, words: list[str]) -> None:
    ran = resedge(*words)

    assert (ran.code, ran.out, server.asked) == (2, "", [])


def test_a_withheld_change_is_confirmed_beside_a_plan(resedge: Resedge, server: FakeServer) -> None:
    server.on("POST", "/v1/.*", changed("confirmed", 7))

    assert resedge("confirm", "withheld", "ab12", "--reason", "looked at").out == "withheld/ab12 confirmed\n"
    assert resedge("confirm", "hold/ab12").out == "hold/ab12 confirmed\n"
    assert [asked.path for asked in server.asked] == ["/v1/withheld/ab12/confirm", "/v1/holds/ab12/confirm"]


def test_what_an_approval_needs_may_be_unreadable(resedge: Resedge, server: FakeServer) -> None:
    server.on("POST", "/v1/overrides", Answer(201, {"result": "requested", "id": "o1", "approval": "a1"}))
    ran = resedge("override", "request", "--calendar", "night", "--for", "2d", "--reason", "x", "-o", "text")

    assert (ran.code, ran.out) == (0, "override/o1 requested\n")
    assert ran.err == "next: resedge approval grant a1 --reason TEXT\n"
    assert server.asked[0].json["minutes"] == 2880
    assert "expression" not in server.asked[0].json


def test_an_override_that_is_only_tried_has_no_id_to_write(resedge: Resedge, server: FakeServer) -> None:
    server.on("POST", "/v1/overrides", Answer(201, {"result": "requested", "id": "o1", "approval": "a1"}))
    ran = resedge("override", "request", "--calendar", "night", "--for", "2d", "--reason", "x", "--dry-run")

    assert (ran.code, ran.out) == (0, "override requested (dry run)\n")


@pytest.mark.parametrize(("text", "seconds"), [("4h", 14400), ("90m", 5400), ("2d", 172800), ("1h30m", 5400)])
def test_durations_are_read(text: str, seconds: float) -> None:
    assert duration_of(text, "--for") == seconds == duration_seconds(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [("4hours", ["4h"]), ("4 H", ["4h"]), ("2 days 3hrs", ["2d3h"]), ("4", ["4h", "4m"]), ("soon", []), ("4x", [])],
)
def test_a_mistyped_duration_is_told_with_what_was_meant(text: str, meant: list[str]) -> None:
    with pytest.raises(UsageProblem) as refused:
        duration_of(text, "--for")
    assert list(refused.value.nearest) == meant


def test_an_interval_over_a_night_of_changed_clocks_names_both_offsets() -> None:
    told = store_time("2026-10-31T22:00:00-05:00", "2026-11-01T06:00:00-06:00")
    assert told == "Sat 2026-10-31 22:00 -05:00 to Sun 2026-11-01 06:00 -06:00"


def test_help_names_every_kind_that_get_reads(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    assert "overrides, approvals, tokens, withheld, windows, blocked" in " ".join(machine.ok("get", "--help").split())
