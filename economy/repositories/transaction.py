"""SQL of the journal as it is read; posting writes it."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select, text, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from economy.models.transaction import PENDING, Transaction, TransactionRow
from economy.repositories.tables import columns_of, table_of

_TRANSACTIONS = columns_of(Transaction, TransactionRow)
_TABLE = table_of(Transaction)


async def newest_transactions(
    session: AsyncSession,
    user_ids: Collection[int],
    *,
    before_seq: int | None,
    kind: str | None,
    limit: int,
) -> list[TransactionRow]:
    """Of each user the newest `limit`, newest first: one short index scan a user, one statement."""
    if not user_ids:
        return []
    statement = union_all(
        *(
            # the outer select keeps ORDER BY and LIMIT inside a UNION legal on SQLite
            select(_page_of_user(user_id, before_seq=before_seq, kind=kind, limit=limit).subquery())
            for user_id in sorted(set(user_ids))
        )
    )
    rows = [TransactionRow._make(row) for row in await session.execute(statement)]
    return sorted(rows, key=lambda row: (row.user_id, -row.seq))


async def pending_top_ups(
    session: AsyncSession, *, before: datetime, limit: int
) -> list[tuple[int, UUID]]:
    """(user id, id) of those begun before then, oldest first."""
    rows = await session.execute(
        select(_TABLE.c.user_id, _TABLE.c.id)
        # literally the predicate of the partial index: a planner cannot prove a parameter
        .where(text(PENDING), _TABLE.c.created_at < before)
        .order_by(_TABLE.c.created_at)
        .limit(limit)
    )
    return [(user_id, id_) for user_id, id_ in rows]


def _page_of_user(
    user_id: int, *, before_seq: int | None, kind: str | None, limit: int
) -> Select[Any]:
    statement = (
        select(*_TRANSACTIONS)
        .where(_TABLE.c.user_id == user_id)
        .order_by(_TABLE.c.seq.desc())
        .limit(limit)
    )
    if before_seq is not None:
        statement = statement.where(_TABLE.c.seq < before_seq)
    if kind is not None:
        statement = statement.where(_TABLE.c.kind == kind)
    return statement
