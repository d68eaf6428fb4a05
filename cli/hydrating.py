"""What a publication is made of, rendered and read on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.documents import read_file
from cli.errors import UsageProblem

if TYPE_CHECKING:
    from collections.abc import Callable

    from libs.templates import ChartOptions

_STDIN_BYTES_MAX = 64 << 20
_SIDE_FILE_BYTES_MAX = 4 << 20


def hydrated(
    path: str,
    namespace: str,
    application: str,
    options: ChartOptions,
    chart_version: str,
    say: Callable[[str], None],
) -> str:
    """Return plain manifests, rendered on this machine; `-` is standard input.

    Raises:
        UsageProblem: the path cannot be rendered; says what the renderer said.
    """
    from libs.templates import HydrationFailed, hydrate  # noqa: PLC0415 - only this verb renders

    if path == "-":
        if given := options.given():
            raise UsageProblem(f"{' and '.join(given)} need a chart", fix="give the path of the chart instead of -")
        try:
            return sys.stdin.buffer.read(_STDIN_BYTES_MAX).decode()
        except UnicodeDecodeError as error:
            raise UsageProblem("standard input is not UTF-8", why=str(error)) from error
    if not path.startswith("oci://") and not Path(path).exists():
        raise UsageProblem(f"{path} does not exist", fix="give a folder of manifests, a kustomization or a chart")
    try:
        return hydrate(
            path,
            namespace=namespace,
            release_name=application,
            options=options,
            chart_version=chart_version,
            say=say,
        ).decode()
    except HydrationFailed as error:
        raise UsageProblem(f"{path}: {error.title}", why=error.detail, fix=error.fix) from error


def side_file(path: Path | None) -> Any:
    """Return the one mapping that a schema or defaults file holds; None without a file."""
    if path is None:
        return None
    from libs.templates import YamlRejected, read_yaml  # noqa: PLC0415 - loaded only when it is needed: start-up time

    try:
        found = read_yaml(read_file(path, _SIDE_FILE_BYTES_MAX))
    except YamlRejected as error:
        raise UsageProblem(f"{path}, line {error.line}: {error.detail}", why=str(error.code)) from error
    if len(found) != 1 or not isinstance(found[0], dict):
        raise UsageProblem(f"{path} must hold one mapping, in YAML or JSON")
    return found[0]
