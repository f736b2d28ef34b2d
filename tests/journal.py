"""What a test expects of the journal, and of a state that a refusal must leave alone."""

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import select

from economy.errors import EconomyError
from economy.models.transaction import Transaction, TransactionRow
from economy.models.user import UserRow
from economy.repositories.tables import columns_of, table_of
from economy.services import Services
from tests.world import World


async def journal_of(services: Services, user: UserRow) -> list[TransactionRow]:
    """The user's whole history, oldest first, every column."""
    table = table_of(Transaction)
    statement = select(*columns_of(Transaction, TransactionRow)).where(table.c.user_id == user.id)
    async with services.database.unit_of_work() as session:
        rows = await session.execute(statement.order_by(table.c.seq))
        return [TransactionRow._make(row) for row in rows]


def journal_row(row: TransactionRow, *, hashed: list[object], **expected: Any) -> TransactionRow:
    """What `row` must equal: its id and time are its own, all else is told by the test.

    `hashed` is the input in its canonical form; a column that is not told is empty, or as it is
    where there are no debts and nothing is pending.
    """
    # written out here, not called: stored hashes must stay comparable for ever
    canonical = json.dumps(hashed, separators=(",", ":"), ensure_ascii=False)
    values: dict[str, Any] = dict.fromkeys(TransactionRow._fields) | {
        "id": row.id,
        "created_at": row.created_at,
        "completed_at": row.created_at,
        "request_hash": hashlib.sha256(canonical.encode()).digest(),
        "debt_after": 0,
        "settled_seq": row.seq,
        "hash": row.hash,  # `verify` walks along all links
    }
    return TransactionRow(**(values | expected))


async def error_of(asked: Awaitable[object]) -> EconomyError:
    with pytest.raises(EconomyError) as caught:
        await asked
    return caught.value


def told(error: EconomyError) -> tuple[type[EconomyError], dict[str, Any], str]:
    """All that a caller can learn from an error."""
    return type(error), vars(error), str(error)


@asynccontextmanager
async def nothing_changes(world: World) -> AsyncIterator[None]:
    before = await world.state()
    yield
    assert await world.state() == before


@asynccontextmanager
async def one_decline(world: World, user: UserRow) -> AsyncIterator[None]:
    """One failed row enters the user's journal, and nothing else changes."""
    before = await world.state()
    yield
    after = await world.state()
    assert [tuple(row) for row in after["user"]] == [
        (user_id, balance, last_seq + (user_id == user.id))
        for user_id, balance, last_seq in before["user"]
    ]
    added = [row for row in after["transaction"] if row not in before["transaction"]]
    assert len(after["transaction"]) == len(before["transaction"]) + 1
    assert [(row.user_id, row.status) for row in added] == [(user.id, "failed")]
    assert after["inventory"] == before["inventory"]
    assert after["claim"] == before["claim"]
    [settled] = [row for row in after["settled"] if row not in before["settled"]]
    assert settled[:3] == (user.id, added[0].seq, added[0].seq)
    for now, then in zip(after["owing"], before["owing"], strict=True):
        assert (now.chain_hash != then.chain_hash) == (now.id == user.id)
        assert now._replace(chain_hash=b"") == then._replace(chain_hash=b"")
