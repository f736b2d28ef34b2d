"""SQL of the walk along all histories: users in pages, and the rows of each page."""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from economy.models.transaction import Transaction, TransactionRow
from economy.models.user import User
from economy.repositories.tables import columns_of, table_of
from economy.repositories.verification_stream import streamed

_USER = table_of(User)
_COLUMNS = columns_of(Transaction, TransactionRow)
_HISTORIES = f"""
SELECT {", ".join(TransactionRow._fields)} FROM "transaction"
WHERE user_id BETWEEN :first AND :last ORDER BY user_id, seq"""


class Head(NamedTuple):
    user_id: int
    last_seq: int
    chain_hash: bytes


async def chain_heads(session: AsyncSession, *, after_user_id: int, limit: int) -> list[Head]:
    """Where each user's history ends, by id."""
    rows = await session.execute(
        select(_USER.c.id, _USER.c.last_seq, _USER.c.chain_hash)
        .where(_USER.c.id > after_user_id)
        .order_by(_USER.c.id)
        .limit(limit)
    )
    return [Head(user_id, last_seq, bytes(head)) for user_id, last_seq, head in rows]


async def histories_between(
    session: AsyncSession, first_user_id: int, last_user_id: int
) -> AsyncIterator[Sequence[TransactionRow]]:
    """Every row of these users, by user and seq, in batches; never more than one in memory."""
    between = (first_user_id, last_user_id)
    async for rows in streamed(session, _HISTORIES, between, columns=_COLUMNS):
        yield [TransactionRow._make(row) for row in rows]
