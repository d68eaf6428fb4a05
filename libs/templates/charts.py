"""Rendering a Helm chart on the publisher's machine, and checking that it passes placeholders on.

What is published is what `helm template` printed; every other rendering here only looks for placeholders that the chart
computes with.
"""

from __future__ import annotations

import json
import re
import shutil
import tarfile
import tempfile
from base64 import b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libs.templates.placeholders import MISSING
from libs.templates.probing import PLACEHOLDER, PlaceholderUse, Probe, places_of, stand_ins, with_stand_ins
from libs.templates.tools import HydrationFailed, run_tool

# What charts may ask for; a Helm built without release flags (go install) would claim Kubernetes 1.20.
KUBE_VERSION = "1.35.0"
_VALUES = "zz-resedge-values"
_PROBE = (
    f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {_VALUES}}}\n"
    "data: {values: {{ .Values | toJson | b64enc | quote }}}\n"
)
_SCHEMA = "meet the specifications of the schema"
_POINTER = re.compile(r"at '([^']*)'")
_SCHEMA_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class ChartOptions:
    """What is passed on to `helm template`; `enable_helm` is kustomize's."""

    values_files: Sequence[str | Path] = ()
    sets: Sequence[str] = ()
    api_versions: Sequence[str] = ()
    kube_version: str = ""
    skip_crds: bool = False
    no_hooks: bool = False
    enable_helm: bool = False

    def given(self) -> list[str]:
        """Return the options that only a chart takes, as they are written."""
        named = {
            "--values": self.values_files,
            "--set": self.sets,
            "--api-versions": self.api_versions,
            "--kube-version": self.kube_version,
            "--skip-crds": self.skip_crds,
            "--no-hooks": self.no_hooks,
        }
        return [name for name, value in named.items() if value]


def pulled(reference: str, version: str, into: Path) -> Path:
    """Return the chart that an `oci://` reference names, fetched by Helm. Raises `HydrationFailed`."""
    chosen = ["--version", version] if version else []
    run_tool(["helm", "pull", reference, *chosen, "--untar", "--untardir", str(into)])
    found = [each for each in into.iterdir() if (each / "Chart.yaml").is_file()]
    if len(found) != 1:
        raise HydrationFailed("Nothing to publish", f"{reference} holds no chart")
    return found[0]


class Chart:
    """A chart with the options that it is rendered with."""

    def __init__(self, source: Path, namespace: str, release_name: str, options: ChartOptions) -> None:
        missing = next((each for each in options.values_files if not Path(each).is_file()), None)
        if missing is not None:
            raise HydrationFailed("A values file is missing", f"{missing} does not exist")
        self._source, self._options = source, options
        self._fixed = ["--namespace", namespace, "--skip-tests"]
        self._fixed += ["--kube-version", options.kube_version or KUBE_VERSION]
        self._fixed += [] if options.skip_crds else ["--include-crds"]
        self._fixed += ["--no-hooks"] if options.no_hooks else []
        self._fixed += [part for each in options.api_versions for part in ("--api-versions", each)]
        self._name = release_name

    def rendered(self, say: Callable[[str], None]) -> bytes:
        """Return the manifests; `say` is told what may not be meant. Raises `HydrationFailed`."""
        if not self._mentions():
            return self._template(self._source, self._given())
        with tempfile.TemporaryDirectory() as folder:
            copy = self._copied(Path(folder))
            try:
                manifests, skipped = self._template(self._source, self._given()), False
            except HydrationFailed as error:
                if _SCHEMA not in error.detail:
                    raise
                manifests, skipped = self._template(self._source, [*self._given(), "--skip-schema-validation"]), True
            values = self._effective(copy)
            if skipped:
                say(self._validated(copy, values))
            found = Probe(copy, values, self._said(), lambda each: self._tried(copy, each)).findings()
            for notice in found.notices:
                say(notice)
            if found.problems:
                raise HydrationFailed(
                    "The chart computes with a placeholder",
                    "; ".join(found.problems),
                    "Give that key a plain value, or change the template so that it only prints the value; for "
                    "stores that differ in it, publish two applications.",
                )
            return manifests

    def _given(self) -> list[str]:
        files = [part for each in self._options.values_files for part in ("--values", str(each))]
        return files + [part for each in self._options.sets for part in ("--set", each)]

    def _said(self) -> str:
        """Return the text of all values that the publisher gave."""
        files = (Path(each).read_text(encoding="utf-8", errors="replace") for each in self._options.values_files)
        return "\n".join((*files, *self._options.sets))

    def _mentions(self) -> bool:
        """Tell whether any values of the chart may hold a placeholder."""
        own = [each for each in self._source.rglob("values.yaml") if each.is_file()]
        texts = [self._said(), *(each.read_text(encoding="utf-8", errors="replace") for each in own)]
        packed = self._source.is_file() or any(self._source.rglob("*.tgz"))
        return packed or any(PLACEHOLDER.search(text) for text in texts)

    def _copied(self, folder: Path) -> Path:
        """Return a copy of the chart with one more template, which prints its values."""
        if self._source.is_dir():
            copy = folder / "chart"
            shutil.copytree(self._source, copy, symlinks=False, ignore_dangling_symlinks=True)
        else:
            with tarfile.open(self._source) as packed:
                packed.extractall(folder / "packed", filter="data")
            copy = next(each.parent for each in sorted((folder / "packed").glob("*/Chart.yaml")))
        (copy / "templates").mkdir(exist_ok=True)
        (copy / "templates" / f"{_VALUES}.yaml").write_text(_PROBE, encoding="utf-8")
        return copy

    def _template(self, chart: Path, values: Sequence[str]) -> bytes:
        return run_tool(["helm", "template", self._name, str(chart), *self._fixed, *values])

    def _effective(self, copy: Path) -> Any:
        text = self._template(copy, [*self._given(), "--skip-schema-validation"]).decode()
        document = next(each for each in re.split(r"^---", text, flags=re.MULTILINE) if f"name: {_VALUES}" in each)
        found = re.search(r'values: "?([A-Za-z0-9+/=]+)', document)
        return json.loads(b64decode(found[1])) if found else {}

    def _tried(self, copy: Path, values: Any, *, schema: bool = False) -> str | None:
        (copy / "templates" / f"{_VALUES}.yaml").unlink(missing_ok=True)
        try:
            return self._valued(copy, values, schema=schema)
        except HydrationFailed:
            return None

    def _valued(self, copy: Path, values: Any, *, schema: bool) -> str:
        file = copy.parent / "values.json"
        file.write_text(json.dumps(values), encoding="utf-8")
        skip = [] if schema else ["--skip-schema-validation"]
        return self._template(copy, ["--values", str(file), *skip]).decode(errors="replace")

    def _validated(self, copy: Path, values: Any) -> str:
        """Return how the chart's schema was checked: with the defaults in place of the placeholders."""
        places = places_of(values)
        guesses: dict[PlaceholderUse, Any] = {
            place: place.mark if place.default is MISSING else place.default for place in places
        }
        for _ in range(_SCHEMA_ROUNDS):
            try:
                self._valued(copy, with_stand_ins(values, stand_ins(places, guesses.__getitem__)), schema=True)
            except HydrationFailed as error:
                open_places = self._without_default(places, error)
                if open_places is None:
                    return f"values.schema.json was not asked: {error.detail.splitlines()[-1]}"
                guesses.update(open_places)
            else:
                break
        else:
            named = ", ".join(place.key for place in places if place.default is MISSING)
            return f"values.schema.json was not checked for {named}: a placeholder without a default has no type"
        return (
            "values.schema.json refuses the text of placeholders, so it was checked with their defaults, and the chart "
            "was rendered with Helm's --skip-schema-validation"
        )

    @staticmethod
    def _without_default(places: Sequence[PlaceholderUse], error: HydrationFailed) -> dict[PlaceholderUse, Any] | None:
        """Return another guess for each placeholder without a default that a schema refuses.

        Raises:
            HydrationFailed: it refuses something else: a default, or a plain value.
        """
        if _SCHEMA not in error.detail:
            return None
        found: dict[PlaceholderUse, Any] = {}
        for line in error.detail.splitlines():
            pointer = _POINTER.search(line)
            if pointer is None:
                continue
            keys = pointer[1].strip("/").split("/")
            # A subchart names its own values, without the key that the parent keeps them under.
            here = [place for place in places if list(map(str, place.path))[-len(keys) :] == keys]
            if not here or any(place.default is not MISSING for place in here):
                named = f" (the default of {here[0].text})" if here else ""
                raise HydrationFailed("The chart's schema refuses a value", f"{line.strip()}{named}") from None
            words = {"integer": 1, "number": 1, "boolean": True, "array": [], "object": {}, "null": None}
            wanted = next((value for word, value in words.items() if f"want {word}" in line), "x")
            found.update(dict.fromkeys(here, wanted))
        return found or None
