"""What the trail says of policy: who allowed, refused, overrode and was denied, in a sentence each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pyroaring import BitMap

from libs import contracts as c
from libs.contracts import Event, Recorded, type_name
from libs.fleet import packed
from services.audit.domain import tell_event

AT = datetime(2026, 11, 27, 12, tzinfo=UTC)
BY = c.By("rita", "t1", "", "127.0.0.1")
TWO = packed(BitMap([1, 2]))


def recorded(event: Event, stream: str) -> Recorded:
    return Recorded(1, "e", stream, 1, type_name(event), AT, "rita", event, bytes(32))


@pytest.mark.parametrize(
    ("stream", "event", "sentence", "others"),
    [
        (
            "placementpolicy-law",
            c.PlacementPolicyDeclared("law", ["lottery"], "state = ut", "Utah Code 76-10-1102"),
            "declared placement policy law (Utah Code 76-10-1102)",
            [("application", "lottery")],
        ),
        (
            "override-o1",
            c.OverrideRequested("o1", "d", TWO, "/c/*", 240, "till", BY, freeze="black-friday", applications=["pos"]),
            "asked for an override of freeze black-friday on 2 clusters for 240 minutes",
            [("freeze", "black-friday"), ("application", "pos")],
        ),
        (
            "override-o2",
            c.OverrideRequested("o2", "d", TWO, "/c/*", 60, "fire", BY, calendar="night", break_glass=True),
            "broke the glass on calendar night on 2 clusters for 60 minutes",
            [("calendar", "night")],
        ),
        ("use-o1", c.OverrideUsed("o1", "dec", TWO), "used override o1 on 2 clusters", [("override", "o1")]),
        ("approval-a1", c.ApprovalCompleted("a1", "d", ["ana", "omar"]), "completed approval a1 by ana, omar", []),
        (
            "denial-tess",
            c.AccessDenied("tess", "PUT /v1/stores/{name}", 3, AT, AT),
            "denied tess 3 requests to PUT /v1/stores/{name}",
            [],
        ),
        ("token-t1", c.TokenIssued("t1", "ana", "0" * 64, AT, BY), "issued token t1 for ana", []),
    ],
)
def test_policy_is_told_in_plain_words(stream: str, event: Any, sentence: str, others: list[tuple[str, str]]) -> None:
    told = tell_event(recorded(event, stream))
    assert (told.sentence, list(told.others)) == (sentence, others)
