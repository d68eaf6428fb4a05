"""An event that cannot be applied stops those who cannot apply it, all replicas alike, until somebody decides."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pg8000.dbapi
from sqlalchemy import make_url

from libs.contracts import (
    ConsumerHalted,
    LetterRetried,
    LetterSettled,
    LetterSkipped,
    NamespaceDeclared,
    encode,
    type_name,
)
from libs.eventlog import Appended, EventLog, NewEvent, Submission
from tests.support.journeys import store
from tests.support.system import System
from tests.support.waiting import until


@contextmanager
def opened(system: System) -> Iterator[EventLog]:
    log = system.log()
    try:
        yield log
    finally:
        log.close()


def append(system: System, stream: str, kind: str, data: bytes) -> int:
    """Append an event as only somebody with access to the database can; return its position."""
    with opened(system) as log:
        outcome = log.append(Submission([NewEvent(stream, kind, data)], "somebody"))
        assert isinstance(outcome, Appended), outcome
        return outcome.last


def said(system: System, letter: str) -> list[str]:
    """Return what the log says of a letter."""
    with opened(system) as log:
        return [event.type.split(".")[3] for event in log.read_stream(f"letter-{letter}")]


def stopped(system: System, service: str, replica: str = "a") -> set[str]:
    """Return the consumers of a replica that have stopped."""
    figures = system.metrics(service, replica)
    start = 'resedge_consumer_stopped{consumer="'
    return {name[len(start) : -2] for name, value in figures.items() if name.startswith(start) and value}


def ready(system: System, service: str, replica: str = "a") -> tuple[int, str]:
    answer = system.http("GET", "/readyz?verbose", service=service, replica=replica)
    return answer.status_code, answer.text


HALTED, RETRIED, SKIPPED, SETTLED = (
    each.__name__ for each in (ConsumerHalted, LetterRetried, LetterSkipped, LetterSettled)
)


def test_what_no_fleet_can_fold_stops_every_fleet_alone_until_it_is_skipped(system: System) -> None:
    system.start("relay", "inventory", "catalog")
    system.start("inventory", replica="b")
    system.change("PUT", "/v1/stores/one", json=store("one"))
    poison = NamespaceDeclared("poison", "((")
    position = append(system, "namespace-poison", type_name(poison), encode(poison))
    letter = f"fleet@{position}"

    everywhere = [("inventory", "a"), ("inventory", "b"), ("catalog", "a")]
    for each in everywhere:
        until(lambda each=each: stopped(system, *each) == {"fleet"}, what=f"{each} stops")  # type: ignore[misc]  # a lambda with defaults has no type that mypy can infer
        code, text = ready(system, *each)
        assert code == 503
        assert f"position {position} cannot be applied" in text
    assert HALTED in said(system, letter)
    assert system.http("GET", "/v1/namespaces/poison").status_code == 200, "the view has applied it"
    until(lambda: letter in system.http("GET", "/v1/dead-letters").text, what="the letter is listed")

    retried = system.http("POST", f"/v1/dead-letters/{letter}:retry", json={"reason": "perhaps"})
    assert retried.status_code == 200, retried.text
    until(lambda: said(system, letter)[-2:] == [RETRIED, HALTED], what="it was tried again")
    assert stopped(system, "catalog") == {"fleet"}
    skipped = system.http("POST", f"/v1/dead-letters/{letter}:skip", json={"reason": "nobody has sent it"})
    assert skipped.status_code == 200, skipped.text

    for each in everywhere:
        until(lambda each=each: ready(system, *each)[0] == 200, what=f"{each} goes on")  # type: ignore[misc]  # a lambda with defaults has no type that mypy can infer
    again = system.change("PUT", "/v1/stores/two", json=store("two"))
    assert again.status_code == 201, again.text
    system.kill("catalog")
    system.restart("catalog")
    assert said(system, letter)[-1] == SKIPPED, "who stops there later does what was decided"
    system.check()


def test_what_one_view_cannot_store_stops_it_in_every_replica_until_it_is_retried(system: System) -> None:
    system.start("relay", "inventory", "catalog")
    system.start("inventory", replica="b")
    system.change("PUT", "/v1/stores/one", json=store("one"))
    system.settle()
    in_view(system, "inventory", "ALTER TABLE documents ADD CONSTRAINT odd CHECK (name <> 'odd')")
    declared = system.http("PUT", "/v1/stores/odd", json=store("odd"))
    position = int(declared.headers["Resedge-Position"])
    letter = f"inventory.documents@{position}"

    for replica in ("a", "b"):
        until(lambda r=replica: stopped(system, "inventory", r) == {"inventory.documents"})  # type: ignore[misc]  # a lambda with defaults has no type that mypy can infer
        assert ready(system, "inventory", replica)[0] == 503
    assert stopped(system, "catalog") == stopped(system, "relay") == set()
    assert ready(system, "catalog")[0] == 200
    decided = system.change("PUT", "/v1/stores/three", json=store("three"))
    in_view(system, "inventory", "ALTER TABLE documents DROP CONSTRAINT odd")
    retried = system.http("POST", f"/v1/dead-letters/{letter}:retry", json={"reason": "the constraint is gone"})
    assert retried.status_code == 200, retried.text

    for replica in ("a", "b"):
        until(lambda r=replica: ready(system, "inventory", r)[0] == 200)  # type: ignore[misc]  # a lambda with defaults has no type that mypy can infer
    until(lambda: said(system, letter)[-1] == SETTLED, what="that it went through is told")
    seen = {"Resedge-Position": decided.headers.get("Resedge-Position", "0")}
    assert system.http("GET", "/v1/stores/odd", headers=seen).status_code == 200
    system.check()


def test_what_nobody_can_read_stops_everybody_until_each_is_told_to_go_on(system: System) -> None:
    system.start("relay", "inventory")
    system.change("PUT", "/v1/stores/one", json=store("one"))
    position = append(system, "store-odd", "dev.resedge.inventory.StoreTeleported.v9", b'{"name":"odd"}')
    everybody = {"fleet", "inventory.documents", "relay.documents", "relay.letters"}

    until(lambda: stopped(system, "inventory") | stopped(system, "relay") == everybody, what="all have stopped")
    until(lambda: all(said(system, f"{each}@{position}") for each in everybody), what="all are told")
    for each in everybody:
        event: Any = LetterSkipped(f"{each}@{position}", "not ours", each, position)
        append(system, f"letter-{each}@{position}", type_name(event), encode(event))

    for service in ("relay", "inventory"):
        until(lambda s=service: ready(system, s)[0] == 200, what=f"{service} goes on")  # type: ignore[misc]  # a lambda with defaults has no type that mypy can infer
    assert system.change("PUT", "/v1/stores/two", json=store("two")).status_code == 201
    system.check()


def in_view(system: System, service: str, statement: str) -> None:
    """Run a statement in the database of a service's views."""
    url = make_url(system.views[service])
    connection = pg8000.dbapi.connect(
        user=url.username, host=url.host, port=url.port, database=url.database, ssl_context=False
    )
    try:
        connection.cursor().execute(statement)
        connection.commit()
    finally:
        connection.close()
