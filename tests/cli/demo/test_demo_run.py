"""The whole demo, as a person runs it: a small fleet on a real server, the commands it proposes, and its end."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.children import child

STORES = 40
SECONDS_MAX = 120


@dataclass
class Run:
    """A demo that has arrived and still serves."""

    process: subprocess.Popen[str]
    printed: list[str]
    data_dir: Path
    environment: dict[str, str]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    home = tmp_path_factory.mktemp("home")
    data_dir = tmp_path_factory.mktemp("demo") / "data"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RESEDGE_")}
    environment |= {"XDG_CONFIG_HOME": str(home / "config"), "XDG_STATE_HOME": str(home / "state")}
    command = [sys.executable, "-m", "cli", "demo", "--stores", str(STORES), "--port", "0", "--data-dir", str(data_dir)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
    printed: list[str] = []
    with child(command, text=True, env=environment, **pipes) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                printed.append(line.rstrip())
                if line.strip().endswith(" verify"):
                    break
            yield Run(process, printed, data_dir, environment)
        finally:
            process.terminate()  # it ends its server, which a kill would leave behind
            process.wait(SECONDS_MAX)


def test_every_step_says_its_time_and_those_that_render_their_commit(demo: Run) -> None:
    steps = [line for line in demo.printed if re.search(r" \d+(\.\d+)? (s|ms)\b", line)]

    assert len(steps) == 11, demo.printed
    assert sum(bool(re.search(r" [0-9a-f]{12}( |$)", line)) for line in steps) == 6
    moved = next(line for line in steps if "pilot stores" in line)
    assert re.search(r" 1  [0-9a-f]{12}", moved)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
def test_the_result_is_a_repository_that_git_clones_and_kubernetes_builds(demo: Run, tmp_path: Path) -> None:
    fleet = tmp_path / "fleet"
    subprocess.run(["git", "clone", "-q", str(demo.data_dir / "gitops.git"), str(fleet)], check=True)
    subprocess.run(["git", "-C", str(fleet), "fsck", "--strict"], check=True, capture_output=True)
    stores = sorted(path.parent for path in fleet.glob("clusters/*/*/*/flux-system"))

    assert len(stores) == STORES + 1
    for folder in sorted(path for path in stores[0].iterdir() if path.is_dir()):
        subprocess.run(["kubectl", "kustomize", str(folder)], check=True, capture_output=True)


def resedge(demo: Run, *arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        env=demo.environment,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert ran.returncode == 0, (arguments, ran.stdout, ran.stderr)
    return ran.stdout


def test_the_commands_that_it_proposes_work(demo: Run) -> None:
    start = next(index for index, line in enumerate(demo.printed) if "another terminal" in line)
    proposed = [shlex.split(line)[1:] for line in demo.printed[start + 1 :]]

    assert len(proposed) >= 6
    for arguments in proposed:
        resedge(demo, *arguments)


def test_a_store_finds_its_directory_as_the_how_to_page_says(demo: Run) -> None:
    store = resedge(demo, "get", "clusters", "--limit", "1", "-o", "name").strip().split("/")[1]
    path = json.loads(resedge(demo, "get", "clusters", store, "-o", "json"))["path"]

    listed = subprocess.run(
        ["git", "-C", str(demo.data_dir / "gitops.git"), "ls-tree", "--name-only", f"main:{path}/flux-system"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "kustomization.yaml" in listed.stdout.split()


def test_ending_the_demo_ends_its_server(demo: Run) -> None:
    demo.process.send_signal(signal.SIGTERM)

    assert demo.process.wait(SECONDS_MAX) == 0
    assert "stopped" in (demo.data_dir / "server.log").read_text(encoding="utf-8")
