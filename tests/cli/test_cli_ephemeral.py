"""`resedge up --ephemeral`: a server for a while, which never stays where the later commands go."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.config import Config, Context, load_config, save_config
from tests.cli.cli_machine import Machine

KEPT = {
    "none": Config(),
    "a context, none of them current": Config("", {"prod": Context("prod", "https://resedge.example.com", "t")}),
    "another": Config("prod", {"prod": Context("prod", "https://resedge.example.com", "t")}),
    "the local one": Config("local", {"local": Context("local", "http://127.0.0.1:1", "t")}),
}


@pytest.mark.parametrize("before", KEPT.values(), ids=KEPT)
def test_the_current_context_is_as_it_was(tmp_path: Path, before: Config) -> None:
    machine = Machine(tmp_path)
    path = tmp_path / ".config/resedge/config.yaml"
    if before.contexts:
        save_config(path, before)
    machine.environment["RESEDGE_CONTEXT"] = "ephemeral"
    with machine.up("--ephemeral"):
        meanwhile = load_config(path)
        command = "resedge" if not before.current else "resedge --context ephemeral"
        assert f"next: {command} apply" in (tmp_path / "up.log").read_text()
    after = load_config(path)

    assert after.current == before.current
    assert meanwhile.current == (before.current or "ephemeral")
    assert {name: after.contexts[name] for name in before.contexts} == before.contexts
