"""For every history of commands over the whole catalog: what is decided once is not decided twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts import (
    ApplicationDeclared,
    ConfigurationDeclared,
    NamespaceDeclared,
    ReleaseChoice,
    ReleaseChoicesSet,
    ReleasePublished,
    encode,
)
from libs.contracts.absent import Absent
from libs.contracts.refusals import Rejected
from services.catalog.api import APPLICATION, CONFIGURATION, NAMESPACE
from services.catalog.domain import applications, choices, configurations, namespaces, releases
from tests.catalog.catalog_words import API, DEFAULTS_DIGEST, POS, SCHEMA_DIGEST, WHO, fleet

if TYPE_CHECKING:
    from libs.fleet import Fleet

NAMESPACES = st.sampled_from(["pos", "kitchen"])
APPLICATIONS = st.sampled_from(["pos-api", "menu"])
VERSIONS = st.sampled_from(["1.0.0", "1.1.0"])
EXPRESSIONS = st.sampled_from(
    ["/c/*", "none", "size = large", "not size = large", "size in (large, small)", "/g/geo/tx", "/n/pos", "size = xl"]
)
who = {key: st.just(value) for key, value in WHO.items()}

commands = st.one_of(
    st.builds(
        namespaces.DeclareNamespace,
        namespace=st.builds(
            NamespaceDeclared,
            name=NAMESPACES,
            expression=EXPRESSIONS,
            capacity=st.sampled_from([{}, {"cpu": "1"}, {"cpu": "3"}]),
            owners=st.sampled_from([[], ["b", "a"]]),
            namespace_labels=st.just({}),
            allow=st.just([]),
            allow_empty=st.booleans(),
            labels=st.just({}),
        ),
        **who,
    ),
    st.builds(namespaces.RemoveNamespace, name=NAMESPACES, **who),
    st.builds(
        applications.DeclareApplication,
        application=st.builds(
            ApplicationDeclared,
            name=APPLICATIONS,
            namespace=NAMESPACES,
            expression=st.none() | EXPRESSIONS,
            allow_empty=st.booleans(),
            labels=st.just({}),
        ),
        **who,
    ),
    st.builds(applications.RemoveApplication, name=APPLICATIONS, **who),
    st.builds(
        configurations.DeclareConfiguration,
        configuration=st.builds(
            ConfigurationDeclared,
            name=st.sampled_from(["a", "b"]),
            expression=EXPRESSIONS,
            applications=st.lists(APPLICATIONS, max_size=2),
            namespace=st.none() | NAMESPACES,
            priority=st.integers(0, 1),
            values=st.sampled_from([{}, {"port": 1}, {"port": True}, {"port": 1.5}, {"level": "info", "port": None}]),
            allow_empty=st.booleans(),
            labels=st.just({}),
        ),
        **who,
    ),
    st.builds(configurations.RemoveConfiguration, name=st.sampled_from(["a", "b"]), **who),
    st.builds(
        releases.PublishRelease,
        release=st.builds(
            ReleasePublished,
            application=APPLICATIONS,
            version=VERSIONS,
            namespace=NAMESPACES,
            digest=st.sampled_from(["one", "two"]),
            manifests=st.just("m"),
            template=st.just("t"),
            schema=st.sampled_from([None, SCHEMA_DIGEST]),
            defaults=st.sampled_from([None, DEFAULTS_DIGEST]),
            images=st.just([]),
            objects=st.just([]),
        ),
        allow=st.just(()),
        **who,
    ),
    st.builds(
        choices.SetRelease,
        application=APPLICATIONS,
        version=VERSIONS,
        expression=st.none() | EXPRESSIONS,
        allow_empty=st.booleans(),
        **who,
    ),
    st.builds(
        choices.SetReleaseChoices,
        application=APPLICATIONS,
        choices=st.lists(
            st.builds(choices.Choice, st.builds(ReleaseChoice, EXPRESSIONS, VERSIONS), st.booleans()), max_size=3
        ).map(tuple),
        **who,
    ),
    st.builds(choices.UnsetRelease, application=APPLICATIONS, expression=EXPRESSIONS, **who),
)


KINDS = {kind.category: kind for kind in (NAMESPACE, APPLICATION, CONFIGURATION)}


class History:
    """What was decided so far, as every service would fold it."""

    def __init__(self) -> None:
        self.facts = fleet()
        self.states: dict[tuple[str, ...], Any] = {}
        self.decide(namespaces.DeclareNamespace(POS, **WHO))
        self.decide(applications.DeclareApplication(API, **WHO))

    def decide(self, command: Any) -> list[Any]:
        """Decide one command and fold what follows; a refusal changes nothing."""
        aggregate, key = self._aggregate(command)
        state = self.states.get(key, Absent())
        events = list(aggregate.decide(command, state, self.facts))
        for event in events:
            self.facts.assume(event)
            if isinstance(event, ReleaseChoicesSet):
                self.states["choices", event.application] = event
            if aggregate is releases:
                self.states[key] = event
            elif aggregate is not choices:
                self.states[key] = state = KINDS[key[0]].evolve(state, event)
        return events

    @staticmethod
    def _aggregate(command: Any) -> tuple[Any, tuple[str, ...]]:
        match command:
            case namespaces.DeclareNamespace(namespace=named) | (namespaces.RemoveNamespace() as named):
                return namespaces, ("namespace", named.name)
            case applications.DeclareApplication(application=named) | (applications.RemoveApplication() as named):
                return applications, ("application", named.name)
            case configurations.DeclareConfiguration(configuration=named) | (
                configurations.RemoveConfiguration() as named
            ):
                return configurations, ("configuration", named.name)
            case releases.PublishRelease(release=release):
                return releases, ("release", release.application, release.version)
            case _:
                return choices, ("choices", command.application)


def contents(facts: Fleet) -> bytes:
    parts: list[dict[Any, Any]] = [facts.namespaces, facts.applications, facts.configurations, facts.releases]
    return b"".join(encode(event) for part in parts for event in part.values())


@given(st.lists(commands, max_size=14))
@settings(max_examples=150, deadline=None)
def test_for_every_history_deciding_a_command_twice_adds_nothing(history: list[Any]) -> None:
    told = History()
    for command in history:
        before = contents(told.facts)
        try:
            told.decide(command)
        except Rejected:
            assert contents(told.facts) == before
            continue
        assert told.decide(command) == []


@given(st.lists(commands, max_size=14))
@settings(max_examples=100, deadline=None)
def test_for_every_history_nothing_refers_to_what_is_not_there(history: list[Any]) -> None:
    told = History()
    for command in history:
        try:
            told.decide(command)
        except Rejected:
            continue
    facts = told.facts
    assert {each.namespace for each in facts.applications.values()} <= facts.namespaces.keys()
    assert facts.choices.keys() <= facts.applications.keys()
    for each in facts.configurations.values():
        assert set(each.applications) <= facts.applications.keys()
        assert each.namespace is None or each.namespace in facts.namespaces
    for application, listed in facts.choices.items():
        for choice in listed:
            assert facts.releases[application, choice.version].namespace == facts.applications[application].namespace
