"""`resedge verify --data-dir`: the same verification as a server's, on files alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from cli.errors import CliError

if TYPE_CHECKING:
    from pathlib import Path


def verify_data_dir(data_dir: Path, all_commits: bool) -> list[dict[str, Any]]:
    """Return the checks of a data directory's log and branch.

    Raises:
        FileNotFoundError: there is no log in it.
        CliError: the verification could not be finished.
    """
    from services.rendering.asking.broken import VerificationBroken  # noqa: PLC0415 - loaded only when verifying
    from services.rendering.asking.verify import shown_checks, verify_branch  # noqa: PLC0415 - loaded only when verifying

    file = data_dir / "log.db"
    if not file.is_file():
        raise FileNotFoundError(f"there is no log at {file}")
    try:
        return shown_checks(
            asyncio.run(verify_branch(f"sqlite:///{file}", data_dir / "gitops.git", every_commit=all_commits))
        )
    except VerificationBroken as broken:
        raise CliError(
            "The verification could not be finished.", why=str(broken), fix=broken.fix, code="verification-broken"
        ) from broken
