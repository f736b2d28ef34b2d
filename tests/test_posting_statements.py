"""Tests that posting's statements find and write the same on both databases."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import insert

from economy.database import Database
from economy.models.claim import Claim
from economy.models.inventory import InventoryRow
from economy.models.product import Product, ProductRow
from economy.models.transaction import TransactionRow
from economy.models.user import User, UserRow
from economy.repositories.inventory import items_held
from economy.repositories.posting import PostingStatements, posting_statements
from economy.repositories.posting_rows import Changes, Found, Wanted
from economy.repositories.tables import table_of
from economy.repositories.transaction import newest_transactions
from economy.repositories.user import users_by_id
from economy.settings import Settings

NOW = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
ANNA, BORIS, NOBODY = 1, 2, 99
BOOST, PREMIUM, NOTHING = 1, 2, 99
USERS = [UserRow(id_, f"user{id_}", "", 10, 0, NOW) for id_ in (ANNA, BORIS)]
PRODUCTS = [
    ProductRow(BOOST, "Буст", "", 100, "consumable", True),
    ProductRow(PREMIUM, "Премиум", "", 500, "permanent", False),
]
ITEMS = [
    InventoryRow(ANNA, UUID(int=1), BOOST, "consumable", 3, NOW),
    InventoryRow(BORIS, UUID(int=1), BOOST, "consumable", 0, NOW),
    InventoryRow(BORIS, UUID(int=2), PREMIUM, "permanent", 1, NOW),
]
EMPTY = Wanted([], [], [], [], [])
NOTHING_FOUND = Found([], [], [], [], [], [], [])


def row(user_id: int, seq: int, kind: str, key: str | None) -> TransactionRow:
    return TransactionRow(
        *(user_id, UUID(int=seq), seq, kind, "completed", BOOST, 1, 100, 10, 1),
        *(None, "server:1", key, bytes(range(32)), f"receipt-{seq}", NOW, NOW),
        *(0, None, None, seq, bytes([seq] * 32), None),
    )


def without_product(row: TransactionRow) -> TransactionRow:
    return row._replace(product_id=None, quantity=None, quantity_after=None)


def reversal(seq: int, target_seq: int) -> TransactionRow:
    undone = row(ANNA, seq, "reversal", None)._replace(target_id=UUID(int=target_seq), shortfall=0)
    return undone._replace(external_reference=None)


PENDING = without_product(row(ANNA, 6, "top_up", None))._replace(
    status="pending", balance_after=None, debt_after=None, completed_at=None, settled_seq=None
)
JOURNAL = [
    without_product(row(ANNA, 1, "top_up", "a")),
    row(ANNA, 2, "purchase", "a"),
    row(ANNA, 3, "purchase", "b"),
    row(ANNA, 4, "purchase", None),
    row(BORIS, 1, "purchase", "a"),
    row(BORIS, 2, "use", 'key with "quotes", [1] and ключ'),
    PENDING,
    reversal(7, 2),
    reversal(8, 3)._replace(status="failed", failure_code="INSUFFICIENT_FUNDS", shortfall=None),
]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(Settings(database_url=database_url))
    async with database.unit_of_work() as session:
        await session.execute(insert(table_of(User)), [user._asdict() for user in USERS])
        await session.execute(
            insert(table_of(Product)),
            [product._asdict() | {"created_at": NOW} for product in PRODUCTS],
        )
        claim = {"value": "taken", "kind": "external_reference", "user_id": BORIS}
        await session.execute(insert(table_of(Claim)), claim)
    async with database.posting_unit_of_work() as opened:
        changes = Changes([], ITEMS, JOURNAL, [], [])
        await posting_statements(database.dialect).write(opened, changes)
    yield database
    await database.close()


@pytest.fixture
def statements(database: Database) -> PostingStatements:
    return posting_statements(database.dialect)


async def find(database: Database, statements: PostingStatements, wanted: Wanted) -> Found:
    async with database.posting_unit_of_work() as opened:
        found = await statements.lock_and_find(opened, wanted)
    return Found(
        users=sorted(found.users),
        products=sorted(found.products),
        items=sorted(found.items),
        earlier=sorted(found.earlier),
        claimed_references=sorted(found.claimed_references),
        targets=sorted(found.targets),
        reversed_ids=sorted(found.reversed_ids),
    )


async def test_exactly_what_is_wanted_is_found(
    database: Database, statements: PostingStatements
) -> None:
    wanted = Wanted(
        user_ids=[ANNA, BORIS, NOBODY],
        items=[
            *((ANNA, BOOST), (ANNA, PREMIUM), (ANNA, NOTHING)),
            *((BORIS, PREMIUM), (NOBODY, BOOST)),
        ],
        keys=[
            *((ANNA, "purchase", "a"), (ANNA, "use", "a"), (BORIS, "purchase", "b")),
            *((BORIS, "use", JOURNAL[5].idempotency_key or ""), (NOBODY, "purchase", "a")),
        ],
        references=[("free", ANNA), ("taken", ANNA), ("свободно", BORIS)],
        targets=[(ANNA, UUID(int=1)), (ANNA, UUID(int=99)), (NOBODY, UUID(int=1))],
    )
    assert await find(database, statements, wanted) == Found(
        users=USERS,
        products=PRODUCTS,
        items=[ITEMS[0], ITEMS[2]],
        earlier=[JOURNAL[1], JOURNAL[5]],
        claimed_references=["free", "свободно"],
        targets=[JOURNAL[0]],
        reversed_ids=[],
    )


async def test_nothing_wanted_is_nothing_found(
    database: Database, statements: PostingStatements
) -> None:
    assert await find(database, statements, EMPTY) == NOTHING_FOUND


async def test_a_target_is_found_with_its_product_item_and_reversal(
    database: Database, statements: PostingStatements
) -> None:
    """Each of its user alone; a reversal that was declined is none."""
    found = {
        seq: await find(database, statements, EMPTY._replace(targets=[(user_id, UUID(int=seq))]))
        for user_id, seq in ((ANNA, 2), (ANNA, 3), (ANNA, 6))
    }
    with_boost = NOTHING_FOUND._replace(products=PRODUCTS[:1], items=ITEMS[:1])
    assert found == {
        2: with_boost._replace(targets=[JOURNAL[1]], reversed_ids=[(ANNA, UUID(int=2))]),
        3: with_boost._replace(targets=[JOURNAL[2]]),
        6: NOTHING_FOUND._replace(targets=[PENDING]),
    }
    of_boris = EMPTY._replace(targets=[(BORIS, UUID(int=2))])
    assert await find(database, statements, of_boris) == NOTHING_FOUND._replace(
        products=PRODUCTS[:1], items=[ITEMS[1]], targets=[JOURNAL[5]]
    )


async def test_a_pending_row_gets_its_end(
    database: Database, statements: PostingStatements
) -> None:
    """All that tells its end, and nothing that others asked."""
    end = PENDING._replace(status="failed", balance_after=0, debt_after=2**53 - 1)
    end = end._replace(failure_code="PAYMENT_FAILED", completed_at=NOW.replace(year=2027))
    end = end._replace(settled_seq=9, settled_hash=bytes([255] * 32))
    tried = end._replace(amount=1, actor="server:2", hash=b"another", seq=77)
    async with database.posting_unit_of_work() as opened:
        await statements.write(opened, Changes([], [], [], [tried], ["taken"]))
    journal = await database.read(
        newest_transactions, [ANNA, BORIS], before_seq=None, kind=None, limit=100
    )
    assert sorted(journal) == sorted([end if row is PENDING else row for row in JOURNAL])
    claims = EMPTY._replace(references=[("taken", ANNA)])
    assert (await find(database, statements, claims)).claimed_references == ["taken"]


async def test_an_item_that_is_used_up_is_found(
    database: Database, statements: PostingStatements
) -> None:
    """Its row is what the next purchase adds to."""
    wanted = EMPTY._replace(user_ids=[BORIS], items=[(BORIS, BOOST)])
    assert (await find(database, statements, wanted)).items == [ITEMS[1]]


async def test_users_items_transactions_and_claims_are_written(
    database: Database, statements: PostingStatements
) -> None:
    grown = ITEMS[0]._replace(quantity=5)
    again = ITEMS[1]._replace(id=UUID(int=9), quantity=7, purchased_at=NOW.replace(year=2027))
    added = row(ANNA, 9, "purchase", "c")
    credited = USERS[0]._replace(
        balance=0, last_seq=9, debt=2**53 - 1, chain_hash=bytes([255] * 32)
    )
    wanted = EMPTY._replace(user_ids=[ANNA], references=[("unused", ANNA), ("used", ANNA)])
    async with database.posting_unit_of_work() as opened:
        await statements.lock_and_find(opened, wanted)
        changes = Changes([credited], [grown, again], [added], [], ["unused"])
        await statements.write(opened, changes)

    assert sorted(await database.read(users_by_id, [ANNA, BORIS])) == [credited, USERS[1]]
    assert await database.read(items_held, [ANNA, BORIS]) == [
        *(grown, ITEMS[1]._replace(quantity=7), ITEMS[2])  # id and first purchase stay
    ]
    [newest] = await database.read(newest_transactions, [ANNA], before_seq=None, kind=None, limit=1)
    assert newest == added
    claims = EMPTY._replace(references=[("unused", BORIS), ("used", BORIS)])
    assert (await find(database, statements, claims)).claimed_references == ["unused"]


async def test_transactions_are_looked_up_by_id(
    database: Database, statements: PostingStatements
) -> None:
    keys = [(ANNA, UUID(int=3)), (BORIS, UUID(int=1)), (BORIS, UUID(int=9)), (NOBODY, UUID(int=1))]
    async with database.posting_unit_of_work() as opened:
        found = await statements.lock_and_find_transactions(opened, keys)
        assert sorted(found) == [JOURNAL[2], JOURNAL[4]]
        assert await statements.lock_and_find_transactions(opened, []) == []
