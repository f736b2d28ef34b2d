"""The end of a server: it says that it goes, answers still, ends in order, and within its bound."""

import asyncio
import os
import signal
import time
from dataclasses import dataclass

import httpx
import pytest

from economy.bootstrap import open_services
from economy.settings import Settings
from tests.cache_source import figures
from tests.conftest import migrate_url
from tests.due_jobs import until
from tests.live import LiveServer, children, live_server
from tests.outage import player
from tests.rival import open_rival
from tests.servers import own_postgres_server
from tests.shop import Headers
from tests.world import World

FOR_EVER = {"drain_seconds": "600"}
PATIENT = {"lock_timeout_ms": "600000", "statement_timeout_ms": "600000"}
WAITS = "Waiting for connections to close"
LEFT = "the database does not answer: operations are left unanswered"


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


@dataclass
class Customer:
    """Anna, who buys from a live server; each order has a key of its own."""

    server: LiveServer
    headers: Headers
    client: httpx.AsyncClient  # of one connection, which stays open
    orders: int = 0

    async def buy(self, client: httpx.AsyncClient | None = None) -> int:
        self.orders += 1
        headers = self.headers | {"Idempotency-Key": f"order-{self.orders}"}
        answer = await (client or self.client).post("/products/1/purchase", headers=headers)
        return answer.status_code

    async def buy_anew(self) -> int:
        """Over a new connection."""
        async with self.another() as client:
            return await self.buy(client)

    def another(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.server.url, trust_env=False, timeout=60)

    async def readiness(self) -> tuple[int, str]:
        async with self.another() as client:
            answer = await client.get("/health/ready")
        return answer.status_code, answer.json()["status"]

    async def is_draining(self) -> bool:
        return await self.readiness() == (503, "draining")

    async def until_logged(self, words: str) -> None:
        async def is_logged() -> bool:
            return words in self.server.log.read_text()

        await until(is_logged, why=self.server.log.read_text)

    async def until_ended(self) -> None:
        await asyncio.to_thread(self.server.wait)


@pytest.fixture
async def anna(world: World) -> Headers:
    await world.credit(world.anna, 1_000_000)
    return player(world.anna)


def settings_of(database_url: str, **changes: str) -> dict[str, str]:
    others = {"rate_limit_player_money": "", "jobs_in_server": "false", **PATIENT}
    return {"database_url": database_url} | others | changes


async def sold(world: World) -> int:
    [[count]] = await world.sql("SELECT count(*) FROM transaction WHERE kind = 'purchase'")
    return int(count)


def served_by(server: LiveServer, headers: Headers) -> Customer:
    limits = httpx.Limits(max_connections=1)
    client = httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60, limits=limits)
    return Customer(server, headers, client)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_all_is_answered_while_it_drains(
    world: World, anna: Headers, database_url: str, workers: str
) -> None:
    """On connections of before and on new ones, until it ends by itself."""
    settings = settings_of(database_url, drain_seconds="2")
    with live_server("--workers", workers, **settings) as server:
        customer = served_by(server, anna)
        async with customer.client:
            assert await customer.readiness() == (200, "ok")
            assert await customer.buy() == 200
            server.terminate()
            await customer.until_logged("draining for 2 s")
            assert await customer.is_draining()
            bought = 1
            try:
                while True:
                    for buy in (customer.buy, customer.buy_anew):
                        assert await buy() == 200
                        bought += 1
            except httpx.TransportError:
                pass  # it takes no more connections
        await customer.until_ended()
    assert bought >= 3
    assert await sold(world) == bought


async def test_a_second_signal_ends_it_at_once(anna: Headers, database_url: str) -> None:
    settings = settings_of(database_url, **FOR_EVER)
    with live_server(**settings) as server:
        customer = served_by(server, anna)
        async with customer.client:
            server.terminate()
            await until(customer.is_draining)
            assert await customer.buy() == 200
        assert server.process.poll() is None
        server.terminate()
        await customer.until_ended()


@pytest.mark.parametrize("drain_seconds", ["0", "1"])
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_request_under_way_is_answered(
    world: World, anna: Headers, database_url: str, workers: str, drain_seconds: str
) -> None:
    settings = settings_of(database_url, drain_seconds=drain_seconds, shutdown_seconds="600")
    with live_server("--workers", workers, **settings) as server:
        customer = served_by(server, anna)
        async with customer.client, open_rival(database_url) as rival:
            async with rival.holding_user(world.anna.id):
                buying = asyncio.create_task(customer.buy())
                await rival.until_waiting()
                server.terminate()
                await customer.until_logged(WAITS)
                if workers == "1":
                    with pytest.raises(httpx.ConnectError):
                        await customer.readiness()
                assert server.process.poll() is None
                assert not buying.done()
            assert await buying == 200
        await customer.until_ended()
        assert ("draining for 1 s" in server.log.read_text()) is (drain_seconds == "1")
    assert await sold(world) == 1


async def test_by_default_it_does_not_drain(anna: Headers, database_url: str) -> None:
    with live_server(**settings_of(database_url)) as server:
        customer = served_by(server, anna)
        async with customer.client:
            assert await customer.buy() == 200
            server.terminate()
            await customer.until_ended()
            with pytest.raises(httpx.TransportError):
                await customer.buy()
        assert "draining" not in server.log.read_text()


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_database_that_does_not_answer_does_not_keep_it(workers: str) -> None:
    """Operations that wait for it are given up, and afterwards each was done once or not at all."""
    with own_postgres_server() as postgres:
        assert postgres.cluster is not None
        await migrate_url(postgres.url)
        async with open_services(Settings(database_url=postgres.url)) as services:
            world = await World.create(services)
            await world.credit(world.anna, 1_000)
        settings = settings_of(postgres.url, shutdown_seconds="1")
        with live_server("--workers", workers, **settings) as server:
            customer = served_by(server, player(world.anna))
            async with customer.client, customer.another() as other:
                assert await customer.buy() == 200
                frozen = with_children(postgres.cluster.process.pid)
                signal_all(frozen, signal.SIGSTOP)
                try:
                    buying = [
                        asyncio.create_task(customer.buy(client))
                        for client in (customer.client, other)
                    ]
                    await until(lambda: has_taken(customer, 3))
                    server.terminate()
                    await customer.until_ended()
                    answers = await asyncio.gather(*buying, return_exceptions=True)
                finally:
                    signal_all(frozen, signal.SIGCONT)
                assert all(
                    isinstance(answer, httpx.TransportError) or answer in (500, 503)
                    for answer in answers
                ), answers
            assert LEFT in server.log.read_text()
        with live_server(**settings) as server:
            customer = served_by(server, player(world.anna))
            async with customer.client:
                assert [await customer.buy() for _ in range(3)] == [200, 200, 200]
        async with open_services(Settings(database_url=postgres.url)) as services:
            world.services = services
            assert await sold(world) == 3
            assert await world.worth(world.anna) == (700, 0)
            assert await world.broken() == {}


async def test_the_bound_is_for_all_of_the_end(
    world: World, anna: Headers, database_url: str
) -> None:
    """Who was waited for is not waited for again: an orchestrator would kill us meanwhile."""
    with live_server(**settings_of(database_url, shutdown_seconds="8")) as server:
        customer = served_by(server, anna)
        async with customer.client, open_rival(database_url) as rival:
            async with rival.holding_user(world.anna.id):
                buying = asyncio.create_task(customer.buy())
                await rival.until_waiting()
                server.terminate()
                began = time.monotonic()
                await customer.until_ended()
                assert 8 <= time.monotonic() - began < 14
            [answer] = await asyncio.gather(buying, return_exceptions=True)
            assert isinstance(answer, httpx.TransportError) or answer in (500, 503)
        assert LEFT in server.log.read_text()
    assert await sold(world) in (0, 1)  # nobody was told; the database may get to it yet
    assert await world.broken() == {}


def with_children(process: int) -> list[int]:
    return [process, *children(process)]


def signal_all(processes: list[int], number: signal.Signals) -> None:
    for process in processes:
        os.kill(process, number)


async def has_taken(customer: Customer, operations: int) -> bool:
    """Does it hold so many in its batches and queue, or has it answered them?"""
    async with customer.another() as client:
        found = figures((await client.get("/metrics")).text)
    begun = found.get("economy_posting_wait_seconds_count", 0)
    return begun + found.get("economy_posting_queue_operations", 0) == operations
