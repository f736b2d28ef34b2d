"""Redis fails, in every way that it may, behind real server processes: nobody is told wrong."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import redis

from economy.bootstrap import open_services
from economy.services.access import ALL_SCOPES
from economy.settings import Settings
from tests.live import live_server
from tests.outage import (
    DEGRADED,
    LIMITS,
    WELL,
    Customer,
    Pair,
    limits_are_counted,
    live_through,
    read_everywhere,
    recover,
)
from tests.servers import (
    PostgresServer,
    RedisServer,
    create_database,
    drop_database,
    own_redis_server,
)
from tests.shop import Headers
from tests.world import World

Database = tuple[str, Headers]  # its URL, and a server key


@pytest.fixture(scope="module")
def database(postgres: PostgresServer, worker_id: str) -> Iterator[Database]:
    """One for all tests here: each has customers of its own."""
    name = f"redis_failures_{worker_id}"

    async def prepare() -> Database:
        await create_database(postgres, name, template=f"template_{worker_id}")
        url = postgres.database_url(name)
        async with open_services(Settings(database_url=url)) as services:
            await World.create(services)
            return url, {"X-Api-Key": await services.server_keys.create_key(ALL_SCOPES)}

    yield asyncio.run(prepare())
    asyncio.run(drop_database(postgres, name))


@contextlib.contextmanager
def two_servers(database: Database, redis_url: str, **settings: str) -> Iterator[Pair]:
    settings |= {"database_url": database[0], "redis_url": redis_url, **LIMITS}
    settings |= {"jobs_every_seconds": "1", "popular_products_ttl_seconds": "1"}
    with live_server(**settings) as one, live_server(**settings) as other:
        yield Pair([one, other])


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with own_redis_server() as server:
        yield server


@pytest.fixture(scope="module")
def patient_pair(database: Database, redis_server: RedisServer) -> Iterator[Pair]:
    """To them only an end of the connection is a failure, or an error as an answer."""
    with two_servers(database, redis_server.url, redis_timeout_seconds="10") as pair:
        yield pair


@pytest.fixture
def admin(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """Another client of the server, whatever the test before has left of it."""
    if redis_server.process.poll() is not None:
        redis_server.start()
    redis_server.answer_again()
    with redis.Redis.from_url(redis_server.url) as admin:
        admin.config_set("maxmemory", 0)
        admin.flushall()
        yield admin


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Over the network, with a connection for each request that is under way."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
async def pair(patient_pair: Pair, admin: redis.Redis, client: httpx.AsyncClient) -> Pair:
    await patient_pair.until_well(client)
    patient_pair.news()
    return patient_pair


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    """What is in the database; its services know of no Redis."""
    async with open_services(Settings(database_url=database[0])) as services:
        users = await services.users.users([1, 2])
        products = await services.products.products([1, 2])
        yield World(services, users[1], users[2], products[1], products[2])


@pytest.fixture
async def customer(world: World, client: httpx.AsyncClient, database: Database) -> Customer:
    return await Customer.create(world, client, database[1])


async def purchases(world: World) -> int:
    [[count]] = await world.sql("SELECT count(*) FROM \"transaction\" WHERE kind = 'purchase'")
    return int(count)


async def buy_in_vain(customer: Customer, pair: Pair) -> list[asyncio.Task[None]]:
    """Purchases by others that are done, and cannot tell Redis."""
    others = [await customer.another() for _ in range(4)]
    done = len(others) + await purchases(customer.world)
    asked = [
        asyncio.create_task(one.buy(server))
        for one, server in zip(others, 2 * pair.servers, strict=True)
    ]
    async with asyncio.timeout(30):
        while True:
            if await purchases(customer.world) == done:
                return asked
            await asyncio.sleep(0.005)


async def test_down_at_start(customer: Customer, database: Database) -> None:
    with own_redis_server() as server:
        server.kill()
        with two_servers(database, server.url) as pair:
            assert await pair.status(customer.client) == DEGRADED
            await pair.ask_for_a_second(customer, time.monotonic())
            await limits_are_counted(customer, pair, is_shared=False)

            async def start() -> None:
                server.start()

            await recover([customer], pair, start)
            pair.assert_told_once()


async def test_killed_amid_requests(
    customer: Customer, pair: Pair, redis_server: RedisServer
) -> None:
    async def kill() -> None:
        redis_server.stop_answering()
        asked = [
            asyncio.create_task(question(server))
            for server in pair.servers
            for question in 5 * [customer.read_inventory, customer.query_inventory]
        ]
        asked += await buy_in_vain(customer, pair)
        assert not any(one.done() for one in asked)
        redis_server.kill()
        await asyncio.gather(*asked)

    async def start() -> None:
        redis_server.start()

    other = await live_through(customer, pair, kill, DEGRADED)
    await recover([customer, other], pair, start)
    pair.assert_told_once()


async def test_black_holed(customer: Customer, database: Database) -> None:
    """It accepts and never answers; the server that ends meanwhile ends in order."""
    with own_redis_server() as server, two_servers(database, server.url) as pair:

        async def stop_answering() -> None:
            server.stop_answering()

        async def answer_again() -> None:
            server.answer_again()

        pair.news()
        other = await live_through(customer, pair, stop_answering, DEGRADED)
        await recover([customer, other], pair, answer_again)
        pair.assert_told_once()

        server.stop_answering()
        asked = await buy_in_vain(customer, pair)
        for one in pair.servers:
            one.terminate()
        await asyncio.gather(*asked)
        for one in pair.servers:
            await asyncio.to_thread(one.wait)
        pair.assert_told_once(is_back=False)


async def test_flushed(customer: Customer, pair: Pair, admin: redis.Redis) -> None:
    """Again and again: it has not failed, it has only forgotten."""

    async def flush() -> None:
        flushes = 0

        async def flush_on() -> None:
            nonlocal flushes
            while True:
                admin.flushall()
                flushes += 1
                await asyncio.sleep(0.01)

        flushing = asyncio.create_task(flush_on())
        await pair.ask_for_a_second(customer, time.monotonic())
        flushing.cancel()
        await asyncio.wait([flushing])
        assert flushing.cancelled()
        assert flushes > 10

    async def flush_once() -> None:
        admin.flushall()

    other = await live_through(customer, pair, flush, WELL)
    await recover([customer, other], pair, flush_once)
    assert pair.news() == [[], []]


async def test_out_of_memory(customer: Customer, pair: Pair, admin: redis.Redis) -> None:
    """It reads, and writes nothing."""

    async def fill_up() -> None:
        admin.config_set("maxmemory", 1)
        assert admin.get("anything") is None
        with pytest.raises(redis.OutOfMemoryError):
            admin.set("anything", "x")

    async def make_room() -> None:
        admin.config_set("maxmemory", 0)

    other = await live_through(customer, pair, fill_up, DEGRADED)
    await recover([customer, other], pair, make_room)
    pair.assert_told_once()


async def test_restarted_from_an_old_snapshot(
    customer: Customer, pair: Pair, redis_server: RedisServer, admin: redis.Redis
) -> None:
    async def save_and_die() -> None:
        admin.save()
        await customer.buy(pair.servers[0])
        await read_everywhere(customer, pair)
        redis_server.kill()

    async def start() -> None:
        redis_server.start()

    other = await live_through(customer, pair, save_and_die, DEGRADED)
    await recover([customer, other], pair, start)
    pair.assert_told_once()

    # so fast that nobody asked meanwhile
    admin.save()
    await customer.buy(pair.servers[0])
    await read_everywhere(customer, pair)
    redis_server.restart()
    await read_everywhere(customer, pair)
    await pair.until_well(customer.client)
    await read_everywhere(customer, pair)
