"""The page about roles works as it stands: what it allows goes through, and what it refuses does not."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.cli.cli_machine import Machine
from tests.policy.test_overrides_howto import Reader

PAGE = (Path(__file__).parents[2] / "docs/how-to/roles.md").read_text("utf-8")
FLEET = """\
kind: Store
metadata: {name: ny-1, labels: {state: ny}}
spec: {timezone: America/New_York}
---
kind: Store
metadata: {name: tx-1, labels: {state: tx}}
spec: {timezone: America/Chicago}
---
kind: Group
metadata: {path: /geo/us/northeast}
spec: {stores: [ny-1]}
---
kind: Namespace
metadata: {name: pos}
spec: {expression: "/c/*"}
---
kind: Application
metadata: {name: pos-api}
spec: {namespace: pos}
"""


def test_the_page_is_followed_from_its_first_line_to_its_last(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (tmp_path / "fleet.yaml").write_text(FLEET)
    for file, text in re.findall(r'```yaml title="(.+?)"\n(.+?)```', PAGE, re.DOTALL):
        (tmp_path / file).write_text(text)
    lines = re.findall(r"^\$ \.venv/bin/resedge (.+)$", PAGE, re.MULTILINE)
    assert len(lines) == 9
    with machine.up():
        machine.ok("apply", "-f", str(tmp_path / "fleet.yaml"))
        reader = Reader(machine)
        for line in lines:
            command, _, refused = line.partition("#")
            if "withheld" in refused:
                ran = machine.resedge(*shlex.split(command))
                assert "Withheld: placement policy northeast-no-pos on 1 cluster" in ran.err
                assert "northeast-no-pos" in machine.ok("get", "withheld")
                continue
            if not refused:
                reader.follow(command.strip())
                continue
            words = [str(tmp_path / word) if word.endswith(".yaml") else word for word in shlex.split(command)]
            ran = machine.resedge(*words)
            assert ran.code == 4
            assert "ask for a role binding with apply Configuration" in ran.err
            assert "(/g/geo/us/northeast) and" in ran.err
