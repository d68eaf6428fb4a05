"""The example of the reference page is what really happens."""

from __future__ import annotations

import re
from pathlib import Path

from libs.templates import Input, compile_template, read_yaml

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "placeholders.md"


def test_the_page_s_manifest_renders_as_the_page_says() -> None:
    manifest, inputs, rendered = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    template = compile_template(manifest.encode(), application="till", namespace="pos", version="1")
    by_reference = {found.reference: found for found in template.inputs}

    values = {by_reference[reference]: value for reference, value in read_yaml(inputs)[0].items()}

    assert template.render(values).decode() == rendered
    assert Input("config", "tag") in template.inputs
