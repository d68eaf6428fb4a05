"""Approvals over HTTP: who may vote on what, on the facts at the head of the log."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from httpx2 import AsyncClient

from libs.contracts import (
    ApplicationDeclared,
    ApprovalGranted,
    ApprovalRefused,
    ApprovalRequested,
    By,
    ClusterSpec,
    NamespaceDeclared,
    RoleBindingDeclared,
    RoleBindingRemoved,
    RoleSubject,
    SignOffStage,
    StoreDeclared,
    TokenIssued,
)
from libs.fleet import packed
from libs.runtime.embedded import Embedded
from services.catalog.app import build as catalog
from services.inventory.app import build as inventory
from services.policy.app import build as policy
from tests.flow.conftest import Server
from tests.policy.signoff_people import PEOPLE, WANTED, People, bound, people_of
from tests.policy.signoff_words import HOUR, NOW

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path


@pytest.fixture
async def people(fleet: Server) -> People:
    return await people_of(fleet)


async def run(people: People, name: str, **more: Any) -> str:
    """Let a run be requested as rendering does it."""
    facts = people.server.embedded.facts.fleet
    said: dict[str, Any] = {
        "id": name,
        "kind": "change",
        "subject": "lottery",
        "digest": "d1",
        "signoff": "content",
        "stages": [SignOffStage(["operations"], 1)],
        "expires_at": people.server.embedded.log.head().recorded_at + HOUR,
        "clusters": packed(facts.selection.everything),
        "items": {"release 1.2": "r1"},
        **more,
    }
    await people.recorded((f"approval-{name}", ApprovalRequested(**said)))
    return name


async def vote(people: People, person: str, approval: str, how: str = "grant", **body: Any) -> tuple[int, str]:
    answer = await people.post(person, f"/v1/approvals/{approval}/{how}", {"reason": "seen", **body})
    if answer.status_code == 204:
        return 204, ""
    return answer.status_code, answer.json().get("result") or answer.json()["code"]


async def test_a_binding_has_to_cover_all_clusters_of_the_subject(people: People) -> None:
    change = await run(people, "a-1")

    assert await vote(people, "ben", change) == (409, "not-an-approver")
    assert await vote(people, "una", change) == (409, "not-an-approver")
    assert await vote(people, "ana", change) == (200, "approved")


async def test_bindings_of_one_person_cover_them_together(people: People) -> None:
    await people.recorded(
        ("rolebinding-ben-ut", RoleBindingDeclared("ben-ut", "operations", [RoleSubject(user="ben")], "state = ut"))
    )

    assert await vote(people, "ben", await run(people, "a-1")) == (200, "approved")


async def test_a_binding_to_namespaces_covers_their_applications_only(people: People) -> None:
    subject = [RoleSubject(user="nat")]
    other = RoleBindingDeclared("nat", "operations", subject, namespaces=["other"])
    await people.recorded(("rolebinding-nat", other))
    change, hold = await run(people, "a-1"), await run(people, "a-2", kind="hold", subject="plan")

    assert await vote(people, "nat", change) == (409, "not-an-approver")
    await people.recorded(
        ("rolebinding-nat", RoleBindingDeclared("nat", "operations", subject, namespaces=["pos"])),
    )
    assert await vote(people, "nat", change) == (200, "approved")
    assert await vote(people, "nat", hold) == (409, "not-an-approver")


async def test_an_override_of_two_namespaces_needs_a_binding_to_both(people: People) -> None:
    await people.recorded(
        ("namespace-signs", NamespaceDeclared("signs", "/c/*")),
        ("application-boards", ApplicationDeclared("boards", "signs")),
    )
    both = {**WANTED, "applications": ["boards", "lottery"]}
    approval = (await people.post("rita", "/v1/overrides", both)).json()["approval"]

    async def bind(*namespaces: str) -> None:
        subject = [RoleSubject(user="nat")]
        binding = RoleBindingDeclared("nat", "release-manager", subject, namespaces=list(namespaces))
        await people.recorded(("rolebinding-nat", binding))

    await bind("pos")
    assert await vote(people, "nat", approval) == (409, "not-an-approver")
    await bind("pos", "signs")
    assert await vote(people, "nat", approval) == (200, "granted")


async def test_a_binding_that_has_expired_gives_no_vote(people: People) -> None:
    ended = people.server.embedded.log.head().recorded_at
    await people.recorded(
        ("rolebinding-ana", RoleBindingDeclared("ana", "operations", [RoleSubject(user="ana")], expires=ended)),
        ("rolebinding-reader", RoleBindingDeclared("reader", "release-manager", [RoleSubject(user="ana")])),
    )

    assert await vote(people, "ana", await run(people, "a-1")) == (409, "not-an-approver")


async def test_a_role_that_was_taken_away_just_now_gives_no_vote(people: People) -> None:
    change = await run(people, "a-1")
    await people.recorded(
        ("rolebinding-reader", RoleBindingDeclared("reader", "release-manager", [RoleSubject(user="ana")]))
    )

    await people.elsewhere(("rolebinding-ana", RoleBindingRemoved("ana")))

    assert await vote(people, "ana", change) == (409, "not-an-approver")


async def test_a_run_that_was_refused_elsewhere_just_now_takes_no_vote(people: People) -> None:
    change = await run(people, "a-1")

    await people.elsewhere((f"approval-{change}", ApprovalRefused(change, "d1", "no", By("mia"))))

    assert await vote(people, "ana", change) == (409, "approval-over")


async def test_a_quorum_that_was_reached_elsewhere_just_now_is_not_reached_again(people: People) -> None:
    change = await run(people, "a-1", stages=[SignOffStage(["operations"], 2)])
    first = ApprovalGranted(change, "d1", 0, "operations", By("bea"))
    await people.recorded(bound("bea", "operations", "bea"))

    await people.elsewhere((f"approval-{change}", first))

    assert await vote(people, "ana", change) == (200, "approved")
    (done,) = await people.events("ApprovalCompleted")
    assert done.people == ["ana", "bea"]


async def test_of_votes_that_race_as_many_count_as_are_needed(people: People) -> None:
    await people.recorded(
        *(
            (f"rolebinding-{name}", RoleBindingDeclared(name, "operations", [RoleSubject(user=name)]))
            for name in ("r1", "r2", "r3", "r4")
        )
    )
    change = await run(people, "a-1", stages=[SignOffStage(["operations"], 3)])

    said = await asyncio.gather(*(vote(people, name, change) for name in ("r1", "r2", "r3", "r4")))

    assert sorted(said) == [(200, "approved"), (200, "granted"), (200, "granted"), (409, "approval-over")]
    assert len(await people.events("ApprovalCompleted")) == 1


async def test_one_person_with_two_tokens_is_one_vote(people: People) -> None:
    change = await run(people, "a-1", stages=[SignOffStage(["operations"], 2)])
    issued = [await people.post("admin", "/v1/tokens", {"user": "ana"}) for _ in range(2)]
    clients = [people.server.client_for(each.json()["token"]) for each in issued]

    said = [await each.post(f"/v1/approvals/{change}/grant", json={}) for each in clients]

    assert [each.status_code for each in said] == [200, 204]
    assert (await people.get("ana", f"/v1/approvals/{change}"))["state"] == "running"


async def test_who_made_a_token_for_the_publisher_does_not_approve_what_was_published(people: People) -> None:
    """Whoever makes a token for somebody can publish in that name, and a run over a change knows only names."""
    expires = people.server.embedded.log.head().recorded_at + HOUR
    tokens = {
        "t-nora": TokenIssued("t-nora", "nora", "n" * 64, expires, By("ana")),
        "t-zoe": TokenIssued("t-zoe", "zoe", "z" * 64, expires, By("nora", "t-nora", creator="ana")),
    }
    await people.recorded(*((f"token-{name}", issued) for name, issued in tokens.items()))
    for name in ("nora", "zoe"):
        change = await run(people, f"p-{name}", publishers=[name])
        assert await vote(people, "ana", change) == (409, "publisher-votes")
        asked = await run(people, f"r-{name}", requesters=[name])
        assert await vote(people, "ana", asked) == (409, "requester-votes")

    assert await vote(people, "ana", await run(people, "other", publishers=["pia"])) == (200, "approved")


async def test_a_digest_that_is_another_one_decides_nothing(people: People) -> None:
    change = await run(people, "a-1")

    assert await vote(people, "ana", change, digest="d0") == (409, "digest-changed")
    assert await vote(people, "ana", change, digest="d1") == (200, "approved")


async def test_a_vote_comes_too_late_by_the_clock_of_the_log(people: People) -> None:
    change = await run(people, "a-1", expires_at=people.server.embedded.log.head().recorded_at)

    assert await vote(people, "ana", change) == (409, "approval-expired")
    assert (await people.get("ana", f"/v1/approvals/{change}"))["state"] == "expired"


class Late:
    """A clock by which what is decided in time is recorded too late, once `late` is set."""

    def __init__(self) -> None:
        self.late: datetime | None = None
        self._recorded = False

    def __call__(self) -> datetime:
        self._recorded |= self.late is not None and threading.current_thread() is not threading.main_thread()
        return self.late if self.late is not None and self._recorded else NOW


async def test_a_vote_that_would_be_recorded_too_late_is_decided_again(tmp_path: Path) -> None:
    clock = Late()
    embedded = Embedded(tmp_path / "data", (inventory, catalog, policy), clock=clock)
    async with embedded.running():
        people = People(Server(embedded, AsyncClient(), ""))
        await people.recorded(*PEOPLE, ("store-tx-1", StoreDeclared("tx-1", "UTC", clusters=[ClusterSpec("tx-1")])))
        change = await run(people, "a-1")

        clock.late = NOW + HOUR

        assert await vote(people, "ana", change) == (409, "approval-expired")


async def test_a_no_ends_it_and_needs_a_reason(people: People) -> None:
    change = await run(people, "a-1")

    assert (await people.post("ana", f"/v1/approvals/{change}/refuse", {})).status_code == 422
    assert await vote(people, "ana", change, "refuse") == (200, "refused")
    assert await vote(people, "ana", change) == (409, "approval-over")


async def test_a_requester_without_the_right_to_approve_takes_the_request_back(people: People) -> None:
    override, approval = await people.requested()

    assert await vote(people, "ben", approval, "withdraw") == (409, "nothing-to-withdraw")
    assert await vote(people, "rita", approval, "withdraw") == (200, "withdrawn")
    assert (await people.get("rita", f"/v1/overrides/{override}"))["state"] == "withdrawn"


async def test_what_is_mine_is_what_i_can_vote_on_now(people: People) -> None:
    _, first = await people.requested()
    change = await run(people, "a-1")

    async def mine(person: str) -> list[str]:
        return [each["id"] for each in (await people.get(person, "/v1/approvals", mine="true"))["items"]]

    assert (await mine("mia"), await mine("ana"), await mine("ben")) == ([first], [change], [])
    await people.granted(first, "mia")
    assert (await mine("mia"), await mine("ben")) == ([], [first])
    assert sorted(await mine("ana")) == sorted([first, change])
    await people.granted(first, "ana")
    assert (await mine("ana"), await mine("ben")) == ([change], [first])


async def test_approvals_are_listed_by_state_and_subject(people: People) -> None:
    override, approval = await people.requested()
    change = await run(people, "a-1")
    await vote(people, "ana", change)

    async def ids(**query: str) -> list[str]:
        return [each["id"] for each in (await people.get("ana", "/v1/approvals", **query))["items"]]

    assert (await ids(state="approved"), await ids(state="running")) == ([change], [approval])
    assert (await ids(subject="lottery"), await ids(subject=override)) == ([change], [approval])
    assert (await people.client("ana").get("/v1/approvals", params={"state": "open"})).status_code == 422


async def test_it_shows_what_it_is_about_and_what_is_missing(people: People) -> None:
    _, approval = await people.requested()
    await people.granted(approval, "mia", "ana")

    shown = await people.get("ana", f"/v1/approvals/{approval}")

    assert (shown["kind"], shown["state"], shown["stage"], shown["clusters"]) == ("override", "running", 2, 1)
    assert shown["summary"] == "override the freeze black-friday for 240 minutes on tx-1"
    assert [each["missing"] for each in shown["stages"]] == [0, 1]
    assert [[vote["person"] for vote in each["votes"]] for each in shown["stages"]] == [["mia"], ["ana"]]
    change = await people.get("ana", f"/v1/approvals/{await run(people, 'a-1')}")
    assert (change["items"], change["examples"]) == ({"release 1.2": "r1"}, ["tx-1", "tx-2", "ut-1"])


async def test_a_repeated_vote_is_one_vote(people: People) -> None:
    _, approval = await people.requested()

    said = [await people.post("mia", f"/v1/approvals/{approval}/grant", {}, key="k-1") for _ in range(2)]

    assert said[0].json() == said[1].json()
    assert len(await people.events("ApprovalGranted")) == 1


async def test_without_the_verb_nobody_votes(people: People) -> None:
    _, approval = await people.requested()

    assert await vote(people, "rita", approval) == (403, "forbidden")
    assert (await people.post("mia", "/v1/approvals/nothing/grant", {})).status_code == 404
