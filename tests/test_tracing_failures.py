"""Collectors of traces that fail, several processes that send, and servers that trace nothing."""

import os
import signal
import socket
from functools import partial

import pytest

from tests.collector import Collector
from tests.due_jobs import until
from tests.live import LiveServer, children, live_server, run_economy
from tests.test_json_logs import SECRET, objects
from tests.test_tracing import collector, database_url, of, trace, traced
from tests.world import World

__all__ = ["collector", "database_url", "traced"]  # fixtures


@pytest.mark.parametrize("failure", ["gone", "silent", "503", "400"])
async def test_a_collector_that_fails(
    world: World,
    traced: dict[str, str],
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    failure: str,
) -> None:
    """It is told once. What is bought meanwhile is right, and the server's end waits little."""
    await world.credit(world.anna, 100_000)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")  # ms
    if failure == "gone":
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            traced["otlp_endpoint"] = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    elif failure == "silent":
        collector.answers.clear()
    else:
        collector.refuses_with = int(failure)
    production = {"environment": "production", "jwt_secret": SECRET, "rate_limit_player_money": ""}
    monkeypatch.setenv("ECONOMY_JWT_SECRET", SECRET)  # for our own token
    with live_server(**traced, **production) as server:
        anna = of(server, world.anna)
        async with anna.client:
            # more than is kept for a collector
            left = [await anna.buy(number) for number in range(400)]
        asked = collector.asked
        server.terminate()
        server.wait()
        lines = [line for line in objects(server.log) if line["logger"] != "uvicorn.error"]
    assert left == [100_000 - 100 * number for number in range(1, 401)]
    if failure == "silent":  # each of the exports would wait for its answer
        assert collector.asked - asked <= 2
    assert (failure == "gone") is (collector.asked == 0)
    assert len(lines) == 1, lines
    assert lines[0]["level"] == "WARNING"
    assert collector.spans == []


async def test_a_collector_that_comes_back(
    world: World, traced: dict[str, str], collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.credit(world.anna, 1_000)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")  # ms
    collector.refuses_with = 400
    with live_server(**traced, log_format="json") as server:
        anna = of(server, world.anna)
        async with anna.client:
            assert await anna.buy(1, flags="01") == 900
            await until(partial(is_told, server))
            collector.refuses_with = None
            assert await anna.buy(2, flags="01") == 800
        server.terminate()
        server.wait()
        lines = [line for line in objects(server.log) if line["logger"] != "uvicorn.error"]
    assert collector.asked_as("request-2").trace == trace(2)
    assert [line["level"] for line in lines] == ["WARNING", "WARNING"]


async def is_told(server: LiveServer) -> bool:
    return '"WARNING"' in server.log.read_text()


async def test_every_process_sends(
    world: World,
    traced: dict[str, str],
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While the other is stopped one answers, and sends it by itself."""
    await world.credit(world.anna, 1_000)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")  # ms
    with live_server("--workers", "2", **traced) as server:
        workers = children(server.process.pid)
        assert len(workers) == 2
        for number, stopped in enumerate(workers, start=1):
            os.kill(stopped, signal.SIGSTOP)
            anna = of(server, world.anna)
            async with anna.client:
                assert await anna.buy(number, flags="01") == 1_000 - 100 * number
            await until(partial(has_sent, collector, trace(number)))
            os.kill(stopped, signal.SIGCONT)


async def has_sent(collector: Collector, one: str) -> bool:
    return len(collector.of(one)) > 0


@pytest.mark.parametrize("is_wanted", [True, False])
def test_without_an_endpoint_nothing_of_it_is_there(
    traced: dict[str, str], monkeypatch: pytest.MonkeyPatch, is_wanted: bool
) -> None:
    """As Python itself tells of all that it imports."""
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    if not is_wanted:
        traced["otlp_endpoint"] = ""
    with live_server(**traced) as server:
        log = server.log.read_text().splitlines()
    imported = {line.rpartition("|")[2].strip() for line in log if line.startswith("import time:")}
    assert "economy.app" in imported
    # of the SDK redis-py imports the metrics by itself
    of_traces = {"economy.tracing", "economy.traced", "economy.api.traced"}
    of_traces |= {"opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http"}
    assert imported & of_traces == (of_traces if is_wanted else set())


@pytest.mark.parametrize("wrong", ["collector:4318", "grpc://collector:4317", "http//collector"])
def test_an_endpoint_that_is_none(traced: dict[str, str], wrong: str) -> None:
    run = run_economy("serve", **traced | {"otlp_endpoint": wrong})
    complaint = "economy: ECONOMY_OTLP_ENDPOINT: must be like http://collector:4318\n"
    assert (run.returncode, run.stdout, run.stderr) == (2, "", complaint)
