"""The vocabulary of the catalog's tests: a small fleet, and things to declare in it."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from libs.contracts import (
    ApplicationDeclared,
    ClusterSpec,
    ConfigurationDeclared,
    GroupDeclared,
    NamespaceDeclared,
    ReleasePublished,
    StoreDeclared,
)
from libs.fleet import Fleet

if TYPE_CHECKING:
    from libs.contracts import Event

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
WHO: dict[str, Any] = {"actor": "ada", "at": NOW}

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"port": {"type": "integer"}, "level": {"enum": ["info", "debug"]}},
        "required": ["port"],
    }
).encode()
DEFAULTS = json.dumps({"port": 80}).encode()
BODIES = {hashlib.sha256(body).hexdigest(): body for body in (SCHEMA, DEFAULTS)}
SCHEMA_DIGEST, DEFAULTS_DIGEST = BODIES


def store(name: str, size: str, cpu: str | None = None) -> StoreDeclared:
    capacity = {} if cpu is None else {"cpu": cpu}
    return StoreDeclared(
        name, "America/Chicago", labels={"size": size}, clusters=[ClusterSpec(name, capacity=capacity)]
    )


STORES = (store("tx-1", "large", "4"), store("tx-2", "large", "2"), store("ny-1", "small"))
GEO = GroupDeclared("/geo/tx", clusters=["tx-1", "tx-2"])
POS = NamespaceDeclared("pos", "/c/*")
API = ApplicationDeclared("pos-api", "pos")


def fleet(*events: Event) -> Fleet:
    facts = Fleet(BODIES.get)
    for event in (*STORES, GEO, *events):
        facts.assume(event)
    return facts


def release(version: str, **more: Any) -> ReleasePublished:
    said = {
        "application": "pos-api",
        "namespace": "pos",
        "digest": f"digest-{version}",
        "manifests": "m",
        "template": "t",
    }
    return ReleasePublished(version=version, **{**said, **more})


def strict(version: str) -> ReleasePublished:
    return release(version, schema=SCHEMA_DIGEST)


def layer(name: str, expression: str = "/c/*", **more: Any) -> ConfigurationDeclared:
    return ConfigurationDeclared(name, expression, **more)
