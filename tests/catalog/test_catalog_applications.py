"""Applications: given a history, when a command, then events or a refusal with its code and pointer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from libs.contracts import (
    ApplicationDeclared,
    ApplicationRemoved,
    NamespaceDeclared,
    ReleaseChoice,
    ReleaseChoicesSet,
)
from libs.contracts.absent import Absent
from libs.contracts.refusals import Invalid, Rejected, SelectsNothing, StillReferenced, UnknownReference
from services.catalog.api import APPLICATION
from services.catalog.domain.applications import (
    DeclareApplication,
    ReleasesStay,
    RemoveApplication,
    State,
    decide,
    warnings,
)
from services.catalog.domain.namespaces import NameReserved
from tests.catalog.catalog_words import API, POS, WHO, fleet, layer, release

if TYPE_CHECKING:
    from libs.fleet import Fleet


def declare(name: str = "pos-api", namespace: str = "pos", **more: Any) -> DeclareApplication:
    return DeclareApplication(ApplicationDeclared(name, namespace, **more), **WHO)


def refused(
    kind: type[Rejected], command: DeclareApplication | RemoveApplication, facts: Fleet, state: State | None = None
) -> Rejected:
    with pytest.raises(kind) as caught:
        decide(command, state or Absent(), facts)
    return caught.value


def test_an_application_is_declared_in_canonical_form() -> None:
    assert decide(declare(expression="not (not size = large)"), Absent(), fleet(POS)) == [
        ApplicationDeclared("pos-api", "pos", "size = large")
    ]


def test_the_same_application_again_is_unchanged() -> None:
    assert decide(declare(), API, fleet(POS, API)) == []


@pytest.mark.parametrize("name", ["namespace", "kustomization"])
def test_names_of_the_trees_own_files_are_reserved(name: str) -> None:
    refusal = refused(NameReserved, declare(name), fleet(POS))

    assert (refusal.code, refusal.pointer) == ("name-reserved", "/metadata/name")


def test_what_is_no_name_is_invalid() -> None:
    assert refused(Invalid, declare("../../x"), fleet(POS)).pointer == "/metadata/name"


def test_its_namespace_has_to_exist() -> None:
    refusal = refused(UnknownReference, declare(namespace="poss"), fleet(POS))

    assert (refusal.code, refusal.pointer, refusal.extra["nearest"]) == ("unknown-reference", "/spec/namespace", "pos")


def test_its_expression_has_to_be_readable_known_and_to_select_something() -> None:
    assert refused(Invalid, declare(expression="size ="), fleet(POS)).pointer == "/spec/expression"
    assert refused(UnknownReference, declare(expression="/g/geo/ny"), fleet(POS)).pointer == "/spec/expression"
    assert refused(SelectsNothing, declare(expression="size = xl"), fleet(POS)).pointer == "/spec/expression"
    assert decide(declare(expression="size = xl", allow_empty=True), Absent(), fleet(POS))


def test_an_expression_outside_the_namespace_is_warned_of() -> None:
    facts = fleet(NamespaceDeclared("pos", "size = large"))

    assert warnings(declare(expression="size = small"), facts) == [
        "no cluster of the namespace pos is selected by the application's expression"
    ]
    assert warnings(declare(expression="/c/*"), facts) == []
    assert warnings(declare(), facts) == []


def test_an_application_that_has_releases_stays_in_its_namespace() -> None:
    kitchen = NamespaceDeclared("kitchen", "/c/*")

    refusal = refused(ReleasesStay, declare(namespace="kitchen"), fleet(POS, kitchen, API, release("1.0.0")), API)

    assert (refusal.code, refusal.pointer) == ("releases-stay", "/spec/namespace")
    assert decide(declare(namespace="kitchen"), API, fleet(POS, kitchen, API))


def test_an_application_goes_with_its_release_choices() -> None:
    chosen = ReleaseChoicesSet("pos-api", [ReleaseChoice("/c/*", "1.0.0")])
    facts = fleet(POS, API, release("1.0.0"), chosen)

    assert decide(RemoveApplication("pos-api", **WHO), API, facts) == [
        ApplicationRemoved("pos-api"),
        ReleaseChoicesSet("pos-api", []),
    ]
    assert decide(RemoveApplication("pos-api", **WHO), API, fleet(POS, API)) == [ApplicationRemoved("pos-api")]
    assert decide(RemoveApplication("pos-api", **WHO), Absent(), fleet(POS)) == []
    assert (
        APPLICATION.evolve(APPLICATION.evolve(API, ApplicationRemoved("pos-api")), ReleaseChoicesSet("pos-api", []))
        == Absent()
    )


def test_an_application_that_a_configuration_names_stays() -> None:
    facts = fleet(POS, API, layer("tax", applications=["pos-api"]))

    refusal = refused(StillReferenced, RemoveApplication("pos-api", **WHO), facts, API)

    assert (refusal.code, refusal.extra["referrers"]) == ("still-referenced", ["configuration tax"])
