"""A real Prometheus with the configuration of deploy/, and what it is asked over its HTTP API."""

import contextlib
import math
import re
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml  # type: ignore[import-untyped]

from tests import servers
from tests.monitoring.shown import ALERTS, PROMETHEUS, read_yaml

ADDRESS = re.compile(r'"Listening on" address=(\S+)')
READY = "Server is ready to receive web requests"
OFTEN = "1s"  # instead of 15s
LONG = "5m"  # instead of what Grafana puts in for an interval: longer than the whole test


class MonitoringNotTriedWarning(UserWarning):
    """What makes a skip stand in the summary of every run."""


def require(program: str) -> str:
    if found := shutil.which(program):
        return found
    message = f"dashboard and alerts were NOT TRIED: no {program} on PATH (Debian: prometheus)"
    warnings.warn(MonitoringNotTriedWarning(message), stacklevel=2)
    pytest.skip(message)


class Sample(NamedTuple):
    labels: dict[str, str]
    value: float


class Prometheus:
    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def query(self, expression: str) -> list[Sample]:
        """What it yields now; a share of nothing, which is no number, is left out."""
        expression = expression.replace("$__rate_interval", LONG)
        result = self._ask("query", query=expression)["result"]
        samples = [Sample(one["metric"], float(one["value"][1])) for one in result]
        return [sample for sample in samples if not math.isnan(sample.value)]

    def rules(self) -> dict[str, Any]:
        """By their names."""
        groups = self._ask("rules")["groups"]
        return {rule["name"]: rule for group in groups for rule in group["rules"]}

    def _ask(self, what: str, **parameters: str) -> Any:
        answer = self._client.get(f"/api/v1/{what}", params=parameters)
        body = answer.json()
        assert (answer.status_code, body["status"]) == (200, "success"), (parameters, body)
        assert "warnings" not in body, (parameters, body)
        return body["data"]


@contextlib.contextmanager
def running_prometheus(target: str) -> Iterator[Prometheus]:
    """It scrapes only that `host:port`. To be called in the main thread, as those of servers."""
    program = require("prometheus")
    with tempfile.TemporaryDirectory(prefix="economy-prometheus-") as name:
        folder = Path(name)
        configuration = folder / "prometheus.yml"
        configuration.write_text(yaml.safe_dump(_aimed_at(target)), encoding="utf-8")
        options = [f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'data'}"]
        command = [program, *options, "--web.listen-address=127.0.0.1:0"]
        process = servers._spawn(command, folder, None)
        try:
            url = f"http://{_address(folder / 'log', process)}"
            with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
                yield Prometheus(client)
        finally:
            servers._stop(process)


def _aimed_at(target: str) -> Any:
    """The configuration of deploy/, but for addresses, paths and how often."""
    configuration = read_yaml(PROMETHEUS)
    configuration["global"] = {"scrape_interval": OFTEN, "evaluation_interval": OFTEN}
    assert configuration["rule_files"] == [ALERTS.name]
    configuration["rule_files"] = [str(ALERTS)]
    [server] = [one for one in configuration["scrape_configs"] if one["job_name"] == "economy"]
    del server["dns_sd_configs"]
    server["static_configs"] = [{"targets": [target]}]
    configuration["scrape_configs"] = [server]
    return configuration


def _address(log: Path, process: servers.Process) -> str:
    deadline = time.monotonic() + servers.TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        told = log.read_text(encoding="utf-8")
        if READY in told and (found := ADDRESS.search(told)):
            return found[1]
        time.sleep(0.02)
    raise RuntimeError(f"Prometheus did not start: {log.read_text(encoding='utf-8')}")
