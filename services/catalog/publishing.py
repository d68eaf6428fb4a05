"""An upload becomes a release: parsed within bounds, compiled for its namespace, named by digests.

Nothing of a refused upload is kept; the kept bytes are exactly those that the digests name. The defaults alone need not
match the schema: required values may come from configurations; both are checked together where a release is chosen.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from pydantic import Field

from libs.contracts import ObjectRef, ReleasePublished
from libs.contracts.problems import Problem, too_large
from libs.contracts.refusals import Invalid
from libs.templates import PublishRejected, SchemaRejected, ValuesSchema, compile_release
from libs.web.schema import Spec, validated
from services.catalog.checking import Checked, check_release
from services.catalog.domain.releases import PublishRelease
from services.catalog.domain.values import check_values

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from libs.fleet import Fleet
    from libs.templates import Template
    from services.catalog.checking import Surroundings

RELEASE_BYTES_MAX = 4 * 1024 * 1024
REFUSED_CODES = frozenset(
    {
        "cluster-scoped",
        "flux-annotation",
        "flux-kind",
        "helm-hook",
        "helm-keep",
        "kind-refused",
        "kustomize-annotation",
        "local-config",
        "namespace-refused",
        "other-namespace",
        "secret-data",
    }
)
"""Codes of manifests that can be read but must not be published (409); the others are unreadable (422)."""

_sorted = msgspec.json.Encoder(order="deterministic")


class ReleaseSpec(Spec):
    """The body of a publication: plain manifests, the JSON Schema of the values, the lowest configuration layer."""

    manifests: str
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    defaults: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """The bodies of a release as they are kept, and the digest over them."""

    manifests: bytes
    schema: bytes | None
    defaults: bytes | None
    digest: str


@dataclass(frozen=True, slots=True)
class CompiledRelease:
    """A release compiled for a namespace and what that namespace allowed."""

    namespace: str
    allow: tuple[str, ...]
    template: Template
    upload: Upload
    body: bytes
    checked: Checked

    def blobs(self) -> Mapping[str, bytes]:
        """Return the bodies by digest, for the log to keep."""
        bodies = (self.upload.manifests, self.body, self.upload.schema, self.upload.defaults, self.checked.body)
        return {_digest_of(body): body for body in bodies if body is not None}

    def command(self, application: str, version: str, actor: str, at: datetime) -> PublishRelease:
        """Return the command that publishes it."""
        schema, defaults = self.upload.schema, self.upload.defaults
        release = ReleasePublished(
            application=application,
            version=version,
            namespace=self.namespace,
            digest=self.upload.digest,
            manifests=_digest_of(self.upload.manifests),
            template=_digest_of(self.body),
            schema=None if schema is None else _digest_of(schema),
            defaults=None if defaults is None else _digest_of(defaults),
            checks=None if self.checked.body is None else _digest_of(self.checked.body),
            images=list(self.template.images),
            objects=[
                ObjectRef(each.api_version, each.kind, each.namespace, each.name) for each in self.template.objects
            ],
        )
        return PublishRelease(release, self.allow, actor, at)


def _digest_of(body: bytes) -> str:
    """Return the name of a body in the log (hex SHA-256)."""
    return hashlib.sha256(body).hexdigest()


def read_upload(value: Any) -> Upload:
    """Return the bodies that a publication's document holds.

    Raises:
        Invalid: the document, the schema or the defaults do not fit.
        Problem: 413, together they are larger than 4 MiB.
    """
    said: ReleaseSpec = validated(ReleaseSpec, value)
    manifests = said.manifests.encode()
    schema = None if said.schema_ is None else _sorted.encode(said.schema_)
    defaults = None if said.defaults is None else _sorted.encode(said.defaults)
    if len(manifests) + len(schema or b"") + len(defaults or b"") > RELEASE_BYTES_MAX:
        raise too_large(RELEASE_BYTES_MAX)
    if said.schema_ is not None:
        try:
            ValuesSchema(said.schema_)
        except SchemaRejected as problem:
            raise Invalid(problem.detail, pointer=f"/schema{problem.pointer}") from None
    if said.defaults is not None:
        check_values(said.defaults, "/defaults")
    parts = (None if body is None else _digest_of(body) for body in (manifests, schema, defaults))
    return Upload(manifests, schema, defaults, _digest_of(msgspec.json.encode(list(parts))))


async def compiled_release(
    upload: Upload, version: str, facts: Fleet, application: str, meets: Surroundings
) -> CompiledRelease:
    """Return the upload compiled for its application's namespace, on a thread: megabytes of YAML take a while.

    Raises:
        Problem: 409 for what may not be published, 422 for what cannot be read; both name the object.
    """
    namespace = facts.applications[application].namespace
    allow = facts.namespaces[namespace].allow

    def compile_and_encode() -> tuple[Template, bytes, Checked]:
        template, objects = compile_release(
            upload.manifests, application=application, namespace=namespace, version=version, allow=allow
        )
        others = [found for digest in meets.others if (found := facts.blob(digest)) is not None]
        return template, template.to_bytes(), check_release(template, objects, meets, application, others)

    try:
        template, body, checked = await asyncio.to_thread(compile_and_encode)
    except PublishRejected as problem:
        raise Problem(
            409 if problem.code in REFUSED_CODES else 422,
            problem.code,
            f"{problem.title}.",
            problem.detail,
            problem.pointer or None,
            problem.fix or None,
            {"object": problem.object or None},
        ) from None
    return CompiledRelease(namespace, tuple(allow), template, upload, body, checked)
