"""The snapshot that a verification reads: one moment, read-only, on a connection like others."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from economy.database import Database
from economy.errors import ConnectionLost, Unavailable
from economy.settings import Settings
from tests.world import World


async def test_a_snapshot_sees_one_moment(world: World) -> None:
    count = text('SELECT count(*) FROM "transaction"')
    async with world.services.database.snapshot() as session:
        assert await session.scalar(count) == 0
        await world.credit(world.anna, 100)
        assert await session.scalar(count) == 0


async def test_a_snapshot_is_read_only_and_leaves_no_trace_on_its_connection(
    postgres_url: str,
) -> None:
    database = Database(
        Settings(database_url=postgres_url, statement_timeout_ms=100, database_pool_size=2)
    )
    for _ in range(2):
        async with database.snapshot() as session:
            await session.execute(text("SELECT pg_sleep(0.2)"))  # longer than the timeout
            with pytest.raises(DBAPIError, match="read-only"):
                await session.execute(text("DELETE FROM claim"))
        async with database.unit_of_work() as session:
            assert await session.scalar(text("SHOW transaction_isolation")) == "read committed"
            assert await session.scalar(text("SHOW statement_timeout")) == "100ms"
            await session.execute(text("DELETE FROM claim"))
    await database.close()


async def test_a_snapshot_whose_connection_breaks_says_so(postgres_url: str) -> None:
    database = Database(Settings(database_url=postgres_url))
    with pytest.raises(ConnectionLost):
        async with database.snapshot() as session:
            await session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    await database.close()


async def test_a_snapshot_that_finds_no_free_connection_says_so(database_url: str) -> None:
    database = Database(
        Settings(database_url=database_url, database_pool_size=2, database_pool_timeout_seconds=0.1)
    )
    async with database.snapshot() as first, database.snapshot() as second:
        for session in (first, second):
            await session.execute(text("SELECT 1"))
        with pytest.raises(Unavailable):
            async with database.snapshot() as third:
                await third.execute(text("SELECT 1"))
    await database.close()
