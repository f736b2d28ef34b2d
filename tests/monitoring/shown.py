"""What deploy/ shows and watches: panels and alerts, and which figures their expressions name."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml  # type: ignore[import-untyped]
from prometheus_client.metrics import MetricWrapperBase

from economy.metrics import Metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "economy.json"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
ALERTS_TEST = DEPLOY / "prometheus" / "alerts_test.yml"
PROMETHEUS = DEPLOY / "prometheus" / "prometheus.yml"
# Prometheus writes them, and renames a label of ours that has one of these names
OF_PROMETHEUS = {"job", "instance"}
NAMED = re.compile(r"\b(economy_\w+)(?:\{([^}]*)\})?")
MATCHED = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"")
GROUPED = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}


class Query(NamedTuple):
    """`where` names the panel or the alert."""

    where: str
    expression: str
    legend: str = ""

    @property
    def names(self) -> set[str]:
        return {found[1] for found in NAMED.finditer(self.expression)}

    @property
    def matched(self) -> list[tuple[str, str]]:
        """Each name with each label that its values are chosen by."""
        found = NAMED.finditer(self.expression)
        return [(one[1], label) for one in found for label in MATCHED.findall(one[2] or "")]

    @property
    def grouped(self) -> set[str]:
        lists = GROUPED.findall(self.expression)
        return {label.strip() for labels in lists for label in labels.split(",")}


@dataclass(frozen=True)
class Exposed:
    """One of our metrics as Prometheus stores it."""

    metric: str
    kind: str
    labels: frozenset[str]


def exposed() -> dict[str, Exposed]:
    """By the name of a time series; those of a histogram are three."""
    found = {}
    for metric in vars(Metrics()).values():
        if isinstance(metric, MetricWrapperBase):
            [told] = metric.describe()
            for suffix in SUFFIXES[told.type]:
                labels = {_stored(label) for label in metric._labelnames}
                # next to `exported_job`, `job` is most likely a mistake
                labels |= OF_PROMETHEUS - set(metric._labelnames)
                labels |= {"le"} if suffix == "_bucket" else set()
                name = told.name + suffix
                found[name] = Exposed(told.name, told.type, frozenset(labels))
    return found


def _stored(label: str) -> str:
    return f"exported_{label}" if label in OF_PROMETHEUS else label


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return found


def panels() -> list[dict[str, Any]]:
    """Those that show something: a row is a heading."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def shown() -> list[Query]:
    return [
        Query(panel["title"], target["expr"], target["legendFormat"])
        for panel in panels()
        for target in panel["targets"]
    ]


def alerts() -> list[dict[str, Any]]:
    groups = read_yaml(ALERTS)["groups"]
    return [rule for group in groups for rule in group["rules"]]


def watched() -> list[Query]:
    return [Query(alert["alert"], alert["expr"]) for alert in alerts()]


def read_yaml(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))
