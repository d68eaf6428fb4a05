"""For every history of commands over the whole catalog: what is decided once is not decided twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts import ReleaseChoicesSet, encode
from libs.contracts.refusals import Rejected
from services.catalog.domain import applications, choices, configurations, namespaces, releases
from services.catalog.domain.checks import Absent
from tests.catalog.catalog_words import DEFAULTS_DIGEST, SCHEMA_DIGEST, WHO, fleet

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
        name=NAMESPACES,
        expression=EXPRESSIONS,
        capacity=st.sampled_from([{}, {"cpu": "1"}, {"cpu": "3"}]),
        owners=st.sampled_from([(), ("b", "a")]),
        namespace_labels=st.just({}),
        allow=st.just(()),
        allow_empty=st.booleans(),
        labels=st.just({}),
        **who,
    ),
    st.builds(namespaces.RemoveNamespace, name=NAMESPACES, **who),
    st.builds(
        applications.DeclareApplication,
        name=APPLICATIONS,
        namespace=NAMESPACES,
        expression=st.none() | EXPRESSIONS,
        allow_empty=st.booleans(),
        labels=st.just({}),
        **who,
    ),
    st.builds(applications.RemoveApplication, name=APPLICATIONS, **who),
    st.builds(
        configurations.DeclareConfiguration,
        name=st.sampled_from(["a", "b"]),
        expression=EXPRESSIONS,
        applications=st.lists(APPLICATIONS, max_size=2).map(tuple),
        namespace=st.none() | NAMESPACES,
        priority=st.integers(0, 1),
        values=st.sampled_from([{}, {"port": 1}, {"port": True}, {"port": 1.5}, {"level": "info", "port": None}]),
        allow_empty=st.booleans(),
        labels=st.just({}),
        **who,
    ),
    st.builds(configurations.RemoveConfiguration, name=st.sampled_from(["a", "b"]), **who),
    st.builds(
        releases.PublishRelease,
        application=APPLICATIONS,
        version=VERSIONS,
        namespace=NAMESPACES,
        allow=st.just(()),
        digest=st.sampled_from(["one", "two"]),
        manifests=st.just("m"),
        template=st.just("t"),
        schema=st.sampled_from([None, SCHEMA_DIGEST]),
        defaults=st.sampled_from([None, DEFAULTS_DIGEST]),
        images=st.just(()),
        objects=st.just(()),
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
        choices=st.lists(st.builds(choices.Choice, EXPRESSIONS, VERSIONS, st.booleans()), max_size=3).map(tuple),
        **who,
    ),
    st.builds(choices.UnsetRelease, application=APPLICATIONS, expression=EXPRESSIONS, **who),
)


class History:
    """What was decided so far, as every service would fold it."""

    def __init__(self) -> None:
        self.facts = fleet()
        self.states: dict[tuple[str, ...], Any] = {}
        self.decide(namespaces.DeclareNamespace("pos", "/c/*", **WHO))
        self.decide(applications.DeclareApplication("pos-api", "pos", **WHO))

    def decide(self, command: Any) -> list[Any]:
        """Decide one command and fold what follows; a refusal changes nothing."""
        aggregate, key = self._aggregate(command)
        state = self.states.get(key, Absent())
        events = list(aggregate.decide(command, state, self.facts))
        for event in events:
            self.facts.assume(event)
            if isinstance(event, ReleaseChoicesSet):
                self.states["choices", event.application] = event
            if aggregate is not choices:
                self.states[key] = state = aggregate.evolve(state, event)
        return events

    @staticmethod
    def _aggregate(command: Any) -> tuple[Any, tuple[str, ...]]:
        match command:
            case namespaces.DeclareNamespace() | namespaces.RemoveNamespace():
                return namespaces, ("namespace", command.name)
            case applications.DeclareApplication() | applications.RemoveApplication():
                return applications, ("application", command.name)
            case configurations.DeclareConfiguration() | configurations.RemoveConfiguration():
                return configurations, ("configuration", command.name)
            case releases.PublishRelease():
                return releases, ("release", command.application, command.version)
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
