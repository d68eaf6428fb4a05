"""Writes what docker-compose.yml and scripts/compose-local need: `.env`, `.dev/` and a context of the command.

Every password and token is random. Nothing is overwritten without `--force`: databases were made with what is there.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from cli.config import write_context, write_private

_ROOT = Path(__file__).parents[1]
SERVER = "http://127.0.0.1:8080"
_CONTEXT = "dev"
PASSWORDS = (
    "RESEDGE_SQLSERVER_SA_PASSWORD",
    "RESEDGE_LOG_OWNER_PASSWORD",
    "RESEDGE_LOG_PASSWORD",
    "RESEDGE_POSTGRES_PASSWORD",
    "RESEDGE_INVENTORY_VIEWS_PASSWORD",
    "RESEDGE_GROUPING_VIEWS_PASSWORD",
    "RESEDGE_CATALOG_VIEWS_PASSWORD",
    "RESEDGE_POLICY_VIEWS_PASSWORD",
    "RESEDGE_RENDERING_VIEWS_PASSWORD",
    "RESEDGE_AUDIT_VIEWS_PASSWORD",
    "RESEDGE_RELAY_VIEWS_PASSWORD",
    "RESEDGE_GRAFANA_PASSWORD",
)
READABLE_IN_CONTAINERS = 0o644
"""What a container's user reads through a bind mount; `.dev` itself lets nobody else list it."""


def password() -> str:
    """Return 160 random bits that stand in a URL as they are and that SQL Server's rules accept."""
    return "Aa1-" + secrets.token_hex(20)


def write(directory: Path, server: str, config: Path | None) -> list[Path]:
    """Write all files under `directory` and the context, and return where they are."""
    from libs.web.auth import TokenStore  # noqa: PLC0415 - it brings FastAPI: loaded only when it is needed

    directory.mkdir(mode=0o711, parents=True, exist_ok=True)
    dev = directory / ".dev"
    dev.mkdir(mode=0o711, exist_ok=True)
    dev.chmod(0o711)  # PostgreSQL's own user goes through it to its data
    (dev / "tokens.json").unlink(missing_ok=True)
    tokens = TokenStore(dev / "tokens.json")
    admin = tokens.issue("admin", frozenset({"admin"}))
    relay = tokens.issue("relay", frozenset({"relay"}))
    metrics = tokens.issue("prometheus", frozenset({"viewer"}))
    write_private(dev / "metrics-token", metrics.encode())
    for name in ("tokens.json", "metrics-token"):
        (dev / name).chmod(READABLE_IN_CONTAINERS)  # hashes, and a token that only reads
    lines = ["# Written by scripts/dev-env: secrets of this machine's development system. Never commit it.\n"]
    lines += [f"{name}={password()}\n" for name in PASSWORDS]
    lines.append(f"RESEDGE_RELAY_TOKEN={relay}\n")
    lines.append(
        "# Where traces go; with --profile observability: http://otel-collector:4317\nRESEDGE_OTLP_ENDPOINT=\n"
    )
    write_private(directory / ".env", "".join(lines).encode())
    where = write_context(_CONTEXT, server, admin, path=config)
    return [directory / ".env", dev / "tokens.json", dev / "metrics-token", where]


def main(arguments: Sequence[str]) -> int:
    """Write the files, or say that they are there."""
    parser = argparse.ArgumentParser(prog="scripts/dev-env", description=__doc__)
    parser.add_argument("--force", action="store_true", help="write new secrets; existing databases then refuse them")
    parser.add_argument("--dir", type=Path, default=_ROOT, help="where .env and .dev go (the project)")
    parser.add_argument("--server", default=SERVER, help=f"the address of the context ({SERVER})")
    parser.add_argument("--config", type=Path, default=None, help="the command's configuration (the user's own)")
    said = parser.parse_args(arguments)
    if (said.dir / ".env").exists() and not said.force:
        print(f"{said.dir / '.env'} already exists; --force writes new secrets", file=sys.stderr)
        return 0
    for path in write(said.dir, said.server, said.config):
        print(f"wrote {path}", file=sys.stderr)
    print(f"the command's context is {_CONTEXT!r} ({said.server})", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
