"""Hours are counted once each, whoever else counts, writes or breaks off meanwhile."""

import asyncio
import logging
import random
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from economy.bootstrap import open_services
from economy.database import Database
from economy.jobs import Job
from economy.repositories.job import NEVER
from economy.services import Services
from economy.services import analytics as analytics_module
from economy.settings import Settings
from tests.purchases import (
    DAY,
    HOUR,
    WEEK,
    assert_all_is_counted,
    assert_ranked_as_plainly,
    counted_until,
    counts_in,
    counts_of,
    hour_of,
    nine_days,
    ranking_told,
    stock,
)
from tests.rival import open_rival
from tests.sql_counter import recorded_sql
from tests.world import World


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Whoever is held up by a test goes on waiting, however busy the machine is."""
    patient = {"lock_timeout_ms": 60_000, "statement_timeout_ms": 60_000}
    return settings.model_copy(update=patient)


async def test_hours_are_counted_once_by_many_processes(
    services: Services, settings: Settings
) -> None:
    database, started_at = services.database, datetime.now(UTC)
    rows = nine_days(random.Random(6), started_at, 400)
    await stock(database, rows)
    async with AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(open_services(settings)) for _ in range(4)]
        sent = [stack.enter_context(recorded_sql(process.database)) for process in processes]
        results = await asyncio.gather(
            *(process.analytics.count_purchases() for process in processes)
        )
    assert True in results
    await assert_all_is_counted(database, rows, started_at)
    inserts = [sql for statements in sent for sql in statements if "INTO purchase_hour" in sql]
    hours = (await counted_until(database) - hour_of(started_at - WEEK)) // HOUR
    assert len(inserts) == hours
    await assert_ranked_as_plainly(database)


async def test_counting_goes_on_where_it_broke_off(services: Services) -> None:
    database, started_at = services.database, datetime.now(UTC)
    rows = nine_days(random.Random(7), started_at, 400)
    await stock(database, rows)
    poisoned = max(hour for hour, _ in counts_of(rows, started_at - 5 * DAY, started_at - 3 * DAY))
    async with database.unit_of_work() as session:
        for statement in poison(database, poisoned):
            await session.execute(text(statement))
    for _ in range(2):
        with pytest.raises(Exception, match="poison"):
            await services.analytics.count_purchases()
        assert await counted_until(database) == poisoned
        counted = counts_of(rows, hour_of(started_at - WEEK), poisoned)
        assert await counts_in(database) == counted
        await assert_ranked_as_plainly(database)
    async with database.unit_of_work() as session:
        for statement in antidote(database):
            await session.execute(text(statement))
    assert await services.analytics.count_purchases() is True
    await assert_all_is_counted(database, rows, started_at)


def poison(database: Database, hour: datetime) -> list[str]:
    if database.dialect == "postgresql":
        return [f"ALTER TABLE purchase_hour ADD CONSTRAINT poison CHECK (hour <> '{hour}')"]
    return [
        f"""CREATE TRIGGER poison BEFORE INSERT ON purchase_hour
        WHEN NEW.hour LIKE '{hour:%Y-%m-%d %H}:%' BEGIN SELECT RAISE(ABORT, 'poison'); END"""
    ]


def antidote(database: Database) -> list[str]:
    if database.dialect == "postgresql":
        return ["ALTER TABLE purchase_hour DROP CONSTRAINT poison"]
    return ["DROP TRIGGER poison"]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_counting_that_is_cancelled_leaves_nothing_half_done(
    services: Services, database_url: str
) -> None:
    database, started_at = services.database, datetime.now(UTC)
    rows = nine_days(random.Random(8), started_at, 200)
    await stock(database, rows)
    async with open_rival(database_url) as rival:
        async with rival.connection.transaction():
            await rival.connection.execute("LOCK TABLE purchase_hour IN SHARE MODE")
            counting = asyncio.create_task(services.analytics.count_purchases())
            await rival.until_waiting()
            counting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await counting
            await rival.until_waiting(0)
        assert await counts_in(database) == {}
        assert await counted_until(database) == NEVER
    await services.analytics.count_purchases()
    await assert_all_is_counted(database, rows, started_at)


@pytest.fixture
def counting_the_hour_that_is_not_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a transaction would have to be as old as the grace."""
    monkeypatch.setattr(analytics_module, "GRACE", -HOUR)


@pytest.mark.usefixtures("counting_the_hour_that_is_not_over")
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_an_hour_waits_for_purchases_that_have_not_ended(
    world: World, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One holds up its hour only; what it has written is counted when it is there."""
    analytics, database = world.services.analytics, world.services.database
    await world.credit(world.anna, 1_000)
    hour = hour_of((await world.buy(world.anna, world.boost)).transaction.created_at)
    async with (
        open_rival(database_url) as rival,
        open_rival(database_url) as reader,
        reader.connection.transaction(),
    ):
        await reader.connection.execute("SELECT 1")  # has written nothing: nobody waits for it
        async with rival.connection.transaction():
            # writes nothing itself, but lets nobody write
            await rival.connection.execute("LOCK TABLE inventory IN SHARE MODE")
            # a reference is claimed first, so that this writes before it waits
            buying = asyncio.gather(
                world.buy(world.anna, world.boost),
                world.credit(world.boris, 1, external_reference="r"),
            )
            await rival.until_waiting()
            for _ in range(2):
                with caplog.at_level(logging.WARNING, "economy"):
                    await analytics.count_purchases()
                assert await counted_until(database) == hour
                assert await counts_in(database) == {}
        await buying
        assert await analytics.count_purchases() is True
    assert (await counts_in(database))[hour, world.boost.id] == 2
    assert await counted_until(database) >= hour + HOUR
    assert [record.getMessage() for record in caplog.records] == 2 * [
        f"purchases of {hour} are counted later: not all have ended"
    ]
    assert await ranking_told(database) == [(world.boost.id, 2)]


@pytest.mark.usefixtures("counting_the_hour_that_is_not_over")
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("is_committed", [True, False])
async def test_what_another_client_has_written_is_waited_for(
    world: World, database_url: str, is_committed: bool
) -> None:
    analytics, database = world.services.analytics, world.services.database
    await world.credit(world.anna, 1_000)
    hour = hour_of((await world.buy(world.anna, world.boost)).transaction.created_at)
    async with open_rival(database_url) as rival:
        writing = rival.connection.transaction()
        await writing.start()
        await rival.connection.execute(
            """INSERT INTO transaction SELECT user_id, gen_random_uuid(), 99, kind, status,
            product_id, quantity, amount, balance_after, quantity_after, failure_code, actor,
            NULL, request_hash, external_reference, created_at, completed_at, debt_after, NULL,
            NULL, 99, hash, NULL
            FROM transaction WHERE kind = 'purchase'"""
        )
        await analytics.count_purchases()
        assert await counted_until(database) == hour
        await (writing.commit() if is_committed else writing.rollback())
        assert await analytics.count_purchases() is True
    assert (await counts_in(database))[hour, world.boost.id] == (2 if is_committed else 1)
    assert await ranking_told(database) == [(world.boost.id, 2 if is_committed else 1)]


async def test_counts_that_nobody_asks_for_are_deleted(services: Services) -> None:
    database, started_at = services.database, datetime.now(UTC)
    await stock(database, nine_days(random.Random(9), started_at, 400))
    await services.analytics.count_purchases()
    counted = await counts_in(database)
    await assert_ranked_as_plainly(database)
    old = hour_of(started_at - WEEK) - HOUR
    async with database.unit_of_work() as session:
        for hour in (old, old - DAY, old - 300 * DAY):
            await session.execute(
                text(f"INSERT INTO purchase_hour SELECT {literal(database, hour)}, 1, 5")
            )
    assert len(await counts_in(database)) == len(counted) + 3
    assert await services.jobs.run(Job.DELETE_EXPIRED) is True
    first = {hour_of(now - WEEK) for now in (started_at, datetime.now(UTC))}
    assert await counts_in(database) in [
        {key: count for key, count in counted.items() if key[0] >= hour} for hour in first
    ]
    await assert_ranked_as_plainly(database)


def literal(database: Database, moment: datetime) -> Any:
    is_sqlite = database.dialect == "sqlite"
    return f"'{moment:%Y-%m-%d %H:%M:%S.%f}'" if is_sqlite else f"timestamptz '{moment}'"
