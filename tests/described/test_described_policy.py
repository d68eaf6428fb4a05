"""What a service describes is what it answers: schemathesis finds nothing, with all of its checks.

The services are in several files, so that several workers share them; together they are all services.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.describing import check_answers

SERVICES = ["policy"]


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_answers_as_it_describes(service: str, tmp_path: Path) -> None:
    await check_answers(service, tmp_path)
