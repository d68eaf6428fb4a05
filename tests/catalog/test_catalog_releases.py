"""Releases and release choices: given a history, when a command, then events or a refusal with code and pointer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from libs.contracts import NamespaceDeclared, ReleaseChoice, ReleaseChoicesSet, ReleasePublished
from libs.contracts.absent import Absent
from libs.contracts.refusals import Invalid, Rejected, SelectsNothing, UnknownReference
from services.catalog.domain import choices, releases
from services.catalog.domain.checks import ValuesInvalid
from services.catalog.domain.choices import (
    Choice,
    ReleaseOfAnotherNamespace,
    SetRelease,
    SetReleaseChoices,
    UnsetRelease,
)
from services.catalog.domain.releases import NamespaceChanged, PublishRelease, ReleaseDiffers
from tests.catalog.catalog_words import API, DEFAULTS_DIGEST, POS, SCHEMA_DIGEST, WHO, fleet, layer, release, strict

if TYPE_CHECKING:
    from libs.fleet import Fleet


def publish(version: str = "1.0.0", **more: Any) -> PublishRelease:
    said = {
        "application": "pos-api",
        "namespace": "pos",
        "digest": f"digest-{version}",
        "manifests": "m",
        "template": "t",
    }
    return PublishRelease(ReleasePublished(version=version, **{**said, **more}), (), **WHO)


def publishing_refused(kind: type[Rejected], command: PublishRelease, facts: Fleet, state: Any = None) -> Rejected:
    with pytest.raises(kind) as caught:
        releases.decide(command, state or Absent(), facts)
    return caught.value


def test_a_release_is_published_once() -> None:
    state = release("1.0.0")

    assert releases.decide(publish(), Absent(), fleet(POS, API)) == [state]
    assert releases.decide(publish(), state, fleet(POS, API, state)) == []


def test_another_content_of_the_same_version_is_refused() -> None:
    state = release("1.0.0")

    refusal = publishing_refused(ReleaseDiffers, publish(digest="other"), fleet(POS, API, state), state)

    assert (refusal.code, refusal.extra["published"]) == ("release-differs", state.digest)


def test_a_version_that_another_namespace_had_is_not_published_again() -> None:
    state = release("1.0.0", namespace="kitchen")

    assert "kitchen" in publishing_refused(ReleaseDiffers, publish(), fleet(POS, API, state), state).detail


def test_a_release_of_an_unknown_application_is_refused() -> None:
    refusal = publishing_refused(UnknownReference, publish(application="pos-apy"), fleet(POS, API))

    assert (refusal.code, refusal.extra["nearest"]) == ("unknown-reference", "pos-api")


def test_a_namespace_that_changed_while_compiling_is_refused() -> None:
    allowing = NamespaceDeclared("pos", "/c/*", allow=["Secret"])

    assert publishing_refused(NamespaceChanged, publish(), fleet(allowing, API)).code == "namespace-changed"
    assert "kitchen" in publishing_refused(NamespaceChanged, publish(namespace="kitchen"), fleet(POS, API)).detail


@pytest.mark.parametrize("version", ["", "../x", ".git", "1.0.0+build", "a/b", "v" * 64, "1.0.", "1 0"])
def test_what_is_no_version_is_invalid(version: str) -> None:
    assert publishing_refused(Invalid, publish(version), fleet(POS, API)).code == "invalid-document"


@pytest.mark.parametrize("version", ["1", "1.0.0", "v1.0.0-rc.1", "2026-11-24_3", "A"])
def test_versions_are_written_in_many_ways(version: str) -> None:
    assert releases.decide(publish(version), Absent(), fleet(POS, API))


RELEASES = (POS, API, release("1.0.0"), release("1.1.0"))
BETA = ReleaseChoice("size = small", "1.1.0")
ALL = ReleaseChoice("/c/*", "1.0.0")


def chosen(*listed: ReleaseChoice) -> ReleaseChoicesSet:
    return ReleaseChoicesSet("pos-api", list(listed))


def put(*asked: tuple[str, str], allow_empty: bool = False) -> SetReleaseChoices:
    return SetReleaseChoices(
        "pos-api",
        tuple(
            Choice(ReleaseChoice(*each), allow_empty, pointer=f"/choices/{index}") for index, each in enumerate(asked)
        ),
        **WHO,
    )


def use(version: str, expression: str | None = None, **more: Any) -> SetRelease:
    return SetRelease("pos-api", version, expression=expression, **WHO, **more)


def choosing_refused(
    kind: type[Rejected], command: choices.Command, facts: Fleet, state: choices.State | None = None
) -> Rejected:
    with pytest.raises(kind) as caught:
        choices.decide(command, state or Absent(), facts)
    return caught.value


def test_without_an_expression_a_release_replaces_the_whole_list() -> None:
    assert choices.decide(use("1.0.0"), Absent(), fleet(*RELEASES)) == [chosen(ALL)]
    assert choices.decide(use("1.0.0"), chosen(ALL, BETA), fleet(*RELEASES, chosen(ALL, BETA))) == [chosen(ALL)]
    assert choices.decide(use("1.0.0"), chosen(ALL), fleet(*RELEASES, chosen(ALL))) == []


def test_without_an_expression_a_release_can_be_chosen_before_there_are_clusters() -> None:
    facts = fleet(*RELEASES)
    for name in ("tx-1", "tx-2", "ny-1"):
        facts.selection.drop_cluster(name)

    assert choices.decide(use("1.0.0"), Absent(), facts) == [chosen(ALL)]


def test_with_an_expression_a_release_goes_last() -> None:
    facts = fleet(*RELEASES, chosen(ALL))

    assert choices.decide(use("1.1.0", "(size = small)"), chosen(ALL), facts) == [chosen(ALL, BETA)]


def test_with_an_expression_that_is_chosen_for_a_release_keeps_its_place() -> None:
    facts = fleet(*RELEASES, chosen(BETA, ALL))

    assert choices.decide(use("1.0.0", "not (not size = small)"), chosen(BETA, ALL), facts) == [
        chosen(ReleaseChoice("size = small", "1.0.0"), ALL)
    ]


def test_a_choice_is_unset_by_its_expression() -> None:
    facts = fleet(*RELEASES, chosen(ALL, BETA))
    unset = UnsetRelease("pos-api", "(size = small)", **WHO)

    assert choices.decide(unset, chosen(ALL, BETA), facts) == [chosen(ALL)]
    assert choices.decide(unset, chosen(ALL), fleet(*RELEASES, chosen(ALL))) == []
    assert choices.decide(UnsetRelease("pos-api", "/c/*", **WHO), chosen(ALL), facts) == [chosen()]
    assert choosing_refused(Invalid, UnsetRelease("pos-api", "size =", **WHO), facts).pointer == "/expression"


def test_a_whole_list_is_set() -> None:
    facts = fleet(*RELEASES)

    assert choices.decide(put(("/c/*", "1.0.0"), ("size = small", "1.1.0")), Absent(), facts) == [chosen(ALL, BETA)]
    assert choices.decide(put(), chosen(ALL), fleet(*RELEASES, chosen(ALL))) == [chosen()]
    assert choices.decide(put(), Absent(), facts) == []


def test_one_expression_cannot_be_chosen_for_twice() -> None:
    refusal = choosing_refused(Invalid, put(("/c/*", "1.0.0"), ("(/c/*)", "1.1.0")), fleet(*RELEASES))

    assert refusal.pointer == "/choices/1/expression"


def test_more_choices_than_the_bound_are_invalid() -> None:
    many = put(*((f"lanes >= {number}", "1.0.0") for number in range(1_001)))

    assert choosing_refused(Invalid, many, fleet(*RELEASES)).pointer == "/choices"


def test_an_unknown_version_is_refused_with_the_nearest() -> None:
    refusal = choosing_refused(UnknownReference, put(("/c/*", "1.0.0"), ("size = small", "1.1.1")), fleet(*RELEASES))

    assert (refusal.code, refusal.pointer) == ("unknown-reference", "/choices/1/version")
    assert refusal.extra["nearest"] == "1.1.0"
    assert choosing_refused(UnknownReference, use("9"), fleet(*RELEASES)).pointer == "/version"


def test_choices_of_an_unknown_application_are_refused() -> None:
    assert choosing_refused(UnknownReference, use("1.0.0"), fleet(POS)).code == "unknown-reference"


def test_an_expression_of_a_new_choice_has_to_be_known_and_to_select_something() -> None:
    facts = fleet(*RELEASES)

    assert choosing_refused(Invalid, use("1.0.0", "size ="), facts).pointer == "/expression"
    assert choosing_refused(UnknownReference, use("1.0.0", "/g/ny"), facts).pointer == "/expression"
    assert choosing_refused(SelectsNothing, use("1.0.0", "size = xl"), facts).pointer == "/expression"
    assert choosing_refused(SelectsNothing, put(("size = xl", "1.0.0")), facts).pointer == "/choices/0/expression"
    assert choices.decide(use("1.0.0", "size = xl", allow_empty=True), Absent(), facts)
    assert choices.decide(put(("size = xl", "1.0.0"), allow_empty=True), Absent(), facts)


def test_a_choice_in_force_is_not_checked_again_when_another_changes() -> None:
    state = chosen(ReleaseChoice("roof = flat", "1.0.0"))

    assert choices.decide(use("1.1.0", "size = small"), state, fleet(*RELEASES)) == [chosen(*state.choices, BETA)]


def test_a_release_that_was_compiled_for_another_namespace_is_refused() -> None:
    facts = fleet(POS, API, release("1.0.0", namespace="kitchen"))

    refusal = choosing_refused(ReleaseOfAnotherNamespace, use("1.0.0"), facts)

    assert (refusal.code, refusal.pointer) == ("release-of-another-namespace", "/version")


def test_a_release_whose_schema_refuses_the_values_somewhere_is_refused_with_a_cluster() -> None:
    texas = layer("texas", "/g/geo/tx", applications=["pos-api"], values={"port": 80})
    facts = fleet(*RELEASES, strict("2.0.0"), texas)

    refusal = choosing_refused(ValuesInvalid, use("2.0.0"), facts)

    assert (refusal.code, refusal.pointer) == ("values-invalid", "/version")
    assert (refusal.extra["cluster"], refusal.extra["count"]) == ("ny-1", 1)
    assert choices.decide(use("2.0.0", "/g/geo/tx"), Absent(), facts)


def test_the_releases_own_defaults_count_as_values() -> None:
    complete = release("2.0.0", schema=SCHEMA_DIGEST, defaults=DEFAULTS_DIGEST)

    assert choices.decide(use("2.0.0"), Absent(), fleet(POS, API, complete))


def test_values_are_not_tried_where_the_release_runs_already() -> None:
    state = chosen(ReleaseChoice("size = small", "2.0.0"))
    facts = fleet(*RELEASES, strict("2.0.0"), state)

    assert choices.decide(use("1.0.0", "size = large"), state, facts)
    assert choosing_refused(ValuesInvalid, use("2.0.0", "size = large"), facts, state).extra["count"] == 2
