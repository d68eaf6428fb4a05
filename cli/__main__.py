"""The entry point of `resedge`.

The one rule: nothing is imported before it is needed; `--version` loads no library at all.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code (the codes are `cli.errors.ExitCode`)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] in (["--version"], ["-V"]):
        from libs.version import VERSION  # noqa: PLC0415 - loaded only when it is needed: start-up time

        print(f"resedge {VERSION}")
        return 0
    from cli.app import run  # noqa: PLC0415 - loaded only when it is needed: start-up time

    return run(given)


if __name__ == "__main__":
    sys.exit(main())
