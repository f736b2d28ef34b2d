"""What a test of migrations asks of a database: its schema, its rows, and other revisions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from alembic import command
from sqlalchemy import text

from economy.database import Database
from economy.migrate import alembic_config
from economy.settings import Settings

POSTGRES_SCHEMA = """
SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default)
FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT format('%s %s', relkind, relname) FROM pg_class
WHERE relnamespace = 'public'::regnamespace
UNION ALL SELECT pg_get_constraintdef(oid) || ' ' || conname FROM pg_constraint
WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT definition FROM pg_views WHERE schemaname = 'public'
UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'type ' || typname FROM pg_type WHERE typnamespace = 'public'::regnamespace
"""
SQLITE_SCHEMA = "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema"


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    # on a busy machine a migration may take longer than others usually wait for SQLite's only lock
    database = Database(Settings(database_url=url, lock_timeout_ms=60_000))
    try:
        yield database
    finally:
        await database.close()


async def upgrade(database: Database, revision: str) -> None:
    """Not as far as it goes, unlike `migrate`."""
    async with database.unit_of_work() as session:
        connection = await session.connection()
        await connection.run_sync(lambda to: command.upgrade(alembic_config(to), revision))


async def execute(url: str, *statements: str) -> None:
    async with opened(url) as database, database.unit_of_work() as session:
        for statement in statements:
            await session.execute(text(statement))


async def schema(url: str) -> list[str]:
    """Everything that is defined in the database, in the database's own words."""
    statement = SQLITE_SCHEMA if url.startswith("sqlite") else POSTGRES_SCHEMA
    async with opened(url) as database, database.unit_of_work() as session:
        return sorted(_in_order(str(line)) for line in await session.scalars(text(statement)))


def _in_order(definition: str) -> str:
    """Alembic copies a table of SQLite with its constraints in no order of their own."""
    first, *lines = definition.splitlines()
    return "\n".join([first, *sorted(line.strip().rstrip(",") for line in lines)])


async def rows_of(url: str, *tables: str) -> dict[str, list[str]]:
    async with opened(url) as database, database.unit_of_work() as session:
        return {
            table: sorted(
                repr(row) for row in await session.execute(text(f'SELECT * FROM "{table}"'))
            )
            for table in tables
        }


async def count(url: str, table: str) -> int:
    return len((await rows_of(url, table))[table])
