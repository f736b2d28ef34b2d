"""Streams the rows of statements that may read everything, however long that takes."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from sqlalchemy import Column, text
from sqlalchemy.ext.asyncio import AsyncSession

from economy.repositories.tables import is_postgres

ROWS_AT_ONCE = 500  # also for how long a batch keeps others from the event loop: milliseconds
# Of the network, not of the server: the driver's own limit is made for statements of requests.
LONGEST_SILENCE_SECONDS = 6 * 3600.0


async def streamed(
    session: AsyncSession,
    statement: str,
    between: tuple[int, int] | None = None,
    *,
    columns: Sequence[Column[Any]] = (),
) -> AsyncIterator[Sequence[Any]]:
    """Batches of rows, each a mapping and a sequence; `between` is what :first and :last stand for.

    `columns` tell SQLite the types, which PostgreSQL knows. Only in a unit of work or a snapshot.
    """
    batches = _from_postgres if is_postgres(session) else _from_sqlite
    async for rows in batches(session, statement, between, columns):
        yield rows


async def _from_postgres(
    session: AsyncSession,
    statement: str,
    between: tuple[int, int] | None,
    _: Sequence[Column[Any]],
) -> AsyncIterator[Sequence[Any]]:
    """On the driver's connection: half the CPU, and each statement has a time limit of its own."""
    connection = (await (await session.connection()).get_raw_connection()).driver_connection
    assert connection is not None
    numbered = statement.replace(":first", "$1").replace(":last", "$2")
    cursor = await connection.cursor(numbered, *(between or ()), timeout=LONGEST_SILENCE_SECONDS)
    while rows := await cursor.fetch(ROWS_AT_ONCE, timeout=LONGEST_SILENCE_SECONDS):
        yield rows


async def _from_sqlite(
    session: AsyncSession,
    statement: str,
    between: tuple[int, int] | None,
    columns: Sequence[Column[Any]],
) -> AsyncIterator[Sequence[Any]]:
    values = {} if between is None else dict(zip(("first", "last"), between, strict=True))
    asked = text(statement).columns(*columns) if columns else text(statement)
    result = await session.stream(asked.execution_options(yield_per=ROWS_AT_ONCE), values)
    async for rows in (result if columns else result.mappings()).partitions():
        yield rows
    await result.close()
