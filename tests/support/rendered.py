"""What clients' changes make of a GitOps branch, and what must be true of it in the end.

The branch is exactly the commits that the log says were written, each once, in the log's order.
"""

from __future__ import annotations

import subprocess

from libs.contracts.rendering import AdmissionWritten
from tests.support.system import System

MANIFEST = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: pos-api}
data:
  store: "${edge.store.name}"
  turn: "${edge.labels.turn:-0}"
"""


def declare(system: System) -> None:
    """Give every store a file that its clients' changes change."""
    namespace = {"kind": "Namespace", "metadata": {"name": "pos"}, "spec": {"expression": "/c/*"}}
    application = {"kind": "Application", "metadata": {"name": "pos-api"}, "spec": {"namespace": "pos"}}
    at = "/v1/applications/pos-api"
    for method, path, body in (
        ("PUT", "/v1/namespaces/pos", namespace),
        ("PUT", at, application),
        ("PUT", f"{at}/releases/1.0.0", {"manifests": MANIFEST}),
        ("POST", f"{at}/release-choices:set", {"version": "1.0.0"}),
    ):
        answer = system.change(method, path, json=body)
        assert answer.is_success, answer.text


def render(system: System) -> None:
    """Start what makes a branch of the clients' changes, where the drill had no need of it until its end."""
    system.start("catalog", "rendering")
    declare(system)


def check_branch(system: System) -> None:
    """The repository is sound, and the branch is exactly the commits that the log says were written, in its order."""
    written: list[str] = []
    log = system.log()
    try:
        after = 0
        while page := log.read_recorded(after):
            after = page[-1].position
            for recorded in page:
                if isinstance(recorded.event, AdmissionWritten) and recorded.event.commit not in written:
                    written.append(recorded.event.commit)
    finally:
        log.close()
    assert written, "nothing was written"
    assert git(system, "rev-list", "--reverse", written[-1]).split() == written
    assert git(system, "for-each-ref", "--format=%(objectname)", "refs/heads").split() == [written[-1]]
    git(system, "fsck", "--strict", "--no-dangling")


def git(system: System, *arguments: str) -> str:
    """Return what git says of the repository that the renderer writes."""
    command = ["git", "--git-dir", str(system.directory / "gitops.git"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"git {arguments[0]}: {done.stderr}{done.stdout}"
    return done.stdout
