"""Traces of live servers, as a collector gets them: whole, of nothing else, and without values."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from economy.models.user import UserRow
from tests.cache_source import figures
from tests.collector import Collector, Seen, collecting
from tests.due_jobs import all_are_done, until
from tests.live import LiveServer, live_server
from tests.migrating import execute
from tests.outage import new_player, player
from tests.pending_top_ups import pending_since
from tests.rival import Rival
from tests.shop import Headers
from tests.test_json_logs import SECRET
from tests.test_log_contents import BAD_KEY, BAD_TOKEN, Log, credentials_in
from tests.world import World

BUY = """mutation ($key: String!) { purchase(input: {productId: 1, idempotencyKey: $key}) {
    ... on PurchaseSuccess { user { balance } } ... on EconomyError { code } } }"""
QUEUE = "economy_posting_queue_operations"
PATIENT = {"lock_timeout_ms": "600000", "statement_timeout_ms": "600000"}
POSTED: Any = (
    "post purchase",
    [
        ("post batch", [("SELECT", []), ("WITH", [])]),
        ("redis UNLINK", []),
    ],
)
NAMED = {
    *("http.request.method", "http.response.status_code", "http.route", "error.type"),
    *("db.system.name", "db.operation.name", "db.query.text"),
    *("economy.request_id", "economy.actor", "economy.operation"),
    "economy.batch.operations",
}


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture
def traced(postgres_url: str, own_redis_url: str, collector: Collector) -> dict[str, str]:
    """Settings of a server. What it has not sent when it is told to end it sends then."""
    servers = {"database_url": postgres_url, "redis_url": own_redis_url}
    calm = {"jobs_in_server": "false", "redis_timeout_seconds": "10", **PATIENT}
    return {**servers, **calm, "otlp_endpoint": collector.url}


@dataclass
class Customer:
    """Who calls may be part of a trace, here of the same number as the request's id."""

    client: httpx.AsyncClient
    headers: Headers

    async def buy(self, number: int, *, flags: str | None = None, over: str = "/graphql") -> Any:
        """What is left, or why not."""
        headers = self.headers | {"X-Request-Id": f"request-{number}"}
        headers |= {"Idempotency-Key": f"key-{number}"}
        if flags is not None:
            headers["traceparent"] = f"00-{trace(number)}-{number:016x}-{flags}"
        body = {"query": BUY, "variables": {"key": f"key-{number}"}} if over == "/graphql" else None
        answer = (await self.client.post(over, headers=headers, json=body)).json()
        if body is not None:
            answer = answer["data"]["purchase"]
        return answer.get("code") or answer["user"]["balance"]


def trace(number: int) -> str:
    return f"{number:032x}"


def of(server: LiveServer, user: UserRow) -> Customer:
    client = httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60)
    return Customer(client, player(user))


async def test_a_purchase_from_its_caller_to_its_statements(
    world: World, traced: dict[str, str], collector: Collector
) -> None:
    """The operation is interpreted at first, and then compiled."""
    await world.credit(world.anna, 1_000)
    rest = "/products/1/purchase"
    with live_server(**traced) as server:
        anna = of(server, world.anna)
        async with anna.client:
            bought = [await anna.buy(number, flags="01") for number in (1, 2, 3)]
            bought += [await anna.buy(4, flags="01", over=rest), await anna.buy(5)]
    assert bought == [900, 800, 700, 600, 500]
    over_graphql = [("resolve purchase", [POSTED, ("redis EVAL", [])])]
    over_rest = [POSTED, ("redis EVAL", [])]
    for number in (1, 2, 3, 4, 5):
        request = collector.asked_as(f"request-{number}")
        name, within = (
            ("POST /products/{product_id}/purchase", over_rest)
            if number == 4
            else ("POST /graphql", over_graphql)
        )
        assert collector.tree(request) == (name, within)
        assert request.kind == "SERVER"
        assert request.attributes == {
            "http.request.method": "POST",
            "http.route": name.removeprefix("POST "),
            "http.response.status_code": 200,
            "economy.request_id": f"request-{number}",
            "economy.actor": "player:1",
            "economy.operation": "purchase",
        }
        if number == 5:  # begins here
            assert request.parent == ""
            assert request.trace not in map(trace, range(5))
        else:
            assert (request.trace, request.parent) == (trace(number), f"{number:016x}")
        posted, batch = (
            one_of(collector, request.trace, f"post {what}") for what in ("purchase", "batch")
        )
        assert (batch.links, batch.attributes) == ([posted.place], {"economy.batch.operations": 1})
    assert {span.kind for span in collector.spans if "db.system.name" in span.attributes} == {
        "CLIENT"
    }


def one_of(collector: Collector, trace: str, name: str) -> Seen:
    [span] = [span for span in collector.of(trace) if span.name == name]
    return span


@pytest.mark.parametrize("flags", ["00", "01"])
async def test_a_batch_that_several_share(
    world: World, traced: dict[str, str], collector: Collector, rival: Rival, flags: str
) -> None:
    """It stands in the trace of one of them, not in that of whoever was posted before."""
    users = [await new_player(world, 1_000) for _ in range(4)]
    with live_server(**traced, posting_lanes="1") as server:
        customers = [of(server, user) for user in users]
        async with AsyncExitStack() as stack:
            for customer in customers:
                await stack.enter_async_context(customer.client)
            async with rival.holding_user(users[0].id):
                buying = [asyncio.create_task(customers[0].buy(1, flags=flags))]
                await rival.until_waiting()
                for number, own in ((2, "00"), (3, "01"), (4, "01")):
                    buying.append(asyncio.create_task(customers[number - 1].buy(number, flags=own)))
                    await until(lambda: waits(customers[0].client, len(buying) - 1))
            assert await asyncio.gather(*buying) == 4 * [900]
    traces = {trace(3), trace(4)} | ({trace(1)} if flags == "01" else set())
    assert {span.trace for span in collector.spans} == traces
    batch = one_of(collector, trace(3), "post batch")
    posted = [one_of(collector, trace(number), "post purchase") for number in (3, 4)]
    assert batch.attributes == {"economy.batch.operations": 3}
    assert batch.parent == posted[0].id
    assert [of_trace for of_trace, _ in batch.links] == [trace(2), trace(3), trace(4)]
    assert batch.links[1:] == [one.place for one in posted]
    assert collector.tree(posted[0]) in (POSTED, ("post purchase", POSTED[1][:1]))
    if flags == "01":
        alone = one_of(collector, trace(1), "post batch")
        assert alone.links == [one_of(collector, trace(1), "post purchase").place]


async def waits(client: httpx.AsyncClient, operations: int) -> bool:
    return figures((await client.get("/metrics")).text)[QUEUE] == operations


async def test_the_share_is_of_what_begins_here(
    world: World, traced: dict[str, str], collector: Collector
) -> None:
    await world.credit(world.anna, 1_000)
    with live_server(**traced, traced_share="0") as server:
        anna = of(server, world.anna)
        async with anna.client:
            bought = [await anna.buy(1), await anna.buy(2, flags="01"), await anna.buy(3)]
            bought += [await anna.buy(4, over="/products/1/purchase")]
    assert bought == [900, 800, 700, 600]
    assert {span.trace for span in collector.spans} == {trace(2)}


async def test_a_decline_is_no_error(
    world: World, traced: dict[str, str], collector: Collector
) -> None:
    before = await world.state()
    with live_server(**traced) as server:
        anna = of(server, world.anna)
        async with anna.client:
            for number, over in enumerate(("/graphql", "/graphql", "/products/1/purchase")):
                assert await anna.buy(number + 1, flags="01", over=over) == "INSUFFICIENT_FUNDS"
    for number in (1, 2, 3):
        posted = one_of(collector, trace(number), "post purchase")
        assert posted.attributes == {"economy.decline": "INSUFFICIENT_FUNDS"}
    assert not [
        span for span in collector.spans if span.is_error or "error.type" in span.attributes
    ]
    assert all(span.remarks == "" for span in collector.spans)
    after = await world.state()
    assert (after["inventory"], after["claim"]) == (before["inventory"], before["claim"])
    assert await world.worth(world.anna) == (0, 0)


async def test_a_bug_without_what_it_says(
    traced: dict[str, str], collector: Collector, postgres_url: str
) -> None:
    """Of it and of everything else no span tells a value, a credential or who it is."""
    credentials = await credentials_in(postgres_url, jwt_secret=SECRET)
    settings = traced | {"jwt_secret": SECRET, "rate_limit_failed_authentication": ""}
    use = 'mutation { useItem(input: {productId: 1, idempotencyKey: "k"}) { __typename } }'
    with (
        live_server(**settings) as server,
        httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client,
    ):
        log = Log(client, credentials)
        log.ask_for_everything()
        assert log.bugs == []
        await execute(postgres_url, "ALTER TABLE inventory RENAME TO lost")
        log.ask_for_everything()
        log.bugs.clear()
        for name in ("first", "second"):
            log.graphql(credentials[0] | {"X-Request-Id": name}, use)
        log.send("POST", "/products/1/use", headers=credentials[0] | {"X-Request-Id": "rest"})
        assert log.bugs == ["first", "second", "rest"]
    for name in log.bugs:
        request = collector.asked_as(name)
        errors = {span.name: span for span in collector.of(request.trace) if span.is_error}
        expected = {"post use", "post batch", "SELECT"}
        expected |= {request.name} if name == "rest" else {"resolve useItem"}  # the status tells
        assert errors.keys() == expected
        assert errors["SELECT"].attributes["error.type"] == "UndefinedTableError"
        assert all("error.type" in span.attributes for span in errors.values() if span != request)
    assert all(span.remarks == "" for span in collector.spans)
    assert {name for span in collector.spans for name in span.attributes} == NAMED
    assert b"UndefinedTableError" in collector.received
    secrets = {part for header in credentials for value in header.values() for part in parts(value)}
    assert len(secrets) == 8
    others = {
        SECRET,
        BAD_KEY,
        BAD_TOKEN,
        "FORGED",
        "example.com",
        "anna",
        "boris",
        "does not exist",
    }
    found = [one for one in secrets | others if one.encode() in collector.received]
    assert found == []


def parts(value: str) -> list[str]:
    return [value.removeprefix("Bearer "), *value.removeprefix("Bearer ").split(".")[1:]]


async def test_what_nobody_asks_for_leaves_no_span(
    world: World, traced: dict[str, str], collector: Collector, raw: Redis
) -> None:
    """Jobs, the heartbeat of Redis, and what machines look at."""
    [begun] = await pending_since(world, world.anna)
    settings = traced | {"jobs_in_server": "true", "jobs_every_seconds": "1"}
    caller = {"traceparent": f"00-{trace(1)}-{1:016x}-01"}
    with live_server(**settings) as server:
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
            for path in ("/health/live", "/health/ready", "/metrics"):
                assert (await client.get(path, headers=caller)).status_code == 200
        await until(lambda: all_are_done(world.services.database), why=server.log.read_text)
        first = await pings(raw)
        await until(lambda: has_beaten(raw, first + 2))
    [[status]] = await world.sql('SELECT status FROM "transaction" WHERE id = :id', id=begun.id)
    assert status == "failed"
    assert collector.asked == 0


async def pings(raw: Redis) -> int:
    found: Any = await raw.info("commandstats")
    return int(found.get("cmdstat_ping", {}).get("calls", 0))


async def has_beaten(raw: Redis, times: int) -> bool:
    return await pings(raw) >= times
