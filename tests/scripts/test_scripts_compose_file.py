"""The part of the compose file's language that scripts/compose-local reads: all of it honoured, or refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.compose_local_file import (
    COMPLETED,
    HEALTHY,
    IGNORED,
    STARTED,
    ComposeError,
    Health,
    LocalService,
    in_order,
    interpolated,
    load,
    read_variables,
    with_needs,
)

VARIABLES = {"NAME": "value", "EMPTY": ""}


def services(tmp_path: Path, text: str) -> dict[str, LocalService]:
    path = tmp_path / "compose.yml"
    path.write_text(text)
    return load(path, VARIABLES)


def one(tmp_path: Path, text: str) -> LocalService:
    return services(tmp_path, f"services:\n  a: {{{text}}}\n")["a"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain", "plain"),
        ("$NAME", "value"),
        ("a${NAME}b", "avalueb"),
        ("$$NAME $${NAME}", "$NAME ${NAME}"),
        ("${NAME:-other}", "value"),
        ("${EMPTY:-other}", "other"),
        ("${EMPTY-other}", ""),
        ("${MISSING:-a b/c:d}", "a b/c:d"),
        ("${MISSING-other}", "other"),
        ("${MISSING:-}", ""),
        ("${MISSING}", ""),
        ("${NAME:?why}${NAME?why}", "valuevalue"),
        ("${EMPTY?why}", ""),
    ],
)
def test_variables_are_filled_in(text: str, wanted: str) -> None:
    assert interpolated(text, VARIABLES, "here") == wanted


@pytest.mark.parametrize("text", ["${MISSING:?run scripts/dev-env}", "${EMPTY:?run scripts/dev-env}"])
def test_a_variable_that_must_be_there_is_named_with_what_to_do(text: str) -> None:
    with pytest.raises(ComposeError, match=r"^services\.a: (MISSING|EMPTY) is missing: run scripts/dev-env$"):
        interpolated(text, VARIABLES, "services.a")


@pytest.mark.parametrize("text", ["${NAME:+x}", "${NAME", "$1", "${}", "${A:-${B}}", "a $"])
def test_other_forms_are_refused_rather_than_guessed(text: str) -> None:
    with pytest.raises(ComposeError, match="cannot read the variable"):
        interpolated(text, VARIABLES, "here")


@pytest.mark.parametrize("key", ["entrypoint", "env_file", "secrets", "configs", "deploy", "working_dir", "extends"])
def test_a_key_that_would_have_to_be_honoured_is_an_error(tmp_path: Path, key: str) -> None:
    with pytest.raises(ComposeError, match=rf"^services\.a\.{key}: this key would have to be honoured"):
        one(tmp_path, f"{key}: x")


@pytest.mark.parametrize("key", sorted(IGNORED))
def test_keys_that_only_concern_containers_change_nothing(tmp_path: Path, key: str) -> None:
    found = one(tmp_path, f"{key}: x, command: [a]")

    assert found == LocalService("a", ours=key == "build", command=("a",))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("include: [x]\nservices: {}", "include"),
        ("services: {a: {healthcheck: {test: [CMD, a], disable: true}}}", "services.a.healthcheck.disable"),
        ("services: {a: {depends_on: {a: {required: false}}}}", "services.a.depends_on.a.required"),
        ("services: {a: {depends_on: [b]}}", "services.a.depends_on: there is no service b"),
        ("services: {a: {depends_on: {a: {condition: ready}}}}", "'ready' is not a condition"),
        ("services: {a: {ports: ['8080:8080']}}", "services.a.ports"),
        ("services: {a: {environment: {X: yes}}}", "services.a.environment.X"),
        ("services: {a: {stop_grace_period: 5}}", "services.a.stop_grace_period"),
        ("services: {a: {healthcheck: {test: [NONE]}}}", "services.a.healthcheck.test"),
    ],
)
def test_an_error_says_where(tmp_path: Path, text: str, where: str) -> None:
    with pytest.raises(ComposeError, match=where.replace(".", r"\.")):
        services(tmp_path, text)


def test_what_is_honoured_is_read(tmp_path: Path) -> None:
    found = services(
        tmp_path,
        """
x-common: &common {image: i, build: .}
services:
  a:
    <<: *common
    command: python -m 'a b'
    environment: [A=1, B=x=y, "C=${NAME}"]
    depends_on: [b]
    healthcheck: {test: "exit 0", interval: 1m30s, timeout: 500ms, retries: 5, start_period: 2s, start_interval: 1.5s}
    ports: ["127.0.0.1:80:8080"]
    stop_grace_period: 20s
  b: {depends_on: {c: {condition: service_healthy}}, healthcheck: {test: [CMD, a, 1]}}
  c: {environment: {N: 1, S: "${EMPTY}"}}
""",
    )

    assert found["a"] == LocalService(
        "a",
        ours=True,
        command=("python", "-m", "a b"),
        environment={"A": "1", "B": "x=y", "C": "value"},
        depends_on={"b": STARTED},
        health=Health(("/bin/sh", "-c", "exit 0"), 90.0, 0.5, 5, 2.0, 1.5),
        published={8080: 80},
        grace_seconds=20.0,
    )
    assert found["b"].depends_on == {"c": HEALTHY}
    assert found["b"].health == Health(("a", "1"))
    assert found["c"].environment == {"N": "1", "S": ""}


def _needing(**needs: str) -> dict[str, LocalService]:
    return {
        name: LocalService(name, ours=True, depends_on=dict.fromkeys(wanted.split(), COMPLETED))
        for name, wanted in needs.items()
    }


def test_services_come_after_what_they_depend_on_else_as_they_are_written() -> None:
    found = in_order(_needing(edge="b a", b="base", a="base", other="", base=""))

    assert [service.name for service in found] == ["other", "base", "b", "a", "edge"]


def test_a_circle_is_named() -> None:
    with pytest.raises(ComposeError, match=r"these depend on each other: .*a → .*"):
        in_order(_needing(a="b", b="c", c="a", d=""))


def test_a_service_brings_what_it_needs() -> None:
    every = _needing(edge="b", b="base", a="base", base="")

    assert list(with_needs(every, ["edge"])) == ["edge", "b", "base"]
    with pytest.raises(ComposeError, match="there is no service egde; there are edge, b, a, base"):
        with_needs(every, ["egde"])


def test_variables_are_read_from_lines(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# comment\n\nA=1\nB='x = y'\nC=\nD=a=b#c\n")

    assert read_variables(path) == {"A": "1", "B": "x = y", "C": "", "D": "a=b#c"}
    path.write_text("A=1\nexport B=2\n")
    with pytest.raises(ComposeError, match=r"\.env:2: not NAME=VALUE"):
        read_variables(path)
