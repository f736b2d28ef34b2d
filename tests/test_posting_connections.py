"""Posting on the driver's own connection: none of them goes back into the pool in disorder."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from economy.bootstrap import open_services
from economy.database import Database
from economy.errors import ConnectionLost
from economy.settings import Settings
from tests.contention import assert_sound
from tests.journal import journal_of
from tests.proxy import open_proxy
from tests.redis_client import until
from tests.rival import Rival, open_rival
from tests.world import World

CONNECTIONS = 5
CLAIM = "INSERT INTO claim (value, kind, user_id) VALUES ('r', 'external_reference', 1)"


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    database = Database(Settings(database_url=postgres_url, database_pool_size=CONNECTIONS))
    yield database
    await database.close()


async def process_id(database: Database) -> int:
    """Of the server's process at the other end of the connection that is lent next."""
    async with database.posting_unit_of_work() as connection:
        return int(await connection.fetchval("SELECT pg_backend_pid()"))


async def claims(database: Database) -> int:
    async def count(session: AsyncSession) -> int:
        return int((await session.execute(text("SELECT count(*) FROM claim"))).scalar_one())

    return await database.read(count)


async def claim(database: Database, *, then: str = "SELECT", raises: bool = False) -> None:
    async with database.posting_unit_of_work() as connection:
        await connection.execute(CLAIM)
        await connection.execute(then)
        if raises:
            raise ZeroDivisionError


async def assert_in_order(database: Database) -> None:
    """The only connection of the pool is in no transaction, and of use to everybody."""

    async def transaction_began_at(session: AsyncSession) -> datetime:
        return (await session.execute(text("SELECT transaction_timestamp()"))).scalar_one()  # type: ignore[no-any-return]

    first, second = [await database.read(transaction_began_at) for _ in range(2)]
    assert first < second  # each read is a transaction of its own
    async with database.unit_of_work() as session:
        assert await transaction_began_at(session) > second
    await claim(database)
    assert await claims(database) == 1


async def test_what_raises_within_writes_nothing(database: Database) -> None:
    before = await process_id(database)
    with pytest.raises(ZeroDivisionError):
        await claim(database, raises=True)
    assert await claims(database) == 0
    await assert_in_order(database)
    assert await process_id(database) == before


async def test_what_the_server_refuses_writes_nothing(database: Database) -> None:
    """Its connection is as good as before."""
    before = await process_id(database)
    with pytest.raises(asyncpg.UniqueViolationError):
        await claim(database, then=CLAIM)
    assert await claims(database) == 0
    await assert_in_order(database)
    assert await process_id(database) == before


async def all_connections(database: Database) -> dict[int, Any]:
    """Each connection of the pool, lent at the same moment, by its process at the other end."""
    found: dict[int, Any] = {}
    all_lent = asyncio.Barrier(CONNECTIONS)

    async def lend() -> None:
        async with database.posting_unit_of_work() as connection:
            found[await connection.fetchval("SELECT pg_backend_pid()")] = connection
            await all_lent.wait()

    await asyncio.gather(*(lend() for _ in range(CONNECTIONS)))
    return found


async def test_all_idle_connections_have_been_closed(database: Database, rival: Rival) -> None:
    """By the server, and they know: nobody who posts is told of it."""
    before = await all_connections(database)
    assert len(before) == CONNECTIONS
    assert await rival.end_connections() == CONNECTIONS
    await until(lambda: all(connection.is_closed() for connection in before.values()))
    after = await all_connections(database)
    assert len(after) == CONNECTIONS
    assert before.keys().isdisjoint(after)
    await assert_in_order(database)


def end_connections_unseen(url: str) -> int:
    """While this process looks at nothing else: it cannot know yet that they are closed."""

    async def end() -> int:
        async with open_rival(url) as rival:
            return await rival.end_connections()

    ended: list[int] = []
    thread = threading.Thread(target=lambda: ended.append(asyncio.run(end())))
    thread.start()
    thread.join()
    return ended[0]


@pytest.mark.parametrize("turns", range(6))  # of the loop: the end comes through bit by bit
async def test_a_closed_connection_that_looks_alive(
    database: Database, postgres_url: str, turns: int
) -> None:
    """Its unit of work ends before anything is done, if it begins, and it is replaced."""
    before = await process_id(database)
    assert end_connections_unseen(postgres_url) == 1
    for _ in range(turns):
        await asyncio.sleep(0)
    with contextlib.suppress(ConnectionLost):
        await process_id(database)
    assert await process_id(database) != before
    await assert_in_order(database)


async def test_posting_goes_on_when_all_have_been_closed(postgres_url: str) -> None:
    settings = Settings(
        database_url=postgres_url, database_pool_size=CONNECTIONS, jobs_in_server=False
    )
    async with open_services(settings) as services:
        world = await World.create(services)
        for turn in range(1, 4):
            assert len(await all_connections(services.database)) == CONNECTIONS
            assert end_connections_unseen(postgres_url) == CONNECTIONS
            credited = await asyncio.gather(
                *(world.credit(user, 1) for user in (world.anna, world.boris))
            )
            assert [one.user.balance for one in credited] == [turn, turn]
        for user in (world.anna, world.boris):
            rows = await journal_of(services, user)
            assert [(row.seq, row.balance_after) for row in rows] == [(1, 1), (2, 2), (3, 3)]
        await assert_sound(services)


async def give_up(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_while_a_statement_runs(database: Database, rival: Rival) -> None:
    await process_id(database)
    async with rival.connection.transaction():
        await rival.connection.execute("LOCK TABLE claim")
        claiming = asyncio.create_task(claim(database))
        await rival.until_waiting()
        await give_up(claiming)
    assert await claims(database) == 0
    await assert_in_order(database)


@pytest.mark.parametrize("held", ["BEGIN", "ROLLBACK"])
async def test_cancelled_on_its_way_in_or_out(postgres_url: str, held: str) -> None:
    """The server gets the statement all the same, late: nothing of it is left in the pool."""
    async with open_proxy(postgres_url) as proxy:
        database = Database(Settings(database_url=proxy.url))
        await process_id(database)
        proxy.holds_next = held.encode()
        claiming = asyncio.create_task(claim(database, raises=held == "ROLLBACK"))
        await proxy.is_holding.wait()
        claiming.cancel()
        proxy.let_held_through.set()
        with pytest.raises(asyncio.CancelledError):
            await claiming
        assert await claims(database) == 0
        await assert_in_order(database)
        await database.close()


async def test_cancelled_while_it_commits(postgres_url: str) -> None:
    """It may have happened: only the connection is sure to be none of the pool's any more."""
    async with open_proxy(postgres_url) as proxy:
        database = Database(Settings(database_url=proxy.url))
        before = await process_id(database)
        proxy.holds_next = b"COMMIT"
        claiming = asyncio.create_task(claim(database))
        await proxy.is_holding.wait()
        await give_up(claiming)
        assert await process_id(database) != before
        assert await claims(database) == 0
        proxy.let_held_through.set()
        await database.close()
