"""Running Helm and kubectl: what they print, or `HydrationFailed` with what they say and what to do."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

TOOL_SECONDS_MAX = 120
_INSTALL = {
    "helm": "Install Helm: go install helm.sh/helm/v3/cmd/helm@v3.22.0 (or https://helm.sh/docs/intro/install).",
    "kubectl": "Install kubectl: https://kubernetes.io/docs/tasks/tools/ (it brings kustomize).",
}
_FIXES = {
    "error converting YAML": "A placeholder inside { } or [ ] needs quotes around it.",
    "must specify --enable-helm": "Add --enable-helm: the kustomization renders a Helm chart.",
    "found in Chart.yaml, but missing in charts": "Run `helm dependency build` in the chart first.",
    "range can't iterate over": "The chart loops over a placeholder: give that key a plain list.",
}


class HydrationFailed(ValueError):  # noqa: N818 - a refusal states the fact
    """The path gives no manifests; `detail` shows what the tool said, `fix` what to do."""

    def __init__(self, title: str, detail: str, fix: str = "") -> None:
        self.title = title
        self.detail = detail
        self.fix = fix
        super().__init__(" ".join(part for part in (f"{title}: {detail}", fix) if part))


def run_tool(command: Sequence[str]) -> bytes:
    """Return what `command` prints; what it complains about becomes the refusal."""
    tool = command[0]
    if shutil.which(tool) is None:
        raise HydrationFailed(f"{tool} is not installed", f"{tool} is needed to render this path", _INSTALL[tool])
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=TOOL_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        raise HydrationFailed(f"{tool} did not finish", f"stopped after {TOOL_SECONDS_MAX} s") from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"
        fix = next((fix for words, fix in _FIXES.items() if words in said), "")
        raise HydrationFailed(f"{' '.join(command[:2])} failed", said, fix)
    return done.stdout
