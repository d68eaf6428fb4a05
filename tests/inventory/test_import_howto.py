"""The page about imports works as it stands, and prints what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.cli.cli_machine import Machine

PAGE = (Path(__file__).parents[2] / "docs/how-to/import-stores.md").read_text("utf-8")
COMMAND = "$ .venv/bin/resedge "


def test_the_page_is_followed_from_its_first_line_to_its_last(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    files = dict(re.findall(r'```csv title="(.+?)"\n(.+?)```', PAGE, re.DOTALL))
    for file, text in files.items():
        (tmp_path / file).write_text(text)
    told = [
        (command, "\n".join(lines))
        for block in re.findall(r"```console\n(.+?)\n```", PAGE, re.DOTALL)
        for command, *lines in (each.split("\n") for each in f"\n{block}".replace(f"\n{COMMAND}", "\0").split("\0")[1:])
    ]
    assert len(told) == 5
    with machine.up():
        for command, printed in told:
            words = [str(tmp_path / word) if word in files else word for word in shlex.split(command)]
            assert machine.ok(*words).strip() == printed
