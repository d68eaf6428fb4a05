"""What an instruction sends, and which answers say something about the event."""

from __future__ import annotations

from typing import Any

import pytest
from httpx2 import AsyncClient, ConnectError, MockTransport, Request, Response

from libs.contracts.problems import Problem
from services.relay.domain.external import ChangeStore, Declare, Instruction, Publish, Remove
from services.relay.inbox_commands import ApiCommands, Done, Order, changed

ORDER = Order("registry", "k-1", "d-1", "inbox:t s i")
DOCUMENT = {"metadata": {"name": "a", "labels": {"x": "1", "y": "2"}}, "spec": {"timezone": "UTC", "clusters": []}}
GONE = {"code": "not-found", "title": "Not found.", "detail": "there is no store 'a'"}
NO_ROUTE = {"code": "not-found", "title": "Not Found.", "detail": "Not Found"}


class Answers:
    """A server that gives one answer after the other, and keeps what it was asked."""

    def __init__(self, *answers: Response | Exception) -> None:
        self.asked: list[Request] = []
        self._answers = list(answers)
        self.commands = ApiCommands(lambda: AsyncClient(transport=MockTransport(self._answer), base_url="http://api"))

    def _answer(self, request: Request) -> Response:
        self.asked.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return Response(answer.status_code, headers=answer.headers, content=answer.content)


def ok(position: int, status: int = 200, body: Any = None, **headers: str) -> Response:
    return Response(status, json=body or {}, headers={"Resedge-Position": str(position), **headers})


async def refused(answer: Response | Exception, instruction: Instruction) -> Problem:
    with pytest.raises(Problem) as problem:
        await Answers(answer).commands.carry_out(instruction, ORDER)
    return problem.value


async def test_a_command_says_for_whom_under_which_key_and_why() -> None:
    server = Answers(ok(7, 201))

    assert await server.commands.carry_out(Declare("a", DOCUMENT), ORDER) == Done(7, unchanged=False)

    headers = server.asked[0].headers
    assert headers["resedge-on-behalf-of"] == "registry"
    assert (headers["idempotency-key"], headers["resedge-event-digest"]) == ("k-1", "d-1")
    assert headers["resedge-causation"] == "inbox:t s i"


async def test_what_was_written_before_is_seen_by_what_comes_next() -> None:
    server = Answers(ok(7, 201), ok(8, 200))

    await server.commands.carry_out(Declare("a", DOCUMENT), ORDER)
    await server.commands.carry_out(Publish("app", "1.0", {"manifests": "x"}), ORDER)

    assert server.asked[1].headers["resedge-position"] == "7"
    assert server.asked[1].url.path == "/v1/applications/app/releases/1.0"


async def test_a_change_is_made_on_what_was_read_or_again() -> None:
    read = ok(3, 200, DOCUMENT, ETag='"4"')
    server = Answers(read, Response(412, json={"code": "precondition-failed"}), read, ok(5))

    assert await server.commands.carry_out(ChangeStore("a", put={"z": "3"}), ORDER) == Done(5, unchanged=False)

    assert [each.method for each in server.asked] == ["GET", "PUT", "GET", "PUT"]
    assert server.asked[3].headers["if-match"] == '"4"'


async def test_a_store_that_others_change_all_the_time_is_tried_later() -> None:
    read = ok(3, 200, DOCUMENT, ETag='"4"')
    server = Answers(*[read, Response(412, json={"code": "precondition-failed"})] * 6)
    with pytest.raises(Problem) as problem:
        await server.commands.carry_out(ChangeStore("a"), ORDER)
    assert (problem.value.status, problem.value.code) == (503, "contended")


@pytest.mark.parametrize(
    "answer",
    [
        ConnectError("refused"),
        Response(500, json={"code": "internal"}),
        Response(502, text="<html>"),
        Response(503, json={"code": "unavailable"}),
        Response(504, json={"code": "position-timeout"}),
        Response(401, json={"code": "unauthenticated"}),
        Response(403, json={"code": "forbidden"}),
        Response(405, json={"code": "method-not-allowed"}),
        Response(429, text="slowly"),
        Response(404, json=NO_ROUTE),
        Response(404, text="no such page"),
    ],
)
@pytest.mark.parametrize("instruction", [Declare("a", DOCUMENT), Remove("a"), ChangeStore("a")])
async def test_what_says_nothing_about_the_event_is_tried_later(
    answer: Response | Exception, instruction: Instruction
) -> None:
    problem = await refused(answer, instruction)
    assert (problem.status, problem.code) == (503, "api-unreachable")


async def test_a_refusal_keeps_what_the_service_says() -> None:
    said = {"code": "cluster-name-taken", "title": "T.", "detail": "d", "pointer": "/p", "fix": "f", "store": "b"}

    problem = await refused(Response(409, json=said), Declare("a", DOCUMENT))

    assert (problem.status, problem.code, problem.pointer, problem.fix) == (409, "cluster-name-taken", "/p", "f")
    assert problem.extra == {"store": "b"}
    assert (await refused(Response(404, json=GONE), ChangeStore("a"))).code == "not-found"
    assert (await refused(Response(413, text="too large"), Declare("a", DOCUMENT))).code == "refused"


async def test_a_store_that_is_gone_already_is_closed() -> None:
    assert (await Answers(Response(404, json=GONE)).commands.carry_out(Remove("a"), ORDER)).unchanged


def test_a_change_touches_only_what_it_names() -> None:
    assert changed(DOCUMENT, ChangeStore("a")) == DOCUMENT
    after = changed(DOCUMENT, ChangeStore("a", {"timezone": "America/Denver"}, put={"x": "9"}, remove=("y",)))
    assert after["metadata"]["labels"] == {"x": "9"}
    assert after["spec"] == {"timezone": "America/Denver", "clusters": []}
    assert changed(DOCUMENT, ChangeStore("a", labels={"q": "1"}))["metadata"]["labels"] == {"q": "1"}
