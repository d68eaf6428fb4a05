"""Every figure that an alert or the dashboard names is one that the code keeps, with the labels that it is asked by."""

from __future__ import annotations

import importlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

ROOT = Path(__file__).resolve().parents[2]
ALERTS = ROOT / "compose/prometheus/alerts.yml"
SCRAPES = ROOT / "compose/prometheus/prometheus.yml"
DASHBOARD = ROOT / "compose/grafana/dashboards/resedge.json"
NAME = re.compile(r"\bresedge_[a-z_]+")
SUFFIX = re.compile(r"_(bucket|sum|count|total|created)$")
BY = re.compile(r"\bby \(([^)]*)\)")
OF_THE_SCRAPE = {"service", "instance", "job", "le"}
PER_THING = {"store", "cluster", "stream", "group", "name", "actor", "path"}


@cache
def figures() -> dict[str, set[str]]:
    """Return the labels of every figure of ours, by its name without suffix."""
    for path in sorted([*ROOT.glob("libs/**/*.py"), *ROOT.glob("services/**/*.py")]):
        if "prometheus_client" in path.read_text("utf-8"):
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    found: dict[str, set[str]] = {}
    for collector in list(REGISTRY._collector_to_names):
        labels = set(getattr(collector, "_labelnames", ()))
        for metric in collector.collect():
            if metric.name.startswith("resedge_"):
                declared = set(getattr(metric, "_labelnames", ()))
                found[metric.name] = labels | declared
    return found


def known(name: str) -> bool:
    return name in figures() or SUFFIX.sub("", name) in figures()


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> dict[str, str]:
    """Return what alerts and panels ask, by who asks."""
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    asked = {f"alert {rule['alert']}": rule["expr"] for rule in rules()}
    for panel in panels:
        asked |= {f"panel {panel['title']} {target['refId']}": target["expr"] for target in panel["targets"]}
    return asked


@pytest.mark.parametrize(("who", "expression"), expressions().items(), ids=expressions().keys())
def test_what_is_asked_for_is_kept(who: str, expression: str) -> None:
    names = set(NAME.findall(expression))
    assert names or expression.startswith("up{"), who
    assert not {name for name in names if not known(name)}, who
    labels = {label.strip() for group in BY.findall(expression) for label in group.split(",")}
    kept = set().union(*(figures().get(name) or figures()[SUFFIX.sub("", name)] for name in names)) if names else set()
    assert labels <= kept | OF_THE_SCRAPE, who


def test_no_figure_has_a_series_per_store() -> None:
    assert len(figures()) > 20
    assert not {name: labels & PER_THING for name, labels in figures().items() if labels & PER_THING}


def test_every_alert_says_how_urgent_it_is_and_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]
        assert {"summary", "description"} == rule["annotations"].keys(), rule["alert"]


@pytest.mark.parametrize(
    "figure",
    [
        "consumer_stopped",
        "consumer_lag_seconds",
        "relay_lag_seconds",
        "relay_leads",
        "branch_stopped",
        "dead_letters",
        "placements_refused",
        "refusals",
        "ready",
        "authentication_failures",
        "signing_key_fetches",
        "break_glass",
    ],
)
def test_somebody_is_told(figure: str) -> None:
    assert any(f"resedge_{figure}" in rule["expr"] for rule in rules())


def test_every_service_is_scraped_with_a_token() -> None:
    (job,) = yaml.safe_load(SCRAPES.read_text("utf-8"))["scrape_configs"]
    scraped = {group["labels"]["service"] for group in job["static_configs"]}
    assert scraped == {path.parent.name for path in ROOT.glob("services/*/__main__.py")}
    assert job["authorization"]["credentials_file"]
