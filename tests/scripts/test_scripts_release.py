"""`scripts/release` builds what a commit holds, the same bytes each time, and what it builds runs anywhere."""

from __future__ import annotations

import ast
import configparser
import email
import hashlib
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement

from libs.version import VERSION
from tests.cli.cli_server import clean_environment

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SHIPPED = ("cli", "libs", "services")
NAME = f"resilient_edge-{VERSION}"
WHEEL = f"{NAME}-py3-none-any.whl"
NO_ENGINE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
STAND_IN = """#!/usr/bin/env bash
# Stands for docker: writes down how it is called, and the file that it would build.
printf '%s\\n' "$*" >>"$(dirname "$0")/asked"
case "$*" in
"image inspect"*) echo python@sha256:0123 ;;
"buildx build"*) [[ "$*" =~ dest=([^,]*) ]] && echo image >"${BASH_REMATCH[1]}" ;;
esac
"""
HOOK = """
import time
from pathlib import Path
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

class Clock(BuildHookInterface):
    def initialize(self, version, build_data):
        Path(self.root, "cli", "built.txt").write_text(str(time.time_ns()))
"""


class Ran(NamedTuple):
    code: int
    out: str
    err: str


def git(clone: Path, *arguments: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", "-C", clone, *who, *arguments], check=True, capture_output=True, text=True).stdout


def files(*under: str) -> list[str]:
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z", *under],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return sorted(name for name in listed.split("\0") if name and (ROOT / name).is_file())


def release(clone: Path, out: Path, **environment: str) -> Ran:
    ran = subprocess.run(
        [clone / "scripts/release", "--out", os.path.relpath(out, clone.parent)],
        cwd=clone.parent,
        env={**os.environ, **NO_ENGINE, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)


def commit(clone: Path, **changed: str) -> None:
    for name, text in changed.items():
        (clone / name).write_text(text, "utf-8")
    git(clone, "add", "-A")
    git(clone, "commit", "-q", "-m", "Change it")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return cloned(tmp_path / "a clone")


def cloned(place: Path) -> Path:
    """Make a repository of one commit with the working tree's files; it builds with the tools of this one."""
    for name in files(*SHIPPED, "scripts", "Dockerfile", "pyproject.toml", "*.md", "LICENSE", ".gitignore"):
        if not name.startswith("docs/"):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes((ROOT / name).read_bytes())
            (place / name).chmod((ROOT / name).stat().st_mode)
    subprocess.run(["git", "init", "-q", place], check=True)
    commit(place)
    (place / ".git/info/exclude").write_text(".venv\n")
    (place / ".venv").symlink_to(sys.prefix)
    return place


class Released(NamedTuple):
    out: Path
    ran: Ran


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Released:
    place = tmp_path_factory.mktemp("release")
    (place / "out").mkdir()
    (place / "out" / "of-somebody").write_text("kept")
    (place / "out" / "resilient_edge-0.0.1.tar.gz").write_text("of an earlier release")
    clone = cloned(place / "clone")
    (clone / "cli" / "uncommitted.py").write_text("")
    ran = release(clone, place / "out")
    assert ran.code == 0, ran.err
    return Released(place / "out", ran)


def test_a_release_is_two_distributions_and_their_sums(released: Released) -> None:
    sums = (released.out / "SHA256SUMS").read_text()

    assert {each.name for each in released.out.iterdir()} == {f"{NAME}.tar.gz", WHEEL, "SHA256SUMS", "of-somebody"}
    assert released.ran.out == sums
    assert dict(line.split("  ")[::-1] for line in sums.splitlines()) == {
        name: hashlib.sha256((released.out / name).read_bytes()).hexdigest() for name in (f"{NAME}.tar.gz", WHEEL)
    }


def test_a_release_says_what_is_not_in_it(released: Released) -> None:
    assert "image: NOT built" in released.ran.err
    assert "uncommitted changes" in released.ran.err


def test_the_wheel_holds_every_file_of_the_program_and_nothing_else(released: Released) -> None:
    with zipfile.ZipFile(released.out / WHEEL) as wheel:
        names = {each for each in wheel.namelist() if ".dist-info/" not in each}
        assert all((ROOT / name).read_bytes() == wheel.read(name) for name in names)
    assert names == set(files(*SHIPPED))


def test_the_source_distribution_holds_no_tests(released: Released) -> None:
    with tarfile.open(released.out / f"{NAME}.tar.gz") as archive:
        tops = {each.name.split("/")[1] for each in archive.getmembers()}
    ours = {*SHIPPED, "CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml"}
    assert tops == ours | {".gitignore", "PKG-INFO"}


def test_the_wheel_says_what_it_is(released: Released) -> None:
    with zipfile.ZipFile(released.out / WHEEL) as wheel:
        inside = f"{NAME}.dist-info"
        told = email.message_from_bytes(wheel.read(f"{inside}/METADATA"))
        entries = configparser.ConfigParser()
        entries.read_string(wheel.read(f"{inside}/entry_points.txt").decode())
        licences = {each for each in wheel.namelist() if each.startswith(f"{inside}/licenses/")}
    project = PROJECT["project"]
    assert (told["Name"], told["Version"], told["Requires-Python"]) == ("resilient-edge", VERSION, ">=3.11")
    assert told["License-Expression"] == "Apache-2.0"
    assert len(licences) == len(project["license-files"])
    assert told.get_all("Classifier") == project["classifiers"]
    asked = {str(Requirement(each)) for each in project["dependencies"]}
    assert {str(Requirement(each)) for each in told.get_all("Requires-Dist") or ()} == asked
    assert dict(entries["console_scripts"]) == {"resedge": "cli.__main__:main"}


def test_the_program_imports_only_what_the_wheel_asks_for() -> None:
    """Everything that a shipped module imports is a dependency, or comes with one; none is a development tool."""
    wanted = [Requirement(each) for each in PROJECT["project"]["dependencies"]]
    closure: set[str] = set()
    while wanted:
        each = wanted.pop()
        extras = each.extras or {""}
        name = re.sub(r"[-_.]+", "-", each.name).lower()
        if name not in closure and (not each.marker or any(each.marker.evaluate({"extra": one}) for one in extras)):
            closure.add(name)
            for more in map(Requirement, requires(name) or ()):
                if not more.marker or any(more.marker.evaluate({"extra": one}) for one in extras):
                    more.marker = None
                    wanted.append(more)
    homes = packages_distributions()
    for path in files(*SHIPPED):
        for module in imported(ROOT / path) if path.endswith(".py") else ():
            if module not in sys.stdlib_module_names and module not in SHIPPED:
                homed = {re.sub(r"[-_.]+", "-", each).lower() for each in homes.get(module, ())}
                assert homed & closure, f"{path} imports {module}, which no dependency brings"


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_the_wheel_runs_the_whole_journey_where_other_modules_have_its_names(
    released: Released, tmp_path: Path
) -> None:
    """The working directory has a `cli`, a `libs` and a `services` of its own, as anybody's project may."""
    installed = tmp_path / "venv"
    venv.create(installed, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(installed), "platbase": str(installed)}))
    with zipfile.ZipFile(released.out / WHEEL) as wheel:
        wheel.extractall(packages)  # noqa: S202 - made a moment ago by us
    # What it asks for is taken from here; the project itself is there by a file that only its own interpreter reads.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    here = tmp_path / "here"
    for name in SHIPPED:
        (here / name).mkdir(parents=True)
        (here / name / "__init__.py").write_text(f"raise SystemExit('{name} of somebody else')\n")
    command = installed / "bin" / "resedge"
    command.write_text(f"#!{installed}/bin/python\nimport sys\nfrom cli.__main__ import main\nsys.exit(main())\n")
    command.chmod(0o755)

    def resedge(*arguments: str) -> str:
        ran = subprocess.run(
            [command, *arguments],
            cwd=here,
            env=clean_environment(str(tmp_path)) | {"TMPDIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    assert resedge("--version") == f"resedge {VERSION}\n"
    journey = resedge("demo", "--stores", "20", "--no-serve")
    assert "open the fleet" in journey
    assert re.search(r"together +\d", journey)
    assert not [each for each in packages.rglob("*") if each.is_dir() and each.name == "tests"]


def test_a_file_that_changes_with_the_time_is_an_error(clone: Path, tmp_path: Path) -> None:
    hooked = (clone / "pyproject.toml").read_text("utf-8") + "\n[tool.hatch.build.hooks.custom]\n"
    commit(clone, **{"pyproject.toml": hooked, "hatch_build.py": HOOK})
    ran = release(clone, tmp_path / "out")

    assert ran.code == 1
    assert "has other bytes when it is built again" in ran.err
    assert not (tmp_path / "out").exists()


def test_a_version_is_released_once_and_only_with_an_entry(clone: Path, tmp_path: Path) -> None:
    git(clone, "tag", f"v{VERSION}")
    commit(clone, **{"README.md": "changed"})
    ran = release(clone, tmp_path / "out")
    assert (ran.code, f"v{VERSION} is the tag of commit" in ran.err) == (1, True)

    version = clone / "libs/version.py"
    version.write_text(version.read_text("utf-8").replace(f'"{VERSION}"', '"99.0.0"'), "utf-8")
    commit(clone)
    ran = release(clone, tmp_path / "out")
    assert (ran.code, "CHANGELOG.md has no entry for 99.0.0" in ran.err) == (1, True)


def test_an_image_is_built_on_a_digest_with_the_commit_s_time(clone: Path, tmp_path: Path) -> None:
    """What docker is asked for; no engine was there to answer it."""
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(STAND_IN)
    docker.chmod(0o755)
    ran = release(clone, tmp_path / "out", PATH=f"{docker.parent}:{os.environ['PATH']}")
    asked = (docker.parent / "asked").read_text()

    assert ran.code == 0, ran.err
    assert "--build-arg PYTHON_IMAGE=python@sha256:0123 " in asked
    assert f"--build-arg SOURCE_DATE_EPOCH={git(clone, 'show', '-s', '--format=%ct').strip()} " in asked
    assert f"--build-arg REVISION={git(clone, 'rev-parse', 'HEAD').strip()} " in asked
    assert f"resilient-edge-{VERSION}-image.tar" in (tmp_path / "out" / "SHA256SUMS").read_text()
    assert "NOT built" not in ran.err

    loose = release(clone, tmp_path / "loose", PATH=f"{docker.parent}:{os.environ['PATH']}", PYTHON_IMAGE="python:3.11")
    assert (loose.code, "NAME@sha256:DIGEST" in loose.err) == (1, True)


def test_the_build_backend_is_one_version() -> None:
    assert PROJECT["build-system"]["requires"][0] in PROJECT["dependency-groups"]["dev"]


def test_the_image_takes_what_a_release_tells_it_and_keeps_no_times_in_compiled_files() -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    modes = re.findall(r"PYC_INVALIDATION_MODE=(\S+)", text)

    assert set(re.findall(r"^ARG (\w+)", text, re.MULTILINE)) == {"PYTHON_IMAGE", "VERSION", "REVISION"}
    assert all(line.split()[1] == "${PYTHON_IMAGE}" for line in text.splitlines() if line.startswith("FROM "))
    assert [PycInvalidationMode[each] for each in modes] == [PycInvalidationMode.UNCHECKED_HASH]
    assert re.findall(r"--invalidation-mode (\S+)", text) == ["unchecked-hash"]


def test_the_changelog_begins_with_the_version_and_keeps_its_form() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    versions = re.findall(r"^## \[(\d+)\.(\d+)\.(\d+)\] - (?:unreleased|\d{4}-\d\d-\d\d)$", text, re.MULTILINE)
    numbers = [tuple(map(int, each)) for each in versions]

    assert ".".join(versions[0]) == VERSION
    assert len(versions) == len(re.findall(r"^## ", text, re.MULTILINE))
    assert numbers == sorted(set(numbers), reverse=True)
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= kinds
    assert text.count("- unreleased\n") <= 1
    for link in re.findall(r"\]\((docs/[^)]+)\)", text):
        assert (ROOT / link).exists(), link


def test_the_page_tells_how_a_release_is_checked(released: Released) -> None:
    page = (ROOT / "docs/how-to/install-and-release.md").read_text("utf-8")
    found = re.search(r'^```bash title="check.sh"\n(.*?)^```$', page, re.MULTILINE | re.DOTALL)
    assert found is not None
    checked = subprocess.run(["bash", "-euc", found[1]], cwd=released.out, capture_output=True, text=True, check=True)

    assert checked.stdout.splitlines() == [f"{WHEEL}: OK", f"{NAME}.tar.gz: OK"]
    assert not re.search(rf"\b{re.escape(VERSION)}\b", page), "the version stands in libs/version.py and nowhere else"
