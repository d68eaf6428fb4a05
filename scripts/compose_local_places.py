"""What stands for what, and where, when docker-compose.yml runs as processes of this machine.

Everything that differs from containers is in the tables of this file; a host that has no place here is an error, never
a surprise at run time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from scripts.compose_local_file import HEALTHY, ComposeError, LocalService

ROOT = Path(__file__).parents[1]
COMPOSE_FILE = ROOT / "docker-compose.yml"

REPLACED: Mapping[str, str] = {
    "sqlserver": "the database `log` of the local PostgreSQL",
    "sqlserver-login": "the roles `resedge_owner` and `resedge` of the local PostgreSQL",
    "kafka": "scripts/kafka, one broker",
    "postgres": "a PostgreSQL of its own",
    "edge": "nginx of this machine, with the same configuration",
}
"""Third parties' images, and what stands for each."""

NEEDED_HERE: Mapping[str, Mapping[str, str]] = {"sqlserver": {"postgres": HEALTHY}}
"""What a stand-in needs besides what the file says."""

LEFT_OUT: Mapping[str, str] = {
    "prometheus": "the figures are at /services/<name>/metrics",
    "grafana": "it shows Prometheus' figures",
    "otel-collector": "set RESEDGE_OTLP_ENDPOINT to a collector of your own",
}
"""Third parties' images that nothing here depends on."""

PORTS: Mapping[tuple[str, int], tuple[int, int]] = {
    # (host, port) in the file: (port here, distance from --port-base)
    ("edge", 8080): (8080, 0),
    ("inventory", 8101): (8101, 1),
    ("grouping", 8102): (8102, 2),
    ("catalog", 8103): (8103, 3),
    ("rendering", 8104): (8104, 4),
    ("audit", 8105): (8105, 5),
    ("relay", 8106): (8106, 6),
    ("policy", 8107): (8107, 10),
    ("postgres", 5432): (15432, 7),
    ("kafka", 9092): (19092, 8),
    ("kafka", 9093): (19093, 9),
}

SQL_SERVER = re.compile(r"mssql\+pyodbc://(?P<user>\w+):(?P<password>[^@]+)@sqlserver:1433/resedge\?.*")
LOG_URL = "postgresql+pg8000://{user}:{password}@127.0.0.1:{port}/log?sslmode=disable"
ANY_ADDRESS = re.compile(r"0\.0\.0\.0(?=$|:)")
DOCKER_RESOLVER, ANY_RESOLVER = "127.0.0.11", "127.0.0.1"  # addresses are numbers here: nothing is looked up
_HOST = re.compile(r"(?<![\w.-])([a-z][a-z-]*):(\d+)(?!\d)")


@dataclass(frozen=True, slots=True)
class Places:
    """Where one local system lies: `home` holds `.env` and `.dev`, all else is in `.dev/local`."""

    home: Path
    port_base: int | None = None
    file: Path = COMPOSE_FILE

    @property
    def directory(self) -> Path:
        """Return where data, logs and process files are."""
        return self.home / ".dev" / "local"

    @property
    def variables(self) -> Path:
        """Return the file of secrets."""
        return self.home / ".env"

    def port(self, host: str, port: int) -> int:
        """Return the port of this machine that stands for a port of a host in the file.

        Raises:
            ComposeError: none does.
        """
        if (host, port) not in PORTS:
            raise ComposeError(f"{host}:{port} has no place on this machine")
        usual, distance = PORTS[host, port]
        return usual if self.port_base is None else self.port_base + distance

    @property
    def address(self) -> str:
        """Return the address of the system."""
        return f"http://127.0.0.1:{self.port('edge', 8080)}"

    def listening(self) -> dict[str, list[int]]:
        """Return the ports of this machine that each service listens on."""
        found: dict[str, list[int]] = {}
        for host, port in PORTS:
            found.setdefault(host, []).append(self.port(host, port))
        return found

    def remember(self) -> None:
        """Keep the ports for the commands that come later."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for directory in (self.home / ".dev", self.directory):
            directory.chmod(0o711)  # PostgreSQL's own user goes through them to its data
        for name in ("data", "kafka", "logs", "run", "tmp"):
            (self.directory / name).mkdir(mode=0o700, exist_ok=True)
        (self.directory / "port-base").write_text("" if self.port_base is None else str(self.port_base), "ascii")

    def remembered(self) -> Places:
        """Return the places that the last `up` used; asked for ports are taken as they are."""
        kept = self.directory / "port-base"
        text = kept.read_text("ascii") if self.port_base is None and kept.exists() else ""
        return replace(self, port_base=int(text)) if text else self

    @property
    def moved(self) -> bool:
        """Whether the last `up` used other ports."""
        kept = self.directory / "port-base"
        return kept.exists() and kept.read_text("ascii") != ("" if self.port_base is None else str(self.port_base))

    def paths(self, service: str) -> Mapping[str, str]:
        """Return what stands for each path in a container."""
        return {
            "/var/lib/resedge": str(self.directory / "data" / service),
            "/etc/resedge/tokens.json": str(self.home / ".dev" / "tokens.json"),
            "/tmp": str(self.directory / "tmp" / service),  # noqa: S108 - the container's, which is not used
        }

    def environment(self, service: LocalService) -> dict[str, str]:
        """Return the environment of a service's process: the file's, with hosts, ports and paths of this machine.

        Raises:
            ComposeError: a value names a host that has no place here.
        """
        return {name: self._value(service, name, value) for name, value in service.environment.items()}

    def _value(self, service: LocalService, name: str, value: str) -> str:
        if found := SQL_SERVER.fullmatch(value):
            return LOG_URL.format(**found.groupdict(), port=self.port("postgres", 5432))
        if value in (paths := self.paths(service.name)):
            return paths[value]
        if name == f"RESEDGE_{service.name.upper()}_PORT":
            return str(self.port(service.name, int(value)))
        if value == DOCKER_RESOLVER:
            return ANY_RESOLVER
        if service.name == "edge" and name == "EDGE_LISTEN":
            return f"127.0.0.1:{self.port('edge', int(value.rpartition(':')[2]))}"
        return _HOST.sub(self._host, ANY_ADDRESS.sub("127.0.0.1", value))

    def _host(self, found: re.Match[str]) -> str:
        return f"127.0.0.1:{self.port(found[1], int(found[2]))}"


def check_places(services: Mapping[str, LocalService]) -> None:
    """See that every third party's image is replaced or left out, and that nothing needs one that is left out.

    Raises:
        ComposeError: the file has one that nothing is known of.
    """
    for service in services.values():
        if not service.ours and service.name not in REPLACED and service.name not in LEFT_OUT:
            raise ComposeError(f"services.{service.name}: nothing is known that stands for its image")
        if service.name not in LEFT_OUT:
            for needed in service.depends_on.keys() & LEFT_OUT.keys():
                raise ComposeError(f"services.{service.name}.depends_on: {needed} is left out here")
        for target, published in service.published.items():
            usual = PORTS.get((service.name, target), (published, 0))[0]
            if service.name not in LEFT_OUT and usual != published:
                raise ComposeError(f"services.{service.name}.ports: {published} is not the port {usual} of the table")


def local(services: Mapping[str, LocalService]) -> dict[str, LocalService]:
    """Return the services that run here, with what their stand-ins need."""
    return {
        name: replace(service, depends_on={**service.depends_on, **NEEDED_HERE.get(name, {})})
        for name, service in services.items()
        if name not in LEFT_OUT
    }
