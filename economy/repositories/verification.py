"""Runs the checks of the invariants: each is one SELECT of the rows that break it."""

from collections.abc import Callable
from contextlib import aclosing
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from economy.models.transaction import MAX_QUANTITY
from economy.models.user import BALANCE_LIMIT
from economy.models.verification import Verification, VerificationRow
from economy.repositories.tables import columns_of, table_of
from economy.repositories.verification_stream import streamed

_TABLE = table_of(Verification)

Row = dict[str, Any]

# What a journal row moves. An impossible amount or quantity is reported as such and counts for
# nothing here: SQLite's sum() would overflow and fail the whole check.
# A reversal with a product undoes a purchase, one without a top-up.
COINS_MOVED = f"""CASE
    WHEN status <> 'completed' OR amount NOT BETWEEN 0 AND {BALANCE_LIMIT} THEN 0
    WHEN kind = 'top_up' OR (kind = 'reversal' AND product_id IS NOT NULL) THEN amount
    WHEN kind IN ('purchase', 'debit', 'reversal') THEN -amount
    ELSE 0 END"""
UNITS_MOVED = f"""CASE
    WHEN status <> 'completed' OR quantity NOT BETWEEN 0 AND {MAX_QUANTITY} THEN 0
    WHEN kind IN ('purchase', 'grant') THEN quantity
    WHEN kind IN ('use', 'revocation', 'reversal') THEN -quantity
    ELSE 0 END"""


class Invariant(NamedTuple):
    name: str
    meaning: str  # one sentence
    table: str  # whose rows are examined
    broken: str  # SQL that selects the rows that break it, and no others
    # looks again at each row where SQL alone cannot tell
    is_broken: Callable[[Row], bool] = lambda _: True
    # Asked of the users of a page at a time, by way of an index on user_id: what would sort or join
    # the whole journal, on a temporary file as large. The rows must have a user_id.
    is_by_user: bool = False


async def count_rows(session: AsyncSession, table: str) -> int:
    statement = f'SELECT count(*) AS count FROM "{table}"'
    return sum([row["count"] async for rows in streamed(session, statement) for row in rows])


async def broken_rows(
    session: AsyncSession,
    invariant: Invariant,
    *,
    limit: int,
    users: tuple[int, int] | None = None,
) -> list[Row]:
    """The first rows that break it, of these users or of all.

    Streamed: a database may be broken everywhere.
    """
    broken: list[Row] = []
    statement = invariant.broken
    if users is not None:
        statement = f"SELECT * FROM ({statement}) AS found WHERE user_id BETWEEN :first AND :last"
    async with aclosing(streamed(session, statement, users)) as batches:
        async for rows in batches:
            for values in rows:
                row = {column: _plain(value) for column, value in values.items()}
                if invariant.is_broken(row):
                    broken.append(row)
                if len(broken) == limit:
                    return broken
    return broken


async def insert_verification(session: AsyncSession, row: VerificationRow) -> None:
    await session.execute(insert(_TABLE).values(row._asdict()))


async def newest_verification(session: AsyncSession) -> VerificationRow | None:
    columns = columns_of(Verification, VerificationRow)
    rows = await session.execute(select(*columns).order_by(_TABLE.c.started_at.desc()).limit(1))
    row = rows.one_or_none()
    return None if row is None else VerificationRow._make(row)


def _plain(value: Any) -> Any:
    """PostgreSQL's sums of integers are Decimal; ids read best as text."""
    if isinstance(value, Decimal):
        return int(value)
    return str(value) if isinstance(value, UUID) else value
