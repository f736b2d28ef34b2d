"""Streams the rows of statements that may read everything, however long that takes."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from sqlalchemy import Column, text
from sqlalchemy.ext.asyncio import AsyncSession

from economy.repositories.tables import is_postgres

ROWS_AT_ONCE = 500  # also for how long a batch keeps others from the event loop: milliseconds
# Of the network, not of the server: the driver's own limit is made for statements of requests.
LONGEST_SILENCE_SECONDS = 6 * 3600.0


def streamed(
    session: AsyncSession,
    statement: str,
    between: tuple[int, int] | None = None,
    *,
    columns: Sequence[Column[Any]] = (),
) -> AsyncGenerator[Sequence[Any], None]:
    """Batches of rows, each a mapping and a sequence; `between` is what :first and :last stand for.

    `columns` tell SQLite the types, which PostgreSQL knows. Only in a unit of work or a snapshot.
    """
    if is_postgres(session):
        return _from_postgres(session, statement, between)
    return _from_sqlite(session, statement, between, columns)


async def _from_postgres(
    session: AsyncSession, statement: str, between: tuple[int, int] | None
) -> AsyncGenerator[Sequence[Any], None]:
    """On the driver's connection: half the CPU, and each statement has a time limit of its own."""
    connection = (await (await session.connection()).get_raw_connection()).driver_connection
    assert connection is not None
    rows: list[Any] = []
    # Not its fetch(), which leaves the portal open: the server would keep each one's sorted rows.
    prepared = await connection.prepare(
        statement.replace(":first", "$1").replace(":last", "$2"),
        name="",  # nothing is left of it on the server's connection, which may be pgbouncer's
        timeout=LONGEST_SILENCE_SECONDS,
    )
    async for row in prepared.cursor(
        *(between or ()), prefetch=ROWS_AT_ONCE, timeout=LONGEST_SILENCE_SECONDS
    ):
        rows.append(row)
        if len(rows) == ROWS_AT_ONCE:
            yield rows
            rows = []
    if rows:
        yield rows


async def _from_sqlite(
    session: AsyncSession,
    statement: str,
    between: tuple[int, int] | None,
    columns: Sequence[Column[Any]],
) -> AsyncGenerator[Sequence[Any], None]:
    values = {} if between is None else dict(zip(("first", "last"), between, strict=True))
    asked = text(statement).columns(*columns) if columns else text(statement)
    result = await session.stream(asked.execution_options(yield_per=ROWS_AT_ONCE), values)
    try:
        async for rows in (result if columns else result.mappings()).partitions():
            yield rows
    finally:
        await result.close()
