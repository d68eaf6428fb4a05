"""Every service is tried against its description by one of the files beside this one."""

from __future__ import annotations

from cli.embedded import SERVICES
from tests.described import test_described_declaring, test_described_others, test_described_policy
from tests.support.describing import name_of


def test_every_service_is_tried() -> None:
    files = (test_described_declaring, test_described_policy, test_described_others)
    assert sorted(service for file in files for service in file.SERVICES) == sorted(map(name_of, SERVICES))
