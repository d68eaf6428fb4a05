"""Runs one service in a process of its own: `python -m services.<name>`.

It is the embedded composition with one service, so that a service behaves the same alone.
"""

from __future__ import annotations

from functools import partial

import structlog

from libs.access.oidc import BadProvider
from libs.eventlog import DatabaseNotReady, DriverMissing, UnknownLogFormat
from libs.runtime.connections import Bounds
from libs.runtime.embedded import Embedded
from libs.runtime.logs import set_up_logs
from libs.runtime.service import Build
from libs.runtime.serving import listen, serve
from libs.runtime.settings import ProcessSettings
from libs.runtime.telemetry import set_up_telemetry
from libs.runtime.wiring import Wiring

log = structlog.get_logger("resedge.runtime")


def run_service(name: str, build: Build, settings: ProcessSettings) -> None:
    """Serve one service until SIGTERM; its log is `log_url`, or the one in `data_dir`.

    Raises:
        DataDirInUse: the same service runs there already.
        SystemExit: it cannot start, or ended by itself; the reason was printed.
    """
    try:
        wiring = Wiring.of(settings)
    except BadProvider as refusal:
        raise SystemExit(f"error: {refusal}") from refusal
    instance = wiring.named(settings.data_dir)
    set_up_logs(settings.log_level, service=name, instance=instance)
    set_up_telemetry(name, endpoint=settings.otlp_endpoint, instance=instance)
    try:
        embedded = Embedded(
            settings.data_dir,
            [build],
            log_url=settings.log_url,
            name=name,
            wiring=wiring,
            snapshot_seconds=settings.snapshot_seconds,
        )
    except (DatabaseNotReady, DriverMissing, UnknownLogFormat) as refusal:
        raise SystemExit(f"error: {refusal}") from refusal
    with listen(settings.host, settings.port) as listening:
        announce = partial(log.info, "listening", service=name, port=settings.port)
        if not serve(embedded, listening, announce, settings.trusted_proxies, Bounds(settings.connections_max)):
            raise SystemExit(1)
