"""A configuration is one layer of values for applications, on the clusters that its expression selects.

It is tried on a fork of the fleet first. Two layers of equal rank must not set one key differently on a cluster, and no
release in force may get values that its schema newly refuses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, assert_never

from libs.contracts import ConfigurationDeclared, ConfigurationRemoved
from libs.contracts.absent import Absent
from libs.contracts.meaning import counted
from libs.contracts.names import check_name, escape
from libs.contracts.refusals import Invalid, Rejected
from libs.fleet import rank
from libs.fleet.checks import check_expression, read_expression, unknown
from libs.selection import canonical
from libs.templates import Layer, conflicts
from libs.templates.layers import same
from services.catalog.domain.checks import ValuesInvalid
from services.catalog.domain.values import check_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from libs.fleet import Fleet
    from libs.templates import Conflict

PRIORITY_MAX = 1_000_000

State = Absent | ConfigurationDeclared
Event = ConfigurationDeclared | ConfigurationRemoved


class ConfigurationConflict(Rejected):
    """Two layers of equal rank set the same key to different values on one cluster."""

    code = "configuration-conflict"


@dataclass(frozen=True, slots=True)
class DeclareConfiguration:
    """Declare the layer, whole: for `applications`, or all of `namespace`, or (neither) for all."""

    configuration: ConfigurationDeclared
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RemoveConfiguration:
    """Remove the layer; lower layers apply again."""

    name: str
    actor: str
    at: datetime


Command = DeclareConfiguration | RemoveConfiguration


def decide(command: Command, state: State, facts: Fleet) -> Sequence[Event]:
    """Return what follows from `command`; nothing, if the layer is so already.

    Raises:
        Invalid, UnknownReference, SelectsNothing, ConfigurationConflict, ValuesInvalid: why not.
    """
    match command:
        case DeclareConfiguration():
            return _declare(command, state, facts)
        case RemoveConfiguration():
            return [] if isinstance(state, Absent) else [ConfigurationRemoved(command.name)]
        case _:
            assert_never(command)


def _declare(command: DeclareConfiguration, state: State, facts: Fleet) -> Sequence[Event]:
    asked = command.configuration
    _check_document(asked)
    expression = read_expression(asked.expression)
    declared = replace(asked, expression=canonical(expression), applications=sorted(set(asked.applications)))
    # In Python 1 == True == 1.0; in a manifest they are three things.
    if declared == state and same(declared.values, state.values):
        return []
    _check_references(asked, facts)
    if isinstance(state, Absent) or (state.expression, state.allow_empty) != (
        declared.expression,
        declared.allow_empty,
    ):
        check_expression(expression, facts, allow_empty=asked.allow_empty)
    _check_conflicts(declared, facts)
    if any(release.schema is not None for release in facts.releases.values()):
        _check_values(declared, state, facts, command.at)
    return [declared]


def _check_document(asked: ConfigurationDeclared) -> None:
    check_name(asked.name)
    if asked.applications and asked.namespace is not None:
        raise Invalid(
            "a configuration is for applications or for a namespace, not for both",
            pointer="/spec/namespace",
            fix="leave one of the two out",
        )
    if abs(asked.priority) > PRIORITY_MAX:
        raise Invalid(f"a priority must be between -{PRIORITY_MAX:,} and {PRIORITY_MAX:,}", pointer="/spec/priority")
    check_values(asked.values, "/spec/values")


def _check_references(asked: ConfigurationDeclared, facts: Fleet) -> None:
    for index, application in enumerate(asked.applications):
        if application not in facts.applications:
            raise unknown("application", application, f"/spec/applications/{index}", facts.applications)
    if asked.namespace is not None and asked.namespace not in facts.namespaces:
        raise unknown("namespace", asked.namespace, "/spec/namespace", facts.namespaces)


def _check_conflicts(declared: ConfigurationDeclared, facts: Fleet) -> None:
    """Refuse a layer that contradicts another of its rank on some cluster; between ranks the higher simply wins."""
    clusters = facts.selection.select(read_expression(declared.expression))
    mine = Layer(declared.name, rank(declared), declared.values)
    for other in facts.peers(declared):
        found = conflicts([mine, Layer(other.name, rank(other), other.values)])
        if not found:
            continue
        both = clusters & facts.selection.saved(("configuration", other.name))
        if both:
            raise _conflict(declared, found[0], str(facts.selection.name(both.min())))


def _check_values(declared: ConfigurationDeclared, state: State, facts: Fleet, at: datetime) -> None:
    """Refuse values that a release in force could not be rendered with, where it can be rendered now."""
    tried = facts.fork()
    tried.assume(declared)
    concerned = set(tried.configured_by(declared))
    clusters = tried.selection.select(read_expression(declared.expression))
    if isinstance(state, ConfigurationDeclared):
        concerned.update(each for each in facts.configured_by(state) if each in facts.applications)
        clusters = clusters | facts.selection.select(read_expression(state.expression))
    for application in sorted(concerned):
        for version, chosen in tried.chosen(application):
            if facts.releases[application, version].schema is None:
                continue
            among = (chosen & tried.placed(application) & clusters) - tried.forbidden(application, at)
            problems = tried.values_problems(application, version, among)
            known = {each[0] for each in facts.values_problems(application, version, among)} if problems else set()
            for found in problems:
                if found[0] not in known:
                    raise values_invalid(tried, (application, version), found, "/spec/values")


def values_invalid(facts: Fleet, release: tuple[str, str], found: tuple[str, int, int], pointer: str) -> ValuesInvalid:
    """Return the refusal for a violation of a release's schema: (problem, a cluster as example, count of clusters)."""
    application, version = release
    problem, example, count = found
    cluster = facts.selection.name(example)
    return ValuesInvalid(
        f"{application} {version} would get values that its schema refuses on {counted(count, 'cluster')}, "
        f"for example {cluster}: {problem}",
        pointer=pointer,
        fix=f"see the values and their layers with: resedge get configuration --cluster {cluster} "
        f"--application {application}",
        application=application,
        version=version,
        cluster=cluster,
        count=count,
    )


def _conflict(declared: ConfigurationDeclared, conflict: Conflict, cluster: str) -> ConfigurationConflict:
    others = ", ".join(each for each in conflict.layers if each != declared.name)
    return ConfigurationConflict(
        f"{declared.name} and {others} set {conflict.key} differently on {cluster}, and neither outranks the other",
        pointer="/spec/values" + _pointer(declared.values, conflict.key),
        fix="give one of them another priority, or narrow its expression",
        key=conflict.key,
        cluster=cluster,
        layers=list(conflict.layers),
    )


def _pointer(values: Mapping[str, Any], dotted: str) -> str:
    """Return where in `values` the dotted key stands; keys may have dots of their own."""
    if dotted in values:
        return f"/{escape(dotted)}"
    for key, below in values.items():
        if (
            dotted.startswith(f"{key}.")
            and isinstance(below, dict)
            and (found := _pointer(below, dotted[len(key) + 1 :]))
        ):
            return f"/{escape(key)}{found}"
    return ""
