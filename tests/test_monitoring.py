"""Dashboard and alerts of deploy/: they name what there is, show all of it, and say what to do."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from economy.jobs import Job
from tests.documented import DOCS, anchors_of
from tests.monitoring.prometheus import require
from tests.monitoring.shown import (
    ALERTS,
    ALERTS_TEST,
    DEPLOY,
    Query,
    alerts,
    dashboard,
    exposed,
    panels,
    read_yaml,
    shown,
    watched,
)

pytestmark = pytest.mark.filterwarnings(
    "always::tests.monitoring.prometheus.MonitoringNotTriedWarning"
)

SIX = [
    "EconomyDown",
    "EconomyFailing",
    "EconomySlow",
    "EconomyWithoutRedis",
    "EconomyJobLate",
    "EconomyLedgerBroken",
]
LEGEND = re.compile(r"\{\{(\w+)\}\}")
EXPOSED = exposed()


def expressions() -> list[Any]:
    return [pytest.param(query, id=query.where) for query in [*shown(), *watched()]]


@pytest.mark.parametrize("query", expressions())
def test_an_expression_names_figures_and_labels_that_there_are(query: Query) -> None:
    assert query.names <= EXPOSED.keys()
    for name, label in query.matched:
        assert label in EXPOSED[name].labels, name
    known = {label for name in query.names for label in EXPOSED[name].labels}
    assert query.grouped <= known


@pytest.mark.parametrize("query", shown(), ids=lambda query: str(query.where))
def test_a_line_is_told_from_the_others_by_the_labels_that_are_left(query: Query) -> None:
    assert set(LEGEND.findall(query.legend)) == query.grouped - {"le"}


@pytest.mark.parametrize("query", expressions())
def test_an_expression_reads_each_figure_as_its_kind_asks(query: Query) -> None:
    """What only grows is asked for its rate; what every server tells of the database, for one."""
    for name in query.names:
        rated = rf"(?:rate|increase)\({name}(?:\{{[^}}]*\}})?\["
        is_rated = re.search(rated, query.expression) is not None
        has_no_rate = EXPOSED[name].kind == "gauge" or query.where == "EconomyJobLate"
        assert is_rated != has_no_rate, name
    of_the_database = r"sum[^(]*\((?:economy_coins_\w+n|economy_coins_owed|economy_users|\w+stamp)"
    assert not re.search(of_the_database, query.expression)


def test_no_metric_is_without_a_panel() -> None:
    drawn = {EXPOSED[name].metric for query in shown() for name in query.names}
    assert drawn == {series.metric for series in EXPOSED.values()}


def test_the_dashboard_is_what_is_provisioned() -> None:
    found = dashboard()
    assert (found["uid"], found["title"]) == ("economy", "Economy")
    [source] = read_yaml(DEPLOY / "grafana/provisioning/datasources/prometheus.yml")["datasources"]
    named = {"type": source["type"], "uid": source["uid"]}
    assert named == {"type": "prometheus", "uid": "prometheus"}
    targets = [target for panel in panels() for target in panel["targets"]]
    for one in [*panels(), *targets, *found["annotations"]["list"]]:
        assert one["datasource"] == named
    [provider] = read_yaml(DEPLOY / "grafana/provisioning/dashboards/economy.yml")["providers"]
    mounted = f"./deploy/grafana/dashboards:{provider['options']['path']}:ro"
    compose = read_yaml(DEPLOY.parent / "docker-compose.yml")
    assert mounted in compose["services"]["grafana"]["volumes"]


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: str(panel["title"]))
def test_a_panel_says_what_it_shows_and_in_which_unit(panel: dict[str, Any]) -> None:
    description = panel["description"]
    assert re.fullmatch(r"[A-Z].{10,110}\.", description), description
    assert panel["fieldConfig"]["defaults"]["unit"]
    letters = [target["refId"] for target in panel["targets"]]
    assert letters == ["A", "B", "C"][: len(letters)]


def test_panels_stand_in_titled_rows_and_not_on_each_other() -> None:
    every = dashboard()["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    assert len({panel["title"] for panel in every}) == len(every)
    assert every[0]["type"] == "row"
    taken: set[tuple[int, int]] = set()
    for panel in every:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (place["x"] + right, place["y"] + down)
            for right in range(place["w"])
            for down in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_there_are_six_alerts_and_each_has_its_runbook() -> None:
    assert [alert["alert"] for alert in alerts()] == SIX
    headings = anchors_of(DOCS / "OPERATIONS.md")
    for alert in alerts():
        page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
        assert (page, anchor) == ("docs/OPERATIONS.md", alert["alert"].lower())
        assert anchor in headings
        assert alert["labels"]["severity"] in ("critical", "warning")
        assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}


def test_alerts_name_jobs_that_there_are() -> None:
    late = next(query.expression for query in watched() if query.where == "EconomyJobLate")
    named = re.findall(r'exported_job(?:!=|", )"(\w+)', late)
    assert named == [Job.VERIFY, Job.VERIFY]


def promtool(*arguments: str | Path) -> str:
    command = [require("promtool"), *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    assert "SUCCESS: 6 rules found" in promtool("check", "rules", "--lint-fatal", ALERTS)


def test_each_alert_fires_when_it_should_and_ends() -> None:
    assert "SUCCESS" in promtool("test", "rules", ALERTS_TEST)
    tried: dict[str, list[bool]] = {name: [] for name in SIX}
    for test in read_yaml(ALERTS_TEST)["tests"]:
        for moment in test["alert_rule_test"]:
            tried[moment["alertname"]].append(bool(moment["exp_alerts"]))
    assert {name: moments[:3] for name, moments in tried.items()} == {
        name: [False, True, False] for name in SIX
    }
