"""What people write the wrong way round is refused with the sentence that helps, and the way that it names works."""

import re
from typing import Any

import pytest

from tests.flow.conftest import Server, store

LATER = "ribbon = blue"
SAVED = [
    ("Group", {"path": "/geo/later"}, {"expression": LATER}, "/spec/expression"),
    ("Namespace", {"name": "later"}, {"expression": LATER}, "/spec/expression"),
    ("Application", {"name": "later"}, {"namespace": "pos", "expression": LATER}, "/spec/expression"),
    ("Configuration", {"name": "later"}, {"expression": LATER, "values": {}}, "/spec/expression"),
    (
        "Calendar",
        {"name": "later"},
        {"windows": [{"days": ["sun"], "from": "02:00", "to": "04:00"}], "clusters": LATER},
        "/spec/clusters",
    ),
    (
        "Freeze",
        {"name": "later"},
        {
            "from": "2026-12-24T00:00:00Z",
            "until": "2026-12-27T00:00:00Z",
            "reason": "r",
            "owner": "o",
            "clusters": LATER,
        },
        "/spec/clusters",
    ),
    (
        "PlacementPolicy",
        {"name": "later"},
        {"forbid": {"applications": ["pos-api"]}, "clusters": LATER, "basis": "b", "enforcement": "immediate"},
        "/spec/clusters",
    ),
]


@pytest.fixture
async def server(quiet_server: Server) -> Server:
    await quiet_server.declare(store("tx-1", size="large"))
    await quiet_server.settled()
    for document in (
        {"kind": "Namespace", "metadata": {"name": "pos"}, "spec": {"expression": "size = large"}},
        {"kind": "Application", "metadata": {"name": "pos-api"}, "spec": {"namespace": "pos"}},
    ):
        assert (await quiet_server.declare(document)).status_code == 201
        await quiet_server.settled()
    return quiet_server


@pytest.mark.parametrize(("kind", "metadata", "spec", "pointer"), SAVED, ids=[each[0] for each in SAVED])
async def test_a_label_that_no_store_carries_yet_may_be_waited_for(
    server: Server, kind: str, metadata: dict[str, Any], spec: dict[str, Any], pointer: str
) -> None:
    refused = (await server.declare({"kind": kind, "metadata": metadata, "spec": spec})).json()
    assert (refused["code"], refused["pointer"]) == ("unknown-reference", pointer)
    assert "ribbon" in refused["detail"]
    assert "allow_empty: true" in refused["fix"]
    assert "resedge label stores" in refused["fix"]
    spec = {**spec, "allow_empty": True}
    taken = await server.declare({"kind": kind, "metadata": metadata, "spec": spec})
    assert taken.status_code == 201, taken.text
    await server.declare(store("tx-2", ribbon="blue", size="small"))
    await server.settled()
    if kind == "Namespace":
        assert "later" in (await server.get("/v1/clusters/tx-2"))["namespaces"]
    if kind == "Group":
        assert "/geo/later" in (await server.get("/v1/clusters/tx-2"))["groups"]


async def test_release_choices_may_wait_for_a_label_too(server: Server) -> None:
    manifests = {"manifests": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {}\n"}
    await server.client.put("/v1/applications/pos-api/releases/1.0.0", json=manifests)
    await server.settled()
    path = "/v1/applications/pos-api/release-choices"
    choice = {"expression": LATER, "version": "1.0.0"}
    refused = await server.client.put(path, json={"choices": [choice]})
    assert (refused.status_code, "allow_empty: true" in refused.json()["fix"]) == (409, True)
    taken = await server.client.put(path, json={"choices": [{**choice, "allow_empty": True}]})
    assert taken.status_code in (200, 201), taken.text


async def test_the_flag_does_not_excuse_other_names_that_are_not_there(server: Server) -> None:
    for expression in ("/g/geo/nowhere", "/n/nobody", "/c/nothing", "ribbon = blue or /g/geo/nowhere"):
        spec = {"expression": expression, "allow_empty": True}
        refused = await server.declare({"kind": "Namespace", "metadata": {"name": "later"}, "spec": spec})
        assert (refused.status_code, refused.json()["code"]) == (409, "unknown-reference")


async def test_what_has_no_such_flag_only_names_labels_that_are_there(server: Server) -> None:
    spec = {"role": "viewer", "subjects": [{"user": "ann"}], "clusters": LATER}
    refused = await server.declare({"kind": "RoleBinding", "metadata": {"name": "later"}, "spec": spec})
    assert refused.status_code == 409
    assert "resedge label stores" in refused.json()["fix"]
    assert "allow_empty" not in refused.json()["fix"]


@pytest.mark.parametrize("at_store", [False, True])
async def test_a_freeze_of_dates_is_told_which_times_they_are(server: Server, at_store: bool) -> None:
    spec = {"from": "2026-12-24", "until": "2026-12-26", "reason": "r", "owner": "o"}
    spec |= {"at": "store"} if at_store else {}
    for field, day in (("from", "2026-12-24"), ("until", "2026-12-27")):
        refused = await server.declare({"kind": "Freeze", "metadata": {"name": "f"}, "spec": spec})
        assert (refused.status_code, refused.json()["pointer"]) == (422, f"/spec/{field}")
        assert f"write {day}T00:00" in refused.json()["fix"]
        found = re.search(r"write (\S+)", refused.json()["fix"])
        assert found is not None
        spec[field] = found[1]
    taken = await server.declare({"kind": "Freeze", "metadata": {"name": "f"}, "spec": spec})
    assert taken.status_code == 201, taken.text


@pytest.mark.parametrize(
    ("rule", "written"),
    [
        ("FREQ=WEEKLY;BYDAY=SU;UNTIL=20271231T235959Z", "UNTIL=20271231"),
        ("FREQ=WEEKLY;BYDAY=SU;UNTIL=2027-12-31", "UNTIL=20271231"),
        ("FREQ=WEEKLY;BYDAY=SU;UNTIL=20271231T000000", "UNTIL=20271231"),
        ("RRULE:FREQ=WEEKLY;BYDAY=SU", "FREQ=WEEKLY;BYDAY=SU"),
        ("rrule:freq=weekly;byday=su", "FREQ=WEEKLY;BYDAY=SU"),
        ("DTSTART:20261101T020000Z\nRRULE:FREQ=WEEKLY;BYDAY=SU", "FREQ=WEEKLY;BYDAY=SU"),
    ],
)
async def test_a_rule_of_a_calendar_file_is_told_how_it_is_written_here(
    server: Server, rule: str, written: str
) -> None:
    window = {"rrule": rule, "from": "02:00", "duration_minutes": 60}
    document = {"kind": "Calendar", "metadata": {"name": "c"}, "spec": {"windows": [window], "clusters": "/c/*"}}
    refused = await server.declare(document)
    assert (refused.status_code, refused.json()["pointer"]) == (422, "/spec/windows/0/rrule")
    assert f"write {written}" in refused.json()["fix"]
    window["rrule"] = written if written.startswith("FREQ") else f"FREQ=WEEKLY;BYDAY=SU;{written}"
    assert (await server.declare(document)).status_code == 201


@pytest.mark.parametrize(
    ("version", "plain"), [("release/1.2.0", "release-1.2.0"), ("1.0.0+build/7", "1.0.0-build-7"), ("v1 2", "v1-2")]
)
async def test_a_version_with_a_slash_is_told_what_to_use(server: Server, version: str, plain: str) -> None:
    manifests = {"manifests": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {}\n"}
    for written in (version, version.replace("/", "%2F")):
        refused = await server.client.put(f"/v1/applications/pos-api/releases/{written}", json=manifests)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid-document")
        assert refused.json()["fix"].endswith(f"use a version such as {plain}")
        assert ("must not contain a slash" in refused.json()["fix"]) is ("/" in version)
    taken = await server.client.put(f"/v1/applications/pos-api/releases/{plain}", json=manifests)
    assert taken.status_code == 201


WORDS = ["not", "has", "none", "and", "or", "in", "like", "name"]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(
    "form", ["{} = x", "{} != x", "{} in (x)", "{} not in (x)", '{} like "x*"', "size = large and {} = x", "({} = x)"]
)
async def test_a_label_called_like_a_word_of_the_language_is_told_to_be_quoted(
    server: Server, word: str, form: str
) -> None:
    labelled = store("tx-9")
    labelled["metadata"]["labels"] = {word: "x", "size": "large"}
    await server.declare(labelled)
    await server.settled()
    response = await server.client.get("/v1/clusters:count", params={"where": form.format(word)})
    if word in ("not", "has", "none"):
        problem = response.json()
        assert (response.status_code, problem["position"]) == (422, form.index("{}"))
        assert f"{word} is a word of the language, so a label of that key is written in quotes" in problem["detail"]
        assert f'"{word}"' in problem["fix"]
    quoted = await server.get("/v1/clusters:count", where=form.format(f'"{word}"'))
    assert quoted["count"] == 1  # tx-9, or where the form denies, the other one
