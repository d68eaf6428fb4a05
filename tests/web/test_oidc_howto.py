"""Every command of the how-to does what the page says, with a provider that the test runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import httpx2
import yaml

from cli.config import load_config
from tests.cli.cli_machine import Machine
from tests.support.tokens import ANA, AUDIENCE, CLIENT, REASONS, issuing

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "sign-in.md").read_text("utf-8")
COMMANDS = re.findall(r"^\$ (.+)$", PAGE, re.MULTILINE)
DOCUMENTS = re.findall(r"^```yaml\n(.+?)^```$", PAGE, re.MULTILINE | re.DOTALL)
ISSUER = "https://accounts.example.com"
SERVER = "http://127.0.0.1:8080"


def test_the_page_s_commands_work_in_their_order(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    with issuing() as issuer:
        prepare, up, *signing_in = COMMANDS
        assert up == ".venv/bin/resedge up"
        words = shlex.split(prepare.replace(ISSUER, issuer.url))
        machine.environment |= dict(word.split("=", 1) for word in words[1:])
        with machine.up():
            admin = load_config(tmp_path / ".config/resedge/config.yaml").named("local")
            server = admin.server
            (documents,) = DOCUMENTS
            declared = httpx2.post(
                f"{server}/v1/documents",
                json={"documents": list(yaml.safe_load_all(documents))},
                headers={"Authorization": f"Bearer {admin.token}"},
            )
            assert declared.status_code == 200, declared.text
            said = ""
            for command in signing_in:
                program, *words = shlex.split(command.replace(ISSUER, issuer.url).replace(SERVER, server))
                assert program == ".venv/bin/resedge"
                ran = machine.resedge(*words)
                assert ran.code == 0, f"{command}: {ran.err}"
                said += ran.out
    assert f"context/shop signed in as {ANA}" in said
    assert re.search(rf"^actor +{ANA}$", said, re.MULTILINE)
    assert re.search(r"^groups +ops-east$", said, re.MULTILINE)


def test_the_page_speaks_of_every_reason_and_of_what_the_tests_use() -> None:
    told = set(re.findall(r"`([a-z-]+)`", PAGE))
    assert set(REASONS.values()) <= told
    assert {AUDIENCE, CLIENT} <= told
