"""The database's own promises: fairness, one retry of a read, errors told by SQLSTATE."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from economy.database import Database
from economy.errors import ConcurrencyConflict, Unavailable
from economy.settings import Settings


async def one(session: AsyncSession) -> int:
    return int((await session.execute(text("SELECT 1"))).scalar_one())


async def sleep(session: AsyncSession, seconds: float) -> None:
    await session.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})


async def test_who_waits_for_a_connection_is_served_in_order(database_url: str) -> None:
    """A pool that lets newcomers overtake starves some of many readers until they time out."""
    database = Database(Settings(database_url=database_url, database_pool_size=2))
    waiting: list[int] = []

    async def read(number: int) -> None:
        async def start(session: AsyncSession) -> int:
            # before it stands at most the other one that has a connection
            assert waiting.index(number) < 2
            waiting.remove(number)
            return await one(session)

        for _ in range(20):
            waiting.append(number)
            assert await database.read(start) == 1

    await asyncio.gather(*(read(number) for number in range(40)))
    assert waiting == []
    await database.close()


async def test_no_free_connection_in_time_is_unavailable(postgres_url: str) -> None:
    settings = Settings(
        database_url=postgres_url, database_pool_size=2, database_pool_timeout_seconds=0.2
    )
    database = Database(settings)
    holders = [asyncio.create_task(database.read(sleep, 2)) for _ in range(2)]
    await asyncio.sleep(0.1)
    with pytest.raises(Unavailable):
        await database.read(one)
    await asyncio.gather(*holders)
    assert await database.read(one) == 1
    await database.close()


async def test_a_read_survives_the_loss_of_its_pooled_connection(postgres_url: str) -> None:
    database = Database(Settings(database_url=postgres_url))
    assert await database.read(one) == 1
    await _terminate_others(postgres_url)
    assert await database.read(one) == 1
    await database.close()


async def test_a_long_statement_is_unavailable(postgres_url: str) -> None:
    database = Database(Settings(database_url=postgres_url, statement_timeout_ms=100))
    with pytest.raises(Unavailable):
        await database.read(sleep, 5)
    await database.close()


async def test_a_long_wait_for_a_lock_is_a_conflict(database_url: str) -> None:
    database = Database(Settings(database_url=database_url, lock_timeout_ms=200))
    update = text("UPDATE product SET price = price")
    lock = text("LOCK TABLE product") if database.dialect == "postgresql" else update
    async with database.unit_of_work() as holder:
        await holder.execute(lock)
        with pytest.raises(ConcurrencyConflict):
            async with database.unit_of_work() as session:
                await session.execute(update)
    await database.close()


async def test_an_unreachable_database_is_unavailable() -> None:
    database = Database(Settings(database_url="postgresql://nobody@127.0.0.1:1/nothing"))
    with pytest.raises(Unavailable):
        await database.read(one)
    assert await database.is_healthy() is False
    await database.close()


async def _terminate_others(url: str) -> None:
    killer = Database(Settings(database_url=url))
    async with killer.unit_of_work() as session:
        await session.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    await killer.close()
