"""Posting without locks: what was decided is written whole if nobody has moved its users, or not
at all."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from economy.bootstrap import open_services
from economy.models.transaction import TransactionRow
from economy.models.user import UserRow
from economy.repositories import posting_postgres
from economy.repositories.posting_rows import Changes, Found, Wanted
from economy.services.operations import Booking
from economy.settings import Settings
from tests.contention import assert_sound
from tests.journal import journal_of, nothing_changes
from tests.proxy import Break, open_proxy
from tests.rival import Rival
from tests.sql_counter import recorded_sql
from tests.world import World

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
async def rich(world: World) -> World:
    """Both have 1,000 coins."""
    for user in (world.anna, world.boris):
        await world.credit(user, 1_000)
    return world


def credit(user: UserRow, decided_at: datetime) -> tuple[UserRow, TransactionRow]:
    """The user with 5 coins more, and the row that says so; the chain is of no interest here."""
    seq, balance = user.last_seq + 1, user.balance + 5
    row = TransactionRow(
        *(user.id, UUID(int=seq), seq, "top_up", "completed", None, None, 5, balance, None),
        *(None, "server:1", None, bytes(32), None, decided_at, decided_at),
        *(0, None, None, seq, bytes([seq] * 32), None),
    )
    return user._replace(balance=balance, last_seq=seq, chain_hash=row.hash), row


async def found_in(world: World) -> Found:
    wanted = Wanted([world.anna.id, world.boris.id], [], [], [], [])
    async with world.services.database.posting_connection() as connection:
        return await posting_postgres.find(connection, wanted)


async def is_written(world: World, found: Found, decided_at: datetime | None = None) -> bool:
    """A credit of both."""
    changes = Changes([], [], [], [], [])
    for user in sorted(found.users):
        credited, row = credit(user, decided_at or datetime.now(UTC))
        changes.users.append(credited)
        changes.written.append(row)
    async with world.services.database.posting_connection() as connection:
        return await posting_postgres.write_if_current(connection, found, changes)


async def test_of_users_who_have_not_moved_all_is_written(rich: World) -> None:
    assert await is_written(rich, await found_in(rich))
    state = await rich.state()
    assert state["user"] == [(rich.anna.id, 1_005, 2), (rich.boris.id, 1_005, 2)]
    assert [tuple(row)[:2] for row in state["transaction"]] == [
        *((rich.anna.id, 1), (rich.anna.id, 2), (rich.boris.id, 1), (rich.boris.id, 2))
    ]


async def test_if_one_of_two_has_moved_nothing_is_written(rich: World) -> None:
    found = await found_in(rich)
    await rich.credit(rich.boris, 1)
    async with nothing_changes(rich):
        assert not await is_written(rich, found)


async def test_if_one_of_two_is_deleted_nothing_is_written(rich: World) -> None:
    """That moves nobody: his history is as long as before."""
    found = await found_in(rich)
    await rich.delete(rich.boris)
    async with nothing_changes(rich):
        assert not await is_written(rich, found)


async def test_what_comes_too_late_is_not_written(rich: World) -> None:
    """Though nobody has moved: the purchases of its hour may have been counted."""
    found, now = await found_in(rich), datetime.now(UTC)
    async with nothing_changes(rich):
        assert not await is_written(
            rich, found, now - timedelta(seconds=posting_postgres.LATEST_SECONDS)
        )
    assert await is_written(rich, found, now)


async def test_who_waits_for_one_that_moves_writes_nothing(rich: World, rival: Rival) -> None:
    """It sees what the other has committed while it waited, not only what was there before."""
    found = await found_in(rich)
    async with rival.holding_user(rich.anna.id):
        writing = asyncio.create_task(is_written(rich, found))
        await rival.until_waiting()
        await rival.connection.execute(
            'UPDATE "user" SET last_seq = last_seq + 1 WHERE id = $1', rich.anna.id
        )
    assert await writing is False
    state = await rich.state()
    assert state["user"] == [(rich.anna.id, 1_000, 2), (rich.boris.id, 1_000, 1)]


async def test_two_processes_of_one_user(database_url: str) -> None:
    """Each decides on what the other may move at any time."""
    settings = Settings(database_url=database_url)
    async with open_services(settings) as one, open_services(settings) as other:
        mine = await World.create(one)
        theirs = World(other, mine.anna, mine.boris, mine.boost, mine.premium)
        await mine.credit(mine.anna, 10_000)
        bought = await asyncio.gather(
            *(world.buy(mine.anna, mine.boost) for _ in range(25) for world in (mine, theirs))
        )
        balances = sorted(one.user.balance for one in bought)
        assert balances == [100 * number for number in range(50, 100)]
        rows = await journal_of(one, mine.anna)
        assert [row.balance_after for row in rows] == [
            10_000 - 100 * number for number in range(51)
        ]
        await assert_sound(one)


async def test_a_deleted_user_is_posted_for_behind_locks(rich: World) -> None:
    await rich.delete(rich.anna)
    with recorded_sql(rich.services.database) as sent:
        booking = await rich.debit(rich.anna, 10)
    assert booking.user.balance == 990
    assert sum(statement == "BEGIN" for statement in sent) == 1


async def test_replays_alone_write_nothing(rich: World) -> None:
    first = await rich.buy(rich.anna, rich.boost, idempotency_key="k")
    async with nothing_changes(rich):
        with recorded_sql(rich.services.database) as sent:
            again = await rich.buy(rich.anna, rich.boost, idempotency_key="k")
    assert again == first._replace(replayed=True)
    assert len(sent) == 1


async def buy_both(world: World) -> list[Booking]:
    return await asyncio.gather(
        *(world.buy(user, world.boost) for user in (world.anna, world.boris))
    )


async def assert_bought_once(world: World, bought: list[Booking]) -> None:
    assert [one.user.balance for one in bought] == [900, 900]
    for user, booking in zip((world.anna, world.boris), bought, strict=True):
        rows = await journal_of(world.services, user)
        assert rows[1:] == [booking.transaction]
    await assert_sound(world.services)


@pytest.mark.parametrize("how", [Break.BEFORE_COMMIT, Break.AFTER_COMMIT, Break.SILENCE])
async def test_a_connection_lost_while_it_is_written(database_url: str, how: Break) -> None:
    """The outcome is looked up; nothing names these purchases but their ids."""
    async with (
        open_proxy(database_url) as proxy,
        open_services(Settings(database_url=proxy.url, statement_timeout_ms=500)) as services,
    ):
        world = await World.create(services)
        for user in (world.anna, world.boris):
            await world.credit(user, 1_000)
        proxy.next_commit = how
        bought = await buy_both(world)
        assert proxy.broken == [how]
        await assert_bought_once(world, bought)


async def test_a_statement_that_arrives_after_all(database_url: str) -> None:
    """Looked up in vain and done again: what comes then finds its users moved."""
    async with (
        open_proxy(database_url) as proxy,
        open_services(Settings(database_url=proxy.url)) as services,
    ):
        world = await World.create(services)
        for user in (world.anna, world.boris):
            await world.credit(user, 1_000)
        proxy.next_commit = Break.LATE_COMMIT
        bought = await buy_both(world)
        assert proxy.broken == []
        async with nothing_changes(world):
            proxy.let_commit_through.set()
            await proxy.has_broken.wait()
        assert proxy.broken == [Break.LATE_COMMIT]
        await assert_bought_once(world, bought)
