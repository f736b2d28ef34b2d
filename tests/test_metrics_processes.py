"""Metrics of a server of two processes: whichever answers tells what both have done."""

import asyncio
import contextlib
import itertools
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prometheus_client.mmap_dict import MmapedDict

from tests.cache_source import figures
from tests.due_jobs import until
from tests.live import LiveServer, children, live_server
from tests.outage import player
from tests.rival import Rival
from tests.world import World

CLIENTS, ORDERS, POOL = 30, 2, 4
BUY = """mutation ($key: String!) { purchase(input: {productId: 1, idempotencyKey: $key}) {
    ... on PurchaseSuccess { replayed } ... on EconomyError { code } } }"""
QUEUE, USED = "economy_posting_queue_operations", "economy_database_connections_in_use"
LIMIT, REDIS = "economy_database_connections_limit", "economy_redis_up"
PATIENT = {"lock_timeout_ms": "60000", "statement_timeout_ms": "60000"}


def of_requests(operation: str, route: str, status: int) -> str:
    labels = f'operation="{operation}",route="{route}",status="{status}"'
    return f'economy_http_requests_total{{method="POST",{labels}}}'


def of_seconds(operation: str, route: str) -> str:
    return f'economy_http_request_seconds_count{{operation="{operation}",route="{route}"}}'


# what the players below ask for: bought once, told again, refused, and over both transports
REST, GRAPHQL, PLAYERS = "/products/{product_id}/purchase", "/graphql", CLIENTS * ORDERS
DONE: dict[str, float] = {
    of_requests("purchase", REST, 200): 2 * PLAYERS,
    of_requests("purchase", REST, 402): PLAYERS,
    of_requests("purchase", GRAPHQL, 200): PLAYERS,
    of_requests("graphql", GRAPHQL, 400): PLAYERS,
    of_seconds("purchase", REST): 3 * PLAYERS,
    of_seconds("purchase", GRAPHQL): PLAYERS,
    of_seconds("graphql", GRAPHQL): PLAYERS,
    'economy_graphql_errors_total{code="BAD_REQUEST",operation="graphql"}': PLAYERS,
    'economy_operations_total{kind="purchase",outcome="completed"}': 2 * PLAYERS,
    'economy_operations_total{kind="purchase",outcome="replayed"}': PLAYERS,
    'economy_operations_total{kind="purchase",outcome="INSUFFICIENT_FUNDS"}': PLAYERS,
    'economy_coins_spent_total{kind="purchase"}': 200 * PLAYERS,
    "economy_posting_wait_seconds_count": 4 * PLAYERS,
    "economy_posting_batch_operations_sum": 4 * PLAYERS,
}


@dataclass
class Place:
    server: LiveServer
    world: World
    folder: Path  # that of temporary files

    @property
    def workers(self) -> list[int]:
        return sorted(children(self.server.process.pid))

    def client(self) -> httpx.AsyncClient:
        """Of one connection."""
        limits = httpx.Limits(max_connections=1, keepalive_expiry=None)
        return httpx.AsyncClient(
            base_url=self.server.url, trust_env=False, timeout=60, limits=limits
        )

    @contextlib.asynccontextmanager
    async def clients(self, count: int = 1) -> AsyncIterator[dict[int, list[httpx.AsyncClient]]]:
        """For each process so many whose connections it has accepted."""
        async with contextlib.AsyncExitStack() as stack:
            found = {worker: list[httpx.AsyncClient]() for worker in self.workers}
            while any(len(clients) < count for clients in found.values()):
                client = await stack.enter_async_context(self.client())
                before = {worker: self.answered_by(worker) for worker in found}
                assert (await client.get("/health/live")).status_code == 200
                await until(lambda before=before: self.has_answered(before))  # type: ignore[misc]
                [worker] = [one for one in found if self.answered_by(one) > before[one]]
                found[worker].append(client)
            yield found

    async def has_answered(self, before: dict[int, float]) -> bool:
        return any(self.answered_by(worker) > count for worker, count in before.items())

    def answered_by(self, worker: int) -> float:
        """How many of such requests, by what the process itself has written down."""
        files = self.folder.glob(f"economy-metrics-*/counter_{worker}.db")
        read = itertools.chain(*map(MmapedDict.read_all_values_from_file, map(str, files)))
        return sum(float(value) for key, value, *_ in read if "/health/live" in key)

    async def buy(self, name: int) -> None:
        """Over a connection of its own."""
        async with self.client() as own:
            anna, boris = player(self.world.anna), player(self.world.boris)
            for number in range(ORDERS):
                headers = anna | {"Idempotency-Key": f"{name}-{number}"}
                for status, who in ((200, headers), (200, headers), (402, boris)):
                    answer = await own.post("/products/1/purchase", headers=who)
                    assert answer.status_code == status
                body = {"query": BUY, "variables": {"key": f"{name}-{number}-graphql"}}
                answer = await own.post("/graphql", json=body, headers=anna)
                assert answer.json() == {"data": {"purchase": {"replayed": False}}}
                assert (await own.post("/graphql", json=[], headers=anna)).status_code == 400

    async def order(self, client: httpx.AsyncClient) -> None:
        answer = await client.post("/products/1/purchase", headers=player(self.world.anna))
        assert answer.status_code == 200

    async def has_replaced(self, killed: int) -> bool:
        return len(self.workers) == 2 and killed not in self.workers

    async def until_told(self, client: httpx.AsyncClient, expected: dict[str, float]) -> None:
        """A request is counted right after its answer."""

        async def is_told() -> bool:
            found = await scraped(client)
            return {name: found.get(name, 0) for name in expected} == expected

        await until(is_told, why=self.server.log.read_text)


async def scraped(client: httpx.AsyncClient) -> dict[str, float]:
    """Without what a scrape itself moves."""
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    found = figures(answer.text)
    return {name: found[name] for name in found if '"/metrics"' not in name and name != USED}


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
async def place(
    world: World,
    database_url: str,
    own_redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Place]:
    await world.credit(world.anna, 1_000_000)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    settings = {"database_url": database_url, "redis_url": own_redis_url, **PATIENT}
    settings |= {"redis_timeout_seconds": "10", "jobs_in_server": "false"}
    settings |= {"rate_limit_player_money": "", "database_pool_size": str(POOL)}
    with live_server("--workers", "2", **settings) as server:
        yield Place(server, world, tmp_path)
    assert not any("economy-metrics" in name for name in os.listdir(tmp_path))


async def test_every_process_tells_the_sums(place: Place, rival: Rival) -> None:
    await asyncio.gather(*(place.buy(name) for name in range(CLIENTS)))
    async with place.clients(4) as clients:
        one, other = clients.values()
        await place.until_told(one[0], DONE)
        told = await scraped(one[0])
        assert await scraped(other[0]) == told
        assert (told[LIMIT], told[REDIS]) == (2 * POOL, 1)
        assert QUEUE not in told  # which is 0
        # what waits in each is added up
        async with rival.holding_user(place.world.anna.id), asyncio.TaskGroup() as together:
            for number, first in enumerate((one[0], other[0]), start=1):
                together.create_task(place.order(first))
                await rival.until_waiting(number)
            for client in (*one[1:3], other[1]):
                together.create_task(place.order(client))
            for client in (one[3], other[3]):
                await place.until_told(client, {QUEUE: 2 + 1})
            await rival.connection.execute("ROLLBACK")
        for client in (one[3], other[3]):
            await place.until_told(client, {QUEUE: 0})


async def test_a_process_that_was_killed(place: Place, rival: Rival) -> None:
    """What it has counted stays, what it held goes; another takes its place and is counted."""
    await asyncio.gather(*(place.buy(name) for name in range(CLIENTS)))
    async with place.clients(4) as clients:
        (killed, its), (survivor, others) = clients.items()
        await place.until_told(others[0], DONE)
        async with rival.holding_user(place.world.anna.id):
            lost = [asyncio.create_task(place.order(its[0]))]
            await rival.until_waiting()
            # exactly three wait: the system may have given this process more than four connections
            lost += [asyncio.create_task(place.order(client)) for client in its[1:4]]
            await place.until_told(others[0], {QUEUE: 3, LIMIT: 2 * POOL})
            os.kill(killed, signal.SIGKILL)
            answers = await asyncio.gather(*lost, return_exceptions=True)
        assert all(isinstance(answer, httpx.TransportError) for answer in answers), answers
        await until(lambda: place.has_replaced(killed))
    assert survivor in place.workers
    await asyncio.gather(*(place.buy(CLIENTS + name) for name in range(CLIENTS)))
    more = {name: 2 * count for name, count in DONE.items()}
    # of what was lost one operation had begun
    for name in ("economy_posting_wait_seconds_count", "economy_posting_batch_operations_sum"):
        more[name] += 1
    async with place.clients() as clients:
        assert len(clients) == 2
        for client, *_ in clients.values():
            await place.until_told(client, more | {QUEUE: 0, LIMIT: 2 * POOL})
