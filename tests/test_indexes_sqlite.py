"""Tests that SQLite, too, finds rows by the index made for them; it plans without statistics."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.ext.asyncio import AsyncSession

from economy.database import Database
from economy.repositories import posting_sqlite
from economy.repositories.analytics import count_hour, most_purchased, start_of_hour
from economy.repositories.inventory import items_held
from economy.repositories.job import NEVER
from economy.repositories.posting_rows import Wanted
from economy.repositories.server_key import find_server_key
from economy.repositories.transaction import newest_transactions, pending_top_ups
from economy.repositories.user import user_id_by_username
from economy.settings import Settings

Use = Callable[[AsyncSession], Awaitable[object]]
WANTED = Wanted(
    user_ids=[1, 2],
    items=[(1, 1), (2, 1)],
    keys=[(1, "purchase", "a"), (2, "use", "b")],
    references=[],
    targets=[(1, UUID(int=1)), (2, UUID(int=2))],
)
NOW = datetime.now(UTC)


def popular_products(session: AsyncSession, counted_until: datetime) -> Awaitable[object]:
    since = NOW - timedelta(days=7)
    return most_purchased(session, since=since, until=NOW, counted_until=counted_until, limit=100)


# what is run, and where in each table it finds its rows
CASES: dict[str, tuple[Use, list[str]]] = {
    "inventories": (
        lambda session: items_held(session, [1, 2]),
        ["inventory (user_id=?)"],
    ),
    "history": (
        lambda session: newest_transactions(session, [1], before_seq=9, kind="use", limit=21),
        ["transaction (user_id=? AND seq<?)"],
    ),
    "popular products": (
        lambda session: popular_products(session, NEVER),
        ["transaction (created_at>? AND created_at<?)"],
    ),
    "popular products, counted": (
        lambda session: popular_products(session, start_of_hour(NOW)),
        [
            "transaction (created_at>? AND created_at<?)",
            "purchase_hour (hour>? AND hour<?)",
            "transaction (created_at>? AND created_at<?)",
        ],
    ),
    "count purchases": (
        lambda session: count_hour(session, start_of_hour(NOW)),
        ["purchase_hour (hour=?)", "transaction (created_at>? AND created_at<?)"],
    ),
    "username": (
        lambda session: user_id_by_username(session, "anna"),
        ["claim (value=? AND kind=?)"],
    ),
    "server key": (
        lambda session: find_server_key(session, b"hash"),
        ["server_key (key_hash=?)"],
    ),
    "posting": (
        lambda session: posting_sqlite.lock_and_find(session, WANTED),
        [
            "user (rowid=?)",
            "transaction (user_id=? AND id=?)",
            "product (rowid=?)",
            "inventory (user_id=? AND product_id=?)",
            "transaction (user_id=? AND kind=? AND idempotency_key=?)",
            "transaction (user_id=? AND target_id=?)",
        ],
    ),
    "expiry": (
        lambda session: pending_top_ups(session, before=NOW, limit=500),
        ["transaction (created_at<?)"],
    ),
    "lost commit": (
        lambda session: posting_sqlite.lock_and_find_transactions(session, [(1, UUID(int=1))]),
        ["transaction (user_id=? AND id=?)"],
    ),
}


@pytest.fixture
async def session(sqlite_url: str) -> AsyncIterator[AsyncSession]:
    database = Database(Settings(database_url=sqlite_url))
    async with database.unit_of_work() as session:
        yield session
    await database.close()


@pytest.mark.parametrize("case", CASES)
async def test_each_statement_searches_an_index(session: AsyncSession, case: str) -> None:
    use, expected = CASES[case]
    connection, sent = await session.connection(), list[tuple[str, Any]]()

    def note(*arguments: Any) -> None:
        sent.append((arguments[2], arguments[3]))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        await use(session)
    finally:
        event.remove(Engine, "before_cursor_execute", note)

    steps = [
        row.detail
        for sql, arguments in sent
        for row in await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", arguments)
    ]
    searches = [step.removeprefix("SEARCH ") for step in steps if step.startswith("SEARCH ")]
    assert [f"{step.split()[0]} {step[step.index('(') :]}" for step in searches] == expected
    # the arrays of what is wanted, and what was found, are read whole, and no table of ours
    assert {step.split()[1] for step in steps if step.startswith("SCAN ")} <= {"anon_1", "anon_2"}
