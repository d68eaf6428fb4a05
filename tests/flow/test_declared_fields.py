"""No way of changing a declared thing drops a field of it, whether the field is old, new or not there yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any, get_type_hints

import pytest

from libs.commands.kinds import DeclaredKind
from libs.contracts import (
    ApplicationDeclared,
    GroupDeclared,
    NamespaceDeclared,
    ReleaseChoice,
    ReleaseChoicesSet,
    ReleasePublished,
    SourceDeclared,
    StoreDeclared,
)
from libs.contracts.absent import Absent
from libs.contracts.inbox import PREFIX
from libs.fleet import Fleet
from libs.kinds import BY_DOCUMENT
from services.catalog.api import APPLICATION, CONFIGURATION, NAMESPACE
from services.catalog.choosing import choices_document, parse_choices
from services.catalog.domain import choices, releases
from services.grouping.api import GROUP
from services.grouping.domain import living
from services.inventory.api import STORE
from services.inventory.documents import parse_store, store_document
from services.inventory.documents.hours import StoreHours
from services.inventory.domain import DeclareStore, relabelled, without_cluster
from services.inventory.importing import StoreRow
from services.policy.api import DECLARED
from services.relay.api import SOURCE
from services.relay.domain.external import ChangeStore, instruction
from services.relay.inbox_commands import changed
from tests.flow.conftest import Server
from tests.support.declared import LATER, changed_paths, declared_types, filled, later, samples, unsaid

AT = datetime(2026, 11, 24, tzinfo=UTC)
KINDS: tuple[DeclaredKind[Any, Any], ...] = (STORE, GROUP, NAMESPACE, APPLICATION, CONFIGURATION, *DECLARED, SOURCE)
SAMPLES = samples()
STORE_SAMPLE: StoreDeclared = next(each for each in SAMPLES if isinstance(each, StoreDeclared))
GROUP_SAMPLE: GroupDeclared = next(each for each in SAMPLES if isinstance(each, GroupDeclared))
by_event = pytest.mark.parametrize("sample", SAMPLES, ids=lambda each: type(each).__name__)


def kind_of(event: Any) -> DeclaredKind[Any, Any]:
    wanted = type(event).__name__.removesuffix("Declared")
    return next(each for each in KINDS if each.kind == wanted)


def facts_without(*left_out: type) -> Fleet:
    facts = Fleet()
    for each in SAMPLES:
        if not isinstance(each, left_out):
            facts.assume(each)
    return facts


def command_for(event: Any) -> Any:
    """The command that declares `event`: its own document's, carrying exactly that event."""
    kind = kind_of(event)
    named = getattr(event, kind.named_by)
    document = kind.to_document(event, facts_without())
    _, make = kind.parse(document, named)
    command = make("ada", AT)
    return replace(command, **{carried(type(command)): event})


def carried(command: type) -> str:
    """The field of a command that holds its event."""
    hints = get_type_hints(command, localns={"datetime": datetime})
    (name,) = [name for name, hint in hints.items() if hint in {*declared_types(), ReleasePublished}]
    return name


def test_the_samples_say_every_field_of_every_declared_type() -> None:
    assert {type(each) for each in SAMPLES} == declared_types()
    assert {type(each).__name__.removesuffix("Declared") for each in SAMPLES} == {each.kind for each in KINDS}
    assert unsaid(SAMPLES) == set()


@by_event
def test_a_command_holds_its_event_and_restates_nothing_of_it(sample: Any) -> None:
    command = command_for(sample)

    assert {each.name for each in fields(command)} == {carried(type(command)), "actor", "at"}


@by_event
def test_a_document_says_every_field(sample: Any) -> None:
    kind = kind_of(sample)
    document = kind.to_document(sample, facts_without())
    _, make = kind.parse(document, None)
    command = make("ada", AT)

    assert changed_paths(sample, getattr(command, carried(type(command)))) == set()
    assert kind.decide(command, sample, facts_without()) == []


@by_event
def test_a_field_that_comes_later_is_declared_as_it_is(sample: Any) -> None:
    kind = kind_of(sample)

    (event,) = kind.decide(command_for(later(sample)), Absent(), facts_without(type(sample)))

    assert (changed_paths(later(sample), event), event.later) == (set(), LATER)
    assert kind.evolve(Absent(), event) == event


ROW = StoreRow(2, STORE_SAMPLE.name, "America/Denver", {"size": "xl"}, StoreHours(), {"cpu": "8"})
EDITS_OF_A_STORE: dict[str, tuple[Callable[[StoreDeclared], StoreDeclared], tuple[str, ...]]] = {
    "delete a cluster": (
        lambda store: without_cluster(store, "tx-1-kitchen", "ada", AT).store,
        ("/clusters/tx-1-kitchen/",),
    ),
    "label": (lambda store: relabelled(store, {"size": "xl"}, ["key"]), ("/labels/",)),
    "import a whole row": (
        ROW.over,
        ("/timezone", "/labels/", "/hours/", "/exceptions/", f"/clusters/{STORE_SAMPLE.name}/capacity/"),
    ),
    "import without hours and capacity": (replace(ROW, hours=None, capacity={}).over, ("/timezone", "/labels/")),
}
"""What changes a store other than its document, and which paths that is about."""


def beside(paths: set[str], about: tuple[str, ...]) -> set[str]:
    return {path for path in paths if not path.startswith(about)}


@pytest.mark.parametrize("edit", EDITS_OF_A_STORE)
@pytest.mark.parametrize("store", [STORE_SAMPLE, later(STORE_SAMPLE)], ids=["now", "later"])
def test_an_edit_of_a_store_leaves_all_else_as_it_was(edit: str, store: StoreDeclared) -> None:
    change, about = EDITS_OF_A_STORE[edit]

    after = change(store)

    assert changed_paths(store, after), "the edit changes nothing"
    assert beside(changed_paths(store, after), about) == set()
    command = DeclareStore(after, "ada", AT)
    assert STORE.decide(command, store, facts_without()) == [after]


TOLD: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "LabelsChanged": ({"set": {"size": "xl"}, "remove": ["key"]}, ("/labels/",)),
    "StoreChanged": ({"timezone": "America/Denver"}, ("/timezone",)),
    "StoreChanged labels": ({"labels": {"size": "xl"}}, ("/labels/",)),
    "StoreChanged hours": ({"hours": [{"days": ["tue"], "open": "07:00", "close": "22:00"}]}, ("/hours/",)),
    "StoreChanged clusters": (
        {"clusters": [{"name": "tx-1", "labels": {"role": "till"}, "capacity": {"cpu": "2"}}]},
        ("/clusters/tx-1-kitchen/", "/clusters/tx-1/labels/", "/clusters/tx-1/capacity/"),
    ),
}
"""What a system outside tells of a store, and which paths that is about."""


@pytest.mark.parametrize("told", TOLD)
def test_what_a_system_outside_changes_of_a_store_leaves_all_else_as_it_was(told: str) -> None:
    said, about = TOLD[told]
    our_type = f"{PREFIX}{told.partition(' ')[0]}.v1"
    source = SourceDeclared("registry", "urn:x", "registry", [our_type])

    _, change = instruction(source, our_type, {"name": STORE_SAMPLE.name, **said})
    assert isinstance(change, ChangeStore)
    _, make = parse_store(changed(store_document(STORE_SAMPLE, Fleet()), change), STORE_SAMPLE.name)
    command = make("registry", AT)
    assert isinstance(command, DeclareStore)

    assert changed_paths(STORE_SAMPLE, command.store), "the event changes nothing"
    assert beside(changed_paths(STORE_SAMPLE, command.store), about) == set()


def test_what_the_document_of_a_cluster_has_more_than_an_event_can_say_stays() -> None:
    document = store_document(STORE_SAMPLE, Fleet())
    document["spec"]["clusters"][0]["later"] = LATER

    after = changed(document, ChangeStore("tx-1", {"clusters": [{"name": "tx-1", "labels": {}, "capacity": {}}]}))

    kept = {"kubernetes": "1.33", "later": LATER}
    assert after["spec"]["clusters"] == [{"name": "tx-1", "labels": {}, "capacity": {}, **kept}]


@pytest.mark.parametrize("group", [GROUP_SAMPLE, later(GROUP_SAMPLE)], ids=["now", "later"])
def test_a_group_whose_members_have_gone_keeps_all_else(group: GroupDeclared) -> None:
    left = living(group, facts_without(StoreDeclared))

    assert changed_paths(group, left) == {"/clusters/0", "/clusters/1", "/stores/0"}


def test_a_release_is_published_as_it_was_compiled() -> None:
    pos, api = NamespaceDeclared("pos", "/c/*"), ApplicationDeclared("pos-api", "pos")
    facts = Fleet()
    facts.assume(pos)
    facts.assume(api)
    release = replace(later(filled(ReleasePublished)), application="pos-api", namespace="pos", version="1.0.0")

    assert carried(releases.PublishRelease) == "release"
    assert releases.decide(releases.PublishRelease(release, (), "ada", AT), Absent(), facts) == [release]


@pytest.mark.parametrize(
    "command",
    [
        choices.SetRelease("pos-api", "2.0.0", "ada", AT, expression="/c/tx-1"),
        choices.SetRelease("pos-api", "2.0.0", "ada", AT, expression="/c/*"),
        choices.UnsetRelease("pos-api", "/c/tx-1", "ada", AT),
    ],
    ids=lambda each: type(each).__name__,
)
def test_changing_one_release_choice_leaves_the_others_and_the_list_as_they_were(command: choices.Command) -> None:
    facts = facts_without()
    for version in ("1.0.0", "2.0.0"):
        release = replace(filled(ReleasePublished), application="pos-api", namespace="pos", version=version)
        facts.assume(replace(release, schema=None, defaults=None))
    listed = [later(ReleaseChoice("/c/*", "1.0.0")), later(ReleaseChoice("/c/tx-1", "1.0.0"))]
    before = later(ReleaseChoicesSet("pos-api", listed))
    facts.assume(before)

    (after,) = choices.decide(command, before, facts)

    assert after.later == LATER  # type: ignore[attr-defined]  # a field of tomorrow
    assert all(each.later == LATER for each in after.choices)  # type: ignore[attr-defined]  # the same
    assert after != before


def test_the_document_of_release_choices_says_every_field() -> None:
    chosen = replace(filled(ReleaseChoicesSet), application="pos-api", choices=[ReleaseChoice("/c/*", "1.0.0")])

    _, make = parse_choices(choices_document(chosen, Fleet()), "pos-api")
    command = make("ada", AT)

    assert isinstance(command, choices.SetReleaseChoices)
    assert [each.choice for each in command.choices] == chosen.choices
    assert unsaid([chosen]) == set()


def test_the_command_line_exports_every_kind() -> None:
    assert BY_DOCUMENT.keys() == {each.kind for each in KINDS}


async def test_what_is_exported_and_applied_again_is_unchanged(quiet_server: Server) -> None:
    for sample in SAMPLES:
        kind = kind_of(sample)
        document = kind.to_document(sample, facts_without())
        put = await quiet_server.client.put(path_of(sample), json=document)
        assert put.status_code == 201, put.text
    await quiet_server.settled()

    for sample in SAMPLES:
        assert changed_paths(sample, recorded(quiet_server, sample)) == set()
        exported = await quiet_server.get(path_of(sample))
        again = await quiet_server.client.put(path_of(sample), json=exported)
        assert again.status_code == 204, (exported, again.text)
    exports = [await quiet_server.get(path_of(sample)) for sample in SAMPLES]
    applied = await quiet_server.client.post("/v1/documents", json={"documents": exports})
    assert applied.status_code == 200, applied.text
    assert {each["result"] for each in applied.json()["results"]} == {"unchanged"}


ASKED: dict[str, tuple[str, str, dict[str, Any], tuple[str, ...]]] = {
    "delete a cluster": ("DELETE", "/v1/clusters/tx-1-kitchen", {}, ("/clusters/tx-1-kitchen/",)),
    "label": ("POST", "/v1/stores:label", {"json": {"where": "/c/*", "set": {"size": "xl"}}}, ("/labels/",)),
    "import": (
        "POST",
        "/v1/stores:import",
        {"content": "name,timezone,key\ntx-1,America/Denver,x\n", "headers": {"Content-Type": "text/csv"}},
        ("/timezone",),
    ),
}


@pytest.mark.parametrize("asked", ASKED)
async def test_a_store_that_is_edited_over_http_keeps_all_else(quiet_server: Server, asked: str) -> None:
    method, path, said, about = ASKED[asked]
    document = store_document(STORE_SAMPLE, Fleet())
    assert (await quiet_server.client.put(path_of(STORE_SAMPLE), json=document)).status_code == 201
    await quiet_server.settled()

    answer = await quiet_server.client.request(method, path, **said)

    assert answer.status_code == 200, answer.text
    after = recorded(quiet_server, STORE_SAMPLE)
    assert after != STORE_SAMPLE
    assert beside(changed_paths(STORE_SAMPLE, after), about) == set()


def path_of(event: Any) -> str:
    kind = kind_of(event)
    return f"/v1/{kind.plural}/{getattr(event, kind.named_by).lstrip('/')}"


def recorded(server: Server, event: Any) -> Any:
    """What the log says last in the stream of what `event` declares."""
    kind = kind_of(event)
    return server.embedded.log.read_stream(kind.stream(getattr(event, kind.named_by)))[-1].decoded().event
