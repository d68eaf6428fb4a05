"""Source documents: parsed into commands, and rendered from events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field

from libs.contracts import SourceDeclared, SourceMapping
from libs.contracts.names import API_VERSION
from libs.contracts.refusals import Invalid
from libs.web.schema import Spec, read_as
from services.relay.domain.sources import Command, DeclareSource, check_source

if TYPE_CHECKING:
    from datetime import datetime

    from libs.commands.kinds import Make
    from libs.fleet import Fleet


class MappingItem(Spec):
    """How a foreign type is read: our type, and for each field of its data a JSON pointer into theirs."""

    foreign: str
    type: str
    fields: dict[str, str] = Field(default_factory=dict)


class SourceSpec(Spec):
    """An external system: its source URI, its service account, and what it may send."""

    model_config = ConfigDict(serialize_by_alias=True)

    source: str
    service_account: str = Field(alias="serviceAccount")
    types: list[str]
    names: list[str] = Field(default_factory=list)
    public_key: str = Field(default="", alias="publicKey")
    manifests: str = ""
    mappings: list[MappingItem] = Field(default_factory=list)


def parse_source(document: Any, name: str | None) -> tuple[str, Make[Command]]:
    """Return a source's name and what makes the command that declares it.

    Raises:
        Invalid: the document does not fit.
    """
    read = read_as(document, kind="Source", spec=SourceSpec, name=name)
    if read.labels:
        raise Invalid("a source cannot have labels", pointer="/metadata/labels")
    spec = read.spec
    declared = SourceDeclared(
        name=read.name,
        source=spec.source,
        service_account=spec.service_account,
        types=list(spec.types),
        names=list(spec.names),
        public_key=spec.public_key,
        manifests=spec.manifests,
        mappings=[SourceMapping(each.foreign, each.type, dict(each.fields)) for each in spec.mappings],
    )
    check_source(declared)

    def make(actor: str, at: datetime) -> DeclareSource:
        return DeclareSource(declared, actor, at)

    return read.name, make


def source_document(event: SourceDeclared, _facts: Fleet) -> dict[str, Any]:
    """Return the document of a source; declaring it again changes nothing."""
    spec: dict[str, Any] = {"source": event.source, "serviceAccount": event.service_account, "types": event.types}
    if event.names:
        spec["names"] = event.names
    if event.public_key:
        spec["publicKey"] = event.public_key
    if event.manifests:
        spec["manifests"] = event.manifests
    if event.mappings:
        spec["mappings"] = [
            {"foreign": each.foreign, "type": each.type, "fields": each.fields} for each in event.mappings
        ]
    return {"apiVersion": API_VERSION, "kind": "Source", "metadata": {"name": event.name}, "spec": spec}
