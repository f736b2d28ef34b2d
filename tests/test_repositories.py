"""Tests that the SQL of reads means the same on both databases."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert

from economy.database import Database
from economy.models.claim import ClaimKind
from economy.models.inventory import InventoryRow
from economy.models.product import ProductRow
from economy.models.server_key import ServerKeyRow
from economy.models.transaction import TransactionRow
from economy.models.user import User, UserRow
from economy.repositories.inventory import items_held
from economy.repositories.posting import posting_statements
from economy.repositories.posting_rows import Changes
from economy.repositories.product import (
    insert_product,
    product_id_by_name,
    products_after,
    products_by_id,
    update_product,
)
from economy.repositories.server_key import find_server_key, insert_server_key
from economy.repositories.tables import table_of
from economy.repositories.transaction import newest_transactions
from economy.repositories.user import claim_values, user_id_by_username, users_by_id
from economy.settings import Settings
from tests.sql_counter import recorded_sql

# no whole second, and written down in another time zone
NOW = datetime(2026, 11, 23, 15, 0, 0, 123456, tzinfo=timezone(timedelta(hours=3)))
ANNA, BORIS, CLARA, NOBODY = 1, 2, 3, 99
BOOST, SHIELD, PREMIUM = 1, 2, 3


def user(id_: int) -> UserRow:
    return UserRow(id_, f"user{id_}", f"user{id_}@example.com", 10 * id_, 0, NOW)


def values(name: str, type_: str = "consumable") -> dict[str, Any]:
    return {"name": name, "description": "", "price": 5, "type": type_, "is_active": True}


def item(user_id: int, number: int, product_id: int, quantity: int) -> InventoryRow:
    return InventoryRow(user_id, UUID(int=number), product_id, "consumable", quantity, NOW)


def purchase(
    user_id: int,
    seq: int,
    product_id: int = BOOST,
    *,
    at: datetime = NOW,
    quantity: int = 1,
    failure_code: str | None = None,
    key: str | None = None,
) -> TransactionRow:
    status = "completed" if failure_code is None else "failed"
    return TransactionRow(
        *(
            user_id,
            UUID(int=seq),
            seq,
            "purchase",
            status,
            product_id,
            quantity,
            100,
            900,
            quantity,
        ),
        *(failure_code, f"player:{user_id}", key, bytes([seq] * 32), None, at, at),
        *(0, None, None, seq, bytes([seq + 100] * 32), None),
    )


def use(user_id: int, seq: int, key: str | None = None) -> TransactionRow:
    return purchase(user_id, seq, key=key)._replace(kind="use", amount=0)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """With three users and three products, none of which has done anything yet."""
    database = Database(Settings(database_url=database_url))
    async with database.unit_of_work() as session:
        users = [user(id_)._asdict() for id_ in (ANNA, BORIS, CLARA)]
        await session.execute(insert(table_of(User)), users)
        await insert_product(session, values("boost"), NOW)
        await insert_product(session, values("shield"), NOW)
        await insert_product(session, values("pass", "permanent"), NOW)
    yield database
    await database.close()


async def write(
    database: Database, *transactions: TransactionRow, items: tuple[InventoryRow, ...] = ()
) -> None:
    statements = posting_statements(database.dialect)
    async with database.posting_unit_of_work() as opened:
        await statements.write(opened, Changes([], list(items), list(transactions), [], []))


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([], []),
        ([BORIS], [BORIS]),
        ([CLARA, ANNA], [ANNA, CLARA]),
        ([ANNA, ANNA, ANNA], [ANNA]),
        ([NOBODY], []),
        ([NOBODY, ANNA], [ANNA]),
        (range(1000), [ANNA, BORIS, CLARA]),
        ({ANNA: None}.keys(), [ANNA]),
        ([2**63 - 1, -(2**63), 0], []),
    ],
    ids=[
        "none",
        "one",
        "two",
        "doubles",
        "unknown",
        "known and unknown",
        "many",
        "view",
        "extreme",
    ],
)
async def test_users_by_id(database: Database, ids: list[int], expected: list[int]) -> None:
    rows = await database.read(users_by_id, ids)
    assert sorted(rows) == [user(id_) for id_ in expected]


async def test_any_number_of_ids_is_one_statement_text(database: Database) -> None:
    """Else each length of the list is parsed and planned anew."""
    await database.read(users_by_id, [ANNA])  # asyncpg asks about types, once a connection
    with recorded_sql(database) as statements:
        for count in (0, 1, 2, 1000):
            await database.read(users_by_id, range(1, 1 + count))
            await database.read(products_by_id, range(1, 1 + count))
            await database.read(items_held, range(1, 1 + count))
    assert len(set(statements)) == 3


async def test_times_come_back_in_utc_to_the_microsecond(database: Database) -> None:
    [row] = await database.read(users_by_id, [ANNA])
    assert row.created_at == NOW
    assert row.created_at.isoformat() == "2026-11-23T12:00:00.123456+00:00"


async def test_items_held_are_in_the_order_of_first_purchase(database: Database) -> None:
    first, second = item(ANNA, 1, SHIELD, 5), item(ANNA, 2, BOOST, 1)
    used_up = item(ANNA, 3, PREMIUM, 0)._replace(product_type="permanent")
    of_boris = item(BORIS, 1, BOOST, 7)
    await write(database, items=(of_boris, used_up, second, first))

    assert await database.read(items_held, [BORIS, ANNA]) == [first, second, of_boris]
    assert await database.read(items_held, [ANNA, ANNA]) == [first, second]
    assert await database.read(items_held, [CLARA, NOBODY]) == []
    assert await database.read(items_held, []) == []


@pytest.mark.parametrize(
    ("user_ids", "page", "expected"),
    [
        ([ANNA], {}, [(ANNA, 4), (ANNA, 3), (ANNA, 2), (ANNA, 1)]),
        ([ANNA], {"limit": 2}, [(ANNA, 4), (ANNA, 3)]),
        ([ANNA], {"before_seq": 3}, [(ANNA, 2), (ANNA, 1)]),
        ([ANNA], {"before_seq": 1}, []),
        ([ANNA], {"kind": "use"}, [(ANNA, 4), (ANNA, 2)]),
        ([ANNA], {"kind": "use", "before_seq": 4}, [(ANNA, 2)]),
        ([ANNA], {"kind": "use", "limit": 1}, [(ANNA, 4)]),
        ([ANNA], {"kind": "top_up"}, []),
        ([BORIS, ANNA], {"limit": 2}, [(ANNA, 4), (ANNA, 3), (BORIS, 2), (BORIS, 1)]),
        ([ANNA, BORIS, CLARA, NOBODY], {"before_seq": 2}, [(ANNA, 1), (BORIS, 1)]),
        (
            [BORIS, ANNA],
            {"before_seq": 4, "kind": "purchase", "limit": 1},
            [(ANNA, 3), (BORIS, 2)],
        ),
        ([BORIS, BORIS], {"limit": 1}, [(BORIS, 2)]),
        ([NOBODY], {}, []),
        ([], {}, []),
    ],
)
async def test_newest_transactions(
    database: Database,
    user_ids: list[int],
    page: dict[str, Any],
    expected: list[tuple[int, int]],
) -> None:
    rows = {
        (row.user_id, row.seq): row
        for row in (
            *(purchase(ANNA, 1), use(ANNA, 2), purchase(ANNA, 3, failure_code="X"), use(ANNA, 4)),
            *(purchase(BORIS, 1), purchase(BORIS, 2)),
        )
    }
    await write(database, *rows.values())
    arguments = {"before_seq": None, "kind": None, "limit": 10} | page
    with recorded_sql(database) as statements:
        found = await database.read(newest_transactions, user_ids, **arguments)
    assert found == [rows[key] for key in expected]
    assert len(statements) == (1 if user_ids else 0)


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ({}, [1, 2, 3, 4]),
        ({"only_active": True}, [1, 3, 4]),
        ({"after_id": 2}, [3, 4]),
        ({"limit": 2}, [1, 2]),
        ({"type_": "consumable"}, [1, 2, 4]),
        ({"type_": "consumable", "only_active": True}, [1, 4]),
        ({"after_id": 1, "type_": "consumable", "only_active": True, "limit": 1}, [4]),
        ({"type_": "permanent", "only_active": True}, [3]),
        ({"after_id": 4}, []),
        ({"after_id": 2**63 - 1}, []),
    ],
)
async def test_products_after(
    database: Database, page: dict[str, Any], expected: list[int]
) -> None:
    async with database.unit_of_work() as session:
        assert await update_product(session, SHIELD, {"is_active": False}) == ProductRow(
            *(SHIELD, "shield", "", 5, "consumable", False)
        )
        added = await insert_product(session, values("boost"), NOW)
    assert added == ProductRow(4, "boost", "", 5, "consumable", True)

    arguments = {"after_id": 0, "type_": None, "only_active": False, "limit": 10} | page
    rows = await database.read(products_after, **arguments)
    assert [row.id for row in rows] == expected
    assert sorted(await database.read(products_by_id, expected)) == rows


async def test_names_are_looked_up(database: Database) -> None:
    async with database.unit_of_work() as session:
        await insert_product(session, values("boost"), NOW)
        assert await claim_values(session, BORIS, {ClaimKind.USERNAME: "boris"}) == {"username"}
        assert await claim_values(session, ANNA, {ClaimKind.EMAIL: "anna"}) == {"email"}
    assert await database.read(product_id_by_name, "boost") == BOOST  # the oldest
    assert await database.read(product_id_by_name, "Boost") is None
    assert await database.read(user_id_by_username, "BoRiS") == BORIS
    assert await database.read(user_id_by_username, "anna") is None


async def test_a_product_that_is_not_there_is_not_updated(database: Database) -> None:
    async with database.unit_of_work() as session:
        assert await update_product(session, NOBODY, {"price": 1}) is None


async def test_a_server_key_is_stored_once(database: Database) -> None:
    first = ServerKeyRow(UUID(int=1), b"hash", "read:any", NOW)
    async with database.unit_of_work() as session:
        await insert_server_key(session, first)
        await insert_server_key(session, first._replace(id=UUID(int=2), scopes="funds:write"))
    assert await database.read(find_server_key, b"hash") == first
    assert await database.read(find_server_key, b"other") is None
