"""SQL of the walk along all histories: users in pages, and the rows of each page."""

from collections.abc import AsyncIterator

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from economy.models.transaction import Transaction, TransactionRow
from economy.models.user import User
from economy.repositories.tables import columns_of, table_of

_USER, _JOURNAL = table_of(User), table_of(Transaction)
_ROWS = columns_of(Transaction, TransactionRow)
ROWS_AT_ONCE = 1_000


async def chain_heads(
    session: AsyncSession, *, after_user_id: int, limit: int
) -> list[tuple[int, bytes]]:
    """(user id, newest link), by id."""
    rows = await session.execute(
        select(_USER.c.id, _USER.c.chain_hash)
        .where(_USER.c.id > after_user_id)
        .order_by(_USER.c.id)
        .limit(limit)
    )
    return [(user_id, bytes(head)) for user_id, head in rows]


async def histories_between(
    session: AsyncSession, first_user_id: int, last_user_id: int
) -> AsyncIterator[TransactionRow]:
    """Every row of these users, by user and seq; never more than a few in memory."""
    statement = (
        select(*_ROWS)
        .where(_JOURNAL.c.user_id.between(first_user_id, last_user_id))
        .order_by(_JOURNAL.c.user_id, _JOURNAL.c.seq)
        .execution_options(yield_per=ROWS_AT_ONCE)
    )
    result = await session.stream(statement)
    async for rows in result.partitions():
        for row in rows:
            yield TransactionRow._make(row)
