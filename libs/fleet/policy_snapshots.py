"""What is allowed, when, and after whose approval, as plain values for a snapshot and back.

The one rule: as all snapshots, they are disposable; what cannot be read is folded from the log again.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
from pyroaring import BitMap

from libs.contracts import Event, decode, encode, type_name
from libs.fleet.policy import Approval, Override, Policy, Withheld

_EVENTS = ("calendars", "freezes", "laws", "signoffs", "roles", "bindings")


def _event(event: Event) -> tuple[str, bytes]:
    return type_name(event), encode(event)


def _events(events: Iterable[Event]) -> list[tuple[str, bytes]]:
    return [_event(each) for each in events]


def _sets(members: Any) -> dict[str, bytes]:
    return {name: bytes(each.serialize()) for name, each in members.items()}


def plain_policy(policy: Policy) -> dict[str, Any]:
    """Return it as msgpack takes it."""
    return {
        **{name: _events(getattr(policy, name).values()) for name in _EVENTS},
        "tokens": _events(policy.tokens.values()),
        "revoked": policy.revoked,
        "approvals": [
            (_event(each.request), each.at, _events(each.grants), each.state, each.people, each.done_at, each.reason)
            for each in policy.approvals.values()
        ],
        "overrides": [
            (_event(each.request), each.at, each.begins, each.ends, each.people, each.revoked_at, each.uses)
            for each in policy.overrides.values()
        ],
        "withheld": [_plain_withheld(each) for each in policy.withheld.values()],
        "version": policy.version,
    }


def _plain_withheld(withheld: Withheld) -> dict[str, Any]:
    return {
        "event": _event(withheld.event),
        "at": withheld.at,
        "clusters": bytes(withheld.clusters.serialize()),
        "calendars": [(_event(each), bytes(members.serialize())) for each, members in withheld.calendars.values()],
        "freezes": _sets(withheld.freezes),
        "laws": _sets(withheld.laws),
        "zones": withheld.zones.astype(np.int32).tobytes(),
        "hours": withheld.hours.astype(np.int32).tobytes(),
    }


def policy_of(plain: dict[str, Any]) -> Policy:
    """Return what `plain_policy` wrote."""
    policy = Policy(version=plain["version"])
    for name in _EVENTS:
        setattr(policy, name, {each.name: each for each in (decode(*event) for event in plain[name])})
    for event in plain["tokens"]:
        policy.issue(decode(*event))
    policy.revoked = {name: _instant(at) for name, at in plain["revoked"].items()}
    for request, at, grants, state, people, done_at, reason in plain["approvals"]:
        event = decode(*request)
        given = tuple(decode(*each) for each in grants)
        policy.approvals[event.id] = Approval(event, _instant(at), given, state, tuple(people), _maybe(done_at), reason)
    for request, at, begins, ends, people, revoked_at, uses in plain["overrides"]:
        event = decode(*request)
        policy.overrides[event.id] = Override(
            event,
            BitMap.deserialize(event.clusters),
            _instant(at),
            _maybe(begins),
            _maybe(ends),
            tuple(people),
            _maybe(revoked_at),
            uses,
        )
    for each in plain["withheld"]:
        withheld = _withheld(each)
        policy.withheld[withheld.event.id] = withheld
    return policy


def _withheld(plain: dict[str, Any]) -> Withheld:
    calendars = [(decode(*event), BitMap.deserialize(members)) for event, members in plain["calendars"]]
    return Withheld(
        decode(*plain["event"]),
        _instant(plain["at"]),
        BitMap.deserialize(plain["clusters"]),
        {calendar.name: (calendar, members) for calendar, members in calendars},
        {name: BitMap.deserialize(each) for name, each in plain["freezes"].items()},
        {name: BitMap.deserialize(each) for name, each in plain["laws"].items()},
        np.frombuffer(plain["zones"], np.int32).copy(),
        np.frombuffer(plain["hours"], np.int32).copy(),
    )


def _instant(value: Any) -> datetime:
    return msgspec.convert(value, datetime, strict=False)


def _maybe(value: Any) -> datetime | None:
    return None if value is None else _instant(value)
