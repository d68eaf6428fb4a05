"""Nothing that the demo publishes is refused or doubtful for any Kubernetes version whose schemas are at hand."""

from __future__ import annotations

import pytest

from cli.demo.catalog import APPLICATIONS, NEXT_RELEASE, manifests, next_release_body
from libs.kubernetes import minors
from libs.templates import compile_release
from services.catalog.checking import Surroundings, check_release

BODIES = {
    **{each.name: (each.namespace, manifests(each.name)) for each in APPLICATIONS},
    "next release": (
        next(each.namespace for each in APPLICATIONS if each.name == NEXT_RELEASE.name),
        str(next_release_body()["manifests"]),
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_what_the_demo_publishes_can_be_applied(name: str) -> None:
    namespace, text = BODIES[name]
    template, objects = compile_release(text.encode(), application=name, namespace=namespace, version="1")
    everywhere = Surroundings(minors(), named=True, registered=(), others=())

    checked = check_release(template, objects, everywhere, "pos-api", [])

    assert [str(each) for each in checked.report.findings] == []
