"""The page about sign-off works as it stands: its documents are applied, and its commands run one after the other."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from tests.cli.cli_machine import Machine

PAGE = (Path(__file__).parents[2] / "docs/how-to/sign-off.md").read_text("utf-8")
STORES = """\
kind: Store
metadata: {name: tx-1, labels: {state: tx}}
spec: {timezone: America/Chicago}
---
kind: Store
metadata: {name: ut-1, labels: {state: ut}}
spec: {timezone: America/Denver}
"""
AT_HAND = "http://127.0.0.1:8080"


def commands() -> list[str]:
    blocks = re.findall(r"```console\n(.+?)```", PAGE, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line.removeprefix("$ .venv/bin/resedge ") for line in lines if line.startswith("$ .venv/bin/resedge ")]


class Reader:
    """Somebody who does what the page says."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        context = yaml.safe_load((machine.home / ".config/resedge/config.yaml").read_text("utf-8"))
        self.server = str(context["contexts"][0]["server"])
        self.known = {AT_HAND: self.server}

    def follow(self, line: str) -> str:
        command, _, file = line.partition(" > ")
        words = [self.known.get(word, word) for word in shlex.split(command)]
        words = [str(self.machine.home / word) if word.endswith((".yaml", ".token")) else word for word in words]
        out = self.machine.ok(*words)
        if file:
            (self.machine.home / file).write_text(out)
        if "request" in words:
            self.known["OVERRIDE"] = out.strip()
        if "--mine" in words:
            self.known["APPROVAL"] = out.split("\n")[1].split()[0]
        return out


def test_the_page_is_followed_from_its_first_line_to_its_last(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (tmp_path / "stores.yaml").write_text(STORES)
    (tmp_path / "sign-off.yaml").write_text(re.findall(r'```yaml title="sign-off.yaml"\n(.+?)```', PAGE, re.DOTALL)[0])
    with machine.up():
        machine.ok("apply", "-f", str(tmp_path / "stores.yaml"))
        reader = Reader(machine)
        said = {line: reader.follow(line) for line in commands()}

    (active,) = [out for line, out in said.items() if line.endswith("get overrides --state active")]
    assert len(active.strip().splitlines()) == 2
    assert len(said) == 17


@pytest.mark.parametrize("word", ["GlassBroken", "resedge_break_glass_total", "policy.break-glass"])
def test_what_the_page_names_is_there(word: str) -> None:
    root = Path(__file__).parents[2]
    places = [root / "compose/prometheus/alerts.yml", root / "services/policy/overrides_api.py"]

    assert word in PAGE
    assert any(word in place.read_text("utf-8") for place in places)
