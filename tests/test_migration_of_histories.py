"""Tests that histories of before get their chain of hashes, and that none is lost on the way."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from alembic.util.exc import CommandError
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from economy.bootstrap import open_services
from economy.database import Database
from economy.errors import ErrorCode
from economy.migrate import is_migrated, migrate
from economy.models import metadata
from economy.models.transaction import Transaction, TransactionRow
from economy.models.user import NO_HISTORY, UserRow
from economy.repositories.tables import columns_of, table_of
from economy.repositories.user import users_by_id
from economy.services import Services
from economy.services.access import Actor
from economy.services.chain import link
from economy.services.operations import Booking, IfSpent, decline_of
from economy.settings import Settings
from tests.journal import error_of, told
from tests.migrating import opened, rows_of, schema
from tests.old_history import (
    ANNA,
    ANNA_DID,
    BOOST,
    BORIS,
    BORIS_ROWS,
    CLARA,
    COLUMNS,
    KEY,
    PREMIUM,
    old_database,
)
from tests.world import SERVER, World

BEFORE = "2026_11_23_1619"
Happening = Callable[[World], Awaitable[None]]
TABLES = ("user", "transaction", "claim", "inventory", "product")


@pytest.fixture
async def old(database_url: str) -> AsyncIterator[Database]:
    """At the revision before, and filled."""
    async with opened(database_url) as database:
        await migrate(database, BEFORE)
        async with database.unit_of_work() as session:
            connection = await session.connection()
            for statement in old_database(database.dialect):
                await connection.exec_driver_sql(statement)
        yield database


async def journal_of(database: Database) -> list[TransactionRow]:
    columns, table = columns_of(Transaction, TransactionRow), table_of(Transaction)
    async with database.unit_of_work() as session:
        rows = await session.execute(select(*columns).order_by(table.c.user_id, table.c.seq))
        return [TransactionRow._make(row) for row in rows]


async def old_columns(database: Database) -> list[str]:
    statement = f'SELECT {", ".join(COLUMNS)} FROM "transaction" ORDER BY user_id, seq'
    async with database.unit_of_work() as session:
        return [repr(tuple(row)) for row in await session.execute(text(statement))]


async def users_of(database: Database) -> list[UserRow]:
    return sorted(await database.read(users_by_id, [ANNA, BORIS, CLARA]))


async def buy(
    services: Services, user_id: int, product_id: int, *, quantity: int, key: str
) -> Booking:
    return await services.purchases.purchase(
        Actor.player(user_id),
        user_id=None,
        product_id=str(product_id),
        quantity=quantity,
        expected_price=None,
        idempotency_key=key,
    )


async def assert_sound(services: Services) -> None:
    findings = await services.verification.verify()
    assert [finding.broken_rows for finding in findings] == [[]] * len(findings)


async def test_histories_of_before_are_chained(old: Database) -> None:
    asked = await old_columns(old)
    await migrate(old)
    assert await old_columns(old) == asked
    rows = await journal_of(old)
    newest = dict.fromkeys((ANNA, BORIS, CLARA), NO_HISTORY)
    for row in rows:
        newest[row.user_id] = link(newest[row.user_id], row)
        assert row[len(COLUMNS) :] == (0, None, None, row.seq, newest[row.user_id], None)
    assert [row.seq for row in rows] == [
        *range(1, len(ANNA_DID) + 1),
        *range(1, BORIS_ROWS + 1),
    ]
    assert len({row.hash for row in rows}) == len(rows)
    assert [(user.balance, user.last_seq, user[6:]) for user in await users_of(old)] == [
        (300, len(ANNA_DID), (0, newest[ANNA], None)),
        (BORIS_ROWS, BORIS_ROWS, (0, newest[BORIS], None)),
        (0, 0, (0, NO_HISTORY, None)),
    ]


async def test_posting_goes_on_where_a_history_of_before_ended(
    old: Database, database_url: str
) -> None:
    await migrate(old)
    rows = {(row.user_id, row.seq): row for row in await journal_of(old)}
    async with open_services(Settings(database_url=database_url)) as services:
        await assert_sound(services)
        replay = await buy(services, ANNA, BOOST, quantity=2, key=KEY)
        assert (replay.transaction, replay.replayed) == (rows[ANNA, 2], True)
        decline = await error_of(buy(services, ANNA, PREMIUM, quantity=1, key="again"))
        assert told(decline) == told(decline_of(rows[ANNA, 4], replayed=True))
        bought = (await buy(services, BORIS, BOOST, quantity=1, key="new")).transaction
        assert (bought.seq, bought.balance_after) == (BORIS_ROWS + 1, BORIS_ROWS - 100)
        assert bought.hash == link(rows[BORIS, BORIS_ROWS].hash, bought)
        reversed_ = await services.reversals.reverse(
            SERVER,
            user_id=str(ANNA),
            transaction_id=rows[ANNA, 2].id,
            if_spent=IfSpent.TAKE_WHAT_IS_LEFT,
            idempotency_key="undo",
        )
        assert (reversed_.transaction.balance_after, reversed_.transaction.shortfall) == (400, 100)
        assert reversed_.transaction.hash == link(rows[ANNA, 8].hash, reversed_.transaction)
        await assert_sound(services)


async def test_down_and_up_again_is_as_before(old: Database, database_url: str) -> None:
    shapes = [await schema(database_url)]
    contents = [await rows_of(database_url, *TABLES)]
    for revision in ("head", BEFORE, "head"):
        await migrate(old, revision)
        shapes.append(await schema(database_url))
        contents.append(await rows_of(database_url, *TABLES))
    assert (shapes[2], contents[2]) == (shapes[0], contents[0])
    assert (shapes[3], contents[3]) == (shapes[1], contents[1])


async def settle_later(world: World) -> None:
    await world.complete((await world.begin(world.anna, 5)).transaction)


async def settle_too_late(world: World) -> None:
    """As by a late webhook of a payment provider."""
    late = world.fail((await world.credit(world.anna, 5)).transaction)
    assert (await error_of(late)).code == ErrorCode.TOP_UP_COMPLETED


async def grant(world: World) -> None:
    await world.grant(world.anna, world.boost)


async def delete(world: World) -> None:
    await world.delete(world.anna)


@pytest.mark.parametrize(
    ("happening", "refusal", "words"),
    [
        (settle_later, CommandError, "no way down: there are top-ups that were settled later"),
        (delete, CommandError, "no way down: there are deleted users"),
        (settle_too_late, IntegrityError, "ck_transaction_kind"),
        (grant, IntegrityError, "ck_transaction_kind"),
    ],
)
async def test_there_is_no_way_down_that_loses_something(
    world: World, database_url: str, happening: Happening, refusal: type[Exception], words: str
) -> None:
    await happening(world)
    shape, content = await schema(database_url), await rows_of(database_url, *metadata.tables)
    with pytest.raises(refusal, match=words):
        await migrate(world.services.database, BEFORE)
    assert await schema(database_url) == shape
    assert await rows_of(database_url, *metadata.tables) == content
    assert await is_migrated(world.services.database)
