"""Which server and token a command uses, and that a token shows nowhere."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
import yaml

from cli.config import Config, Connection, Context, Flags, connection, load_config, save_config, write_context
from cli.errors import UsageProblem
from cli.positions import KeptPositions
from tests.cli.cli_server import Answer, FakeServer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Resedge

TOKEN = "s3cret-token"
SHOP = Config("shop", {"shop": Context("shop", "http://shop:1", TOKEN), "lab": Context("lab", "http://lab:2", "lab")})


def test_a_flag_wins_over_the_environment_over_the_context_over_the_default() -> None:
    said = {"RESEDGE_SERVER": "http://env:3", "RESEDGE_TOKEN": "env", "RESEDGE_CONTEXT": "lab"}

    assert connection(Flags("http://flag:4/", "flag"), said, SHOP) == Connection("http://flag:4", "flag")
    assert connection(Flags(context="shop"), {"RESEDGE_CONTEXT": "lab"}, SHOP) == Connection(
        "http://shop:1", TOKEN, "shop"
    )
    assert connection(Flags(), said, SHOP) == Connection("http://env:3", "env")
    assert connection(Flags(), {"RESEDGE_CONTEXT": "lab"}, SHOP) == Connection("http://lab:2", "lab", "lab")
    assert connection(Flags(), {}, SHOP) == Connection("http://shop:1", TOKEN, "shop")
    assert connection(Flags(), {}, Config()) == Connection("http://127.0.0.1:8080")


def test_a_contexts_token_never_goes_to_another_server() -> None:
    assert connection(Flags("http://elsewhere:1"), {}, SHOP).token == ""
    assert connection(Flags("http://shop:1"), {}, SHOP).token == TOKEN


def test_a_token_can_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")

    assert connection(Flags(), {"RESEDGE_TOKEN_FILE": str(tmp_path / "token")}, Config()).token == TOKEN
    with pytest.raises(UsageProblem, match="cannot read the token file"):
        connection(Flags(), {"RESEDGE_TOKEN_FILE": str(tmp_path / "none")}, Config())


@pytest.mark.parametrize("more", ["\ntoken ab12 of mia expires", " x", "\u2028", "\r\nX-Evil: 1"])
def test_a_token_with_more_beside_it_is_told_without_showing_it(resedge: Resedge, tmp_path: Path, more: str) -> None:
    (tmp_path / "token").write_bytes(f"{TOKEN}{more}.".encode())
    saved = resedge("context", "set", "mia", "--server", "http://shop:1", "--token-file", str(tmp_path / "token"))
    used = resedge("--token", f"{TOKEN}{more}.", "get", "stores")

    for ran in (saved, used):
        assert (ran.code, ran.out) == (2, "")
        assert "the token is not one word" in ran.err
        assert TOKEN not in ran.err


def test_an_unknown_context_names_the_nearest() -> None:
    with pytest.raises(UsageProblem) as refused:
        connection(Flags(context="shup"), {}, SHOP)
    assert refused.value.nearest == ("shop",)


def test_what_is_written_is_read_back_and_private(tmp_path: Path) -> None:
    path = tmp_path / "resedge" / "config.yaml"
    save_config(path, SHOP)
    write_context("local", "http://127.0.0.1:8080/", "t", path=path)

    assert load_config(path).contexts == {**SHOP.contexts, "local": Context("local", "http://127.0.0.1:8080", "t")}
    assert load_config(path).current == "local"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("text", ["[", "a: b: c", "contexts: 3", "contexts: [{name: a}]", "- x", f"token: '{TOKEN}"])
def test_a_broken_file_is_a_usage_problem_that_quotes_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)

    with pytest.raises(UsageProblem) as refused:
        load_config(path)
    assert TOKEN not in "\n".join(refused.value.lines())


def test_tokens_show_in_no_output(resedge: Resedge, home: Path, server: FakeServer) -> None:
    write_context("shop", "http://user:pa55@shop:1", TOKEN, path=home / ".config/resedge/config.yaml")
    server.on("GET", "/v1/whoami", Answer(200, {"actor": "admin", "roles": ["admin"]}))

    for arguments in (
        ["context", "list"],
        ["context", "show"],
        ["auth", "whoami"],
        ["get", "stores", "--token", TOKEN],
    ):
        for form in ("table", "json", "yaml"):
            ran = resedge(*arguments, "-o", form)
            assert TOKEN not in ran.out + ran.err
            assert "pa55" not in ran.out + ran.err
    assert "REDACTED" in resedge("context", "list").out
    assert resedge("auth", "whoami").out.splitlines()[-1].split() == ["roles", "admin"]


def test_contexts_are_set_used_listed_and_deleted(resedge: Resedge, home: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)

    assert (
        resedge("context", "set", "shop", "--server", "http://shop:1", "--token-file", str(tmp_path / "token")).code
        == 0
    )
    assert resedge("context", "set", "lab", "--server", "http://lab:2").code == 0
    assert resedge("context", "use", "lab").code == 0
    assert resedge("context", "list", "-o", "name").out.split() == ["shop", "lab"]
    assert resedge("context", "use", "lob").code == 2
    assert resedge("context", "set", "new").code == 2
    assert resedge("context", "delete", "lab").code == 0
    kept = yaml.safe_load((home / ".config/resedge/config.yaml").read_text())
    assert kept == {"current": "", "contexts": [{"name": "shop", "server": "http://shop:1", "token": TOKEN}]}


def test_an_address_that_is_none_is_a_usage_problem(resedge: Resedge) -> None:
    assert resedge("get", "stores", "--server", "shop:1").code == 2
    assert resedge("get", "stores", "--server=ftp://shop").code == 2


def test_positions_are_kept_per_connection_and_only_grow(tmp_path: Path) -> None:
    path = tmp_path / "state" / "positions.json"
    shop, lab = (KeptPositions(path, Connection(f"http://{name}", "t", name)) for name in ("shop", "lab"))
    shop.remember(7)
    shop.remember(5)
    lab.remember(3)

    assert (shop.last(), lab.last()) == (7, 3)
    assert KeptPositions(path, Connection("http://shop", "another token", "shop")).last() == 0
    shop.forget()
    assert (shop.last(), lab.last()) == (0, 3)
    path.write_text("not json")
    assert lab.last() == 0
    assert "t" not in path.read_text() or stat.S_IMODE(path.stat().st_mode) == 0o600
