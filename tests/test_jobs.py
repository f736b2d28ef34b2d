"""Periodic jobs: what is due is done once, by whoever comes first; what failed is due still."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from economy.bootstrap import open_services
from economy.database import Database
from economy.jobs import Job
from economy.metrics import Metrics
from economy.repositories.job import NEVER
from economy.services import Services
from economy.settings import Settings
from tests.due_jobs import midnight, progress, runs, set_progress, until, watched_resets
from tests.purchases import WEEK, counts_in, hour_of
from tests.servers import RedisServer, own_redis_server
from tests.sql_counter import recorded_sql
from tests.world import SERVER, World

RESET, COUNT, DELETE = Job.RESET_INVENTORY_CACHE, Job.COUNT_PURCHASES, Job.DELETE_EXPIRED
HIDE = "ALTER TABLE purchase_hour RENAME TO hidden"  # then counting fails, and deleting
SHOW = "ALTER TABLE hidden RENAME TO purchase_hour"


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with own_redis_server() as server:
        yield server


@pytest.fixture
async def shared(redis_server: RedisServer, database_url: str) -> Settings:
    """With a Redis that holds nothing, and is given the time that it needs."""
    async with Redis.from_url(redis_server.url) as client:
        await client.flushall()
    return Settings(database_url=database_url, redis_url=redis_server.url, redis_timeout_seconds=10)


async def execute(database: Database, *statements: str) -> None:
    async with database.unit_of_work() as session:
        for statement in statements:
            await session.execute(text(statement))


async def test_a_daily_reset_is_done_once_by_many_processes(shared: Settings) -> None:
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        processes = [
            await stack.enter_async_context(open_services(shared, metrics)) for _ in range(4)
        ]
        world = await World.create(processes[0])
        await world.credit(world.anna, 1_000)
        items = [(await world.buy(world.anna, world.boost)).item]
        resets = await stack.enter_async_context(watched_resets(str(shared.redis_url)))

        async def statements_of_a_read(process: Services) -> int:
            with recorded_sql(process.database) as statements:
                read = await process.inventory.inventory_of(SERVER, str(world.anna.id))
                assert read == items
            return len(statements)

        assert [await statements_of_a_read(process) for process in processes] == [1, 0, 0, 0]
        done = await asyncio.gather(*(process.jobs.run(RESET) for process in processes))
        assert sorted(done) == [False, False, False, True]
        assert await resets.count() == 1
        assert await progress(processes[0].database) == {RESET: midnight()}
        assert [await statements_of_a_read(process) for process in processes] == [1, 0, 0, 0]

        assert [await process.jobs.run(RESET) for process in processes] == [False] * 4
        assert await resets.count() == 1
        assert runs(metrics) == {(RESET, "done"): 1, (RESET, "idle"): 7}
        # the next day
        await set_progress(processes[0].database, RESET, midnight() - timedelta(days=1))
        assert [await process.jobs.run(RESET) for process in processes] == [True] + [False] * 3
        assert await resets.count() == 2


async def test_a_cache_in_the_process_is_reset(services: Services, world: World) -> None:
    async def asks_the_database() -> bool:
        with recorded_sql(services.database) as statements:
            await services.inventory.inventories([world.anna.id, world.boris.id])
        return len(statements) > 0

    assert [await asks_the_database() for _ in range(2)] == [True, False]
    assert await services.jobs.run(RESET) is True
    assert [await asks_the_database() for _ in range(2)] == [True, False]
    assert await services.jobs.run(RESET) is False
    assert await asks_the_database() is False


async def test_without_a_cache_there_is_nothing_to_reset_but_the_day(database_url: str) -> None:
    async with open_services(Settings(database_url=database_url, workers=2)) as services:
        assert [await services.jobs.run(RESET) for _ in range(2)] == [True, False]


async def test_a_reset_that_redis_does_not_hear_of_is_due_still(
    shared: Settings, redis_server: RedisServer
) -> None:
    metrics = Metrics()
    async with open_services(shared, metrics) as services:
        assert services.redis is not None
        redis_server.kill()
        try:
            for _ in range(2):
                assert await services.jobs.run(RESET) is False
                assert await progress(services.database) == {RESET: NEVER}
        finally:
            redis_server.start()
        await until(services.redis.ping)
        async with watched_resets(str(shared.redis_url)) as resets:
            assert await services.jobs.run(RESET) is True
            assert await resets.count() == 1
        assert await progress(services.database) == {RESET: midnight()}
        assert runs(metrics) == {(RESET, "idle"): 2, (RESET, "done"): 1}


async def test_a_reset_that_is_cancelled_is_due_still(
    shared: Settings, redis_server: RedisServer
) -> None:
    """As by the time limit, or by the end of its process."""
    metrics = Metrics()
    async with open_services(shared, metrics) as services:
        redis_server.stop_answering()
        try:
            running = asyncio.create_task(services.jobs.run(RESET))
            claimed = {RESET: midnight()}
            await until(lambda: holds(services.database, claimed))
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        finally:
            redis_server.answer_again()
        assert await progress(services.database) == {RESET: NEVER}
        async with watched_resets(str(shared.redis_url)) as resets:
            assert await services.jobs.run(RESET) is True
            assert await resets.count() == 1
        assert runs(metrics) == {(RESET, "failed"): 1, (RESET, "done"): 1}


async def holds(database: Database, expected: dict[Job, datetime]) -> bool:
    return await progress(database) == expected


async def test_counts_are_deleted_once_a_day(settings: Settings) -> None:
    metrics = Metrics()
    async with open_services(settings, metrics) as services:
        world = await World.create(services)
        hours = [hour_of(datetime.now(UTC)) - age for age in (2 * WEEK, WEEK / 2)]
        old, new = [
            f"""INSERT INTO purchase_hour (hour, product_id, purchases)
            VALUES ('{hour:%Y-%m-%d %H:%M:%S}{zone(services.database)}', {world.boost.id}, 3)"""
            for hour in hours
        ]
        await execute(services.database, old, new)
        assert await services.jobs.run(DELETE) is True
        kept = {(hours[1], world.boost.id): 3}
        assert await counts_in(services.database) == kept
        assert await progress(services.database) == {DELETE: midnight()}

        await execute(services.database, old)
        assert await services.jobs.run(DELETE) is False
        assert await counts_in(services.database) == {**kept, (hours[0], world.boost.id): 3}
        await set_progress(services.database, DELETE, midnight() - timedelta(days=1))
        assert await services.jobs.run(DELETE) is True
        assert await counts_in(services.database) == kept
        assert runs(metrics) == {(DELETE, "done"): 2, (DELETE, "idle"): 1}


def zone(database: Database) -> str:
    """As the database's columns write a time in UTC."""
    return ".000000" if database.dialect == "sqlite" else "+00"


@pytest.mark.parametrize("job", [COUNT, DELETE])
async def test_what_failed_is_due_still(settings: Settings, job: Job) -> None:
    metrics = Metrics()
    async with open_services(settings, metrics) as services:
        await execute(services.database, HIDE)
        for _ in range(2):
            with pytest.raises(Exception, match="purchase_hour"):
                await services.jobs.run(job)
            assert set((await progress(services.database)).values()) <= {NEVER}
        await execute(services.database, SHOW)
        assert await services.jobs.run(job) is True
        assert (await progress(services.database))[job] >= midnight() - timedelta(hours=1)
        assert runs(metrics) == {(job, "failed"): 2, (job, "done"): 1}
