"""The log of production: every line is one JSON object, whoever wrote it and whatever was sent."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.due_jobs import until
from tests.live import live_process, live_server
from tests.migrating import execute
from tests.rival import Rival
from tests.servers import own_redis_server
from tests.test_log_contents import BAD_KEY, BAD_TOKEN, Log, credentials_in

SECRET = "a-secret-of-production-32-bytes!"
ALWAYS = {"time", "level", "logger", "message"}
OF_REQUEST = {"request_id", "actor", "operation"}
USE = 'useItem(input: {productId: 1, idempotencyKey: "k"}) { __typename }'
# Celery's own word at its end, past all logging
WARM_SHUTDOWN = "\nworker: Warm shutdown (MainProcess)\n"
# what some readers take for the end of a line, and what begins a command to a terminal
ENDS = "\u2028\u2029\x85\x0b\x0c\x1c\x9b"


@pytest.fixture
def production(postgres_url: str, own_redis_url: str) -> dict[str, str]:
    settings = {"environment": "production", "jwt_secret": SECRET, "log_level": "DEBUG"}
    settings |= {"database_url": postgres_url, "redis_url": own_redis_url}
    return settings | {"redis_timeout_seconds": "10", "rate_limit_failed_authentication": ""}


def objects(log: Path) -> list[dict[str, Any]]:
    """Of all lines; nothing else is in it."""
    text = log.read_text(encoding="utf-8").replace(WARM_SHUTDOWN, "")
    assert text.endswith("\n")
    assert not any(character in text for character in ENDS)
    found = [json.loads(line) for line in text.removesuffix("\n").split("\n")]
    for line in found:
        assert line.keys() in (
            ALWAYS,
            ALWAYS | {"exception"},
            ALWAYS | OF_REQUEST,
            ALWAYS | OF_REQUEST | {"exception"},
        ), line
        assert datetime.fromisoformat(line["time"]).utcoffset() == timedelta(0)
        assert line["level"] in {"DEBUG", "INFO", "WARNING", "ERROR"}
    return found


async def test_every_line_of_a_server(
    production: dict[str, str], postgres_url: str, rival: Rival
) -> None:
    """From its start to its end, with bugs, and with connections that are lost."""
    credentials = await credentials_in(postgres_url, jwt_secret=SECRET)
    # the daily verification, which begins at the start, would miss the table, too
    with live_server(**production, jobs_in_server="false") as server:
        with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
            log = Log(client, credentials)
            log.ask_for_everything()
            assert log.bugs == []
            await rival.end_connections()
            log.ask_for_everything()
            assert log.bugs == []
            await execute(postgres_url, "ALTER TABLE inventory RENAME TO lost")
            log.ask_for_everything()
            anna = credentials[0] | {"X-Request-Id": "anna-asks"}
            log.send("POST", "/products/1/use", headers=anna)
            log.graphql(anna, f"mutation {{ {USE} }}")
            log.graphql(anna, f"mutation {{ one: {USE} other: {USE} }}")
            assert log.bugs[-3:] == 3 * ["anna-asks"]
        server.terminate()
        server.wait()
        lines = objects(server.log)
        text = server.log.read_text()
    assert not any(forged in text for forged in ("FORGED", BAD_KEY, BAD_TOKEN))
    messages = [line["message"] for line in lines if line["logger"] == "uvicorn.error"]
    assert any(message.startswith("Uvicorn running on http://") for message in messages)
    assert any(message.startswith("Finished server process") for message in messages)

    bugs = [line for line in lines if line["level"] == "ERROR"]
    for line in bugs:
        assert line["exception"].startswith("Traceback (most recent call last):\n")
        assert 'relation "inventory" does not exist' in line["exception"]
    assert {line["request_id"] for line in bugs} == set(log.bugs)
    of_anna = [line for line in bugs if line["request_id"] == "anna-asks"]
    assert [line["actor"] for line in of_anna] == 4 * ["player:1"]
    assert [line["operation"] for line in of_anna] == ["useItem", "useItem", "several", "several"]


async def test_lines_that_clients_try_to_break(
    production: dict[str, str], postgres_url: str
) -> None:
    [anna, server_key, *_] = await credentials_in(postgres_url, jwt_secret=SECRET)
    await execute(postgres_url, "ALTER TABLE inventory RENAME TO lost")
    forged = 'x"}\n{"time": "2026-01-01T00:00:00.000+00:00", "message": "FORGED"}\n' + ENDS
    with live_server(**production, jobs_in_server="false") as server:
        with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
            log = Log(client, [])
            log.graphql(anna, "{ me { id inventory { id } } }", variables={forged: forged})
            log.graphql(anna, "query ($id: ID) { inventory(userId: $id) { id } }", variables={})
            body = {"quantity": 1, "user_id": 1, forged: forged}
            headers = server_key | {"Idempotency-Key": "key"}
            log.send("POST", "/products/1/purchase", headers=headers, json=body)
            body = {"amount": 5, "external_reference": forged}
            log.send("POST", "/users/1/add-funds", headers=headers, json=body)
            log.send("GET", "/users/1/inventory", headers=anna, params={forged: forged})
        server.terminate()
        server.wait()
        lines = objects(server.log)
    assert [line["request_id"] for line in lines if line["level"] == "ERROR"] == log.bugs
    assert len(log.bugs) > 0
    assert "FORGED" not in [line["message"] for line in lines]


def test_every_line_of_two_processes(production: dict[str, str]) -> None:
    with live_server("--workers", "2", **production) as server:
        server.terminate()
        server.wait()
        lines = objects(server.log)
    ended = [line for line in lines if line["message"] == "Application shutdown complete."]
    assert len(ended) == 2


async def test_every_line_of_a_worker(
    production: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # before any logging Celery warns of root, which these tests may run as
    monkeypatch.setenv("PYTHONWARNINGS", "ignore:You're running the worker with superuser")
    often = production | {"jobs_every_seconds": "1"}
    with own_redis_server() as broker:
        url = f"redis+socket://{broker.folder}/valkey.sock?virtual_host=9"
        for command in ("worker", "beat"):
            with live_process(command, **often, broker_url=url) as live:

                async def has_begun() -> bool:
                    return (
                        "succeeded in" in live.log.read_text() or "due task" in live.log.read_text()
                    )

                await until(has_begun, why=live.log.read_text)
                live.terminate()
                live.wait()
                assert len(objects(live.log)) > 0


@pytest.mark.parametrize("log_format", ["json", "line"])
def test_the_format_that_was_asked_for(sqlite_url: str, log_format: str) -> None:
    """Whatever the environment."""
    with live_server(database_url=sqlite_url, log_format=log_format) as server:
        server.terminate()
        server.wait()
        lines = server.log.read_text().splitlines()
    assert {line.startswith("{") for line in lines} == {log_format == "json"}
