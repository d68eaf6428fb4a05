"""Templates: bounded reading of YAML, placeholders, configuration layers, hydration.

A release's manifests are parsed once, when it is published; per cluster only encoded scalars are put between constant
bytes, so that no value can add a key, a document or an object.
"""

from libs.contracts.names import pointer_of
from libs.templates.charts import ChartOptions
from libs.templates.compiler import compile_release, compile_template
from libs.templates.hydrate import hydrate
from libs.templates.kinds import allow_problems
from libs.templates.layers import Conflict, Layer, Merged, conflicts, lookup, merge_layers, merge_values
from libs.templates.outline import Outline, outline
from libs.templates.placeholders import MISSING, Input, Missing, Reference
from libs.templates.reader import read_json, read_manifests, read_yaml
from libs.templates.rejections import PublishRejected
from libs.templates.schema import SchemaRejected, ValuesSchema
from libs.templates.template import ObjectIdentity, Slot, Template, Unresolved
from libs.templates.tools import HydrationFailed
from libs.templates.yaml_nodes import Limits, YamlRejected

__all__ = [
    "MISSING",
    "ChartOptions",
    "Conflict",
    "HydrationFailed",
    "Input",
    "Layer",
    "Limits",
    "Merged",
    "Missing",
    "ObjectIdentity",
    "Outline",
    "PublishRejected",
    "Reference",
    "SchemaRejected",
    "Slot",
    "Template",
    "Unresolved",
    "ValuesSchema",
    "YamlRejected",
    "allow_problems",
    "compile_release",
    "compile_template",
    "conflicts",
    "hydrate",
    "lookup",
    "merge_layers",
    "merge_values",
    "outline",
    "pointer_of",
    "read_json",
    "read_manifests",
    "read_yaml",
]
