"""Brings the database to the newest schema, and tells whether it is there."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from economy.database import Database

_PACKAGE = Path(__file__).parent
# in a wheel the migrations are part of the package; in a checkout they stand beside it
_FOLDERS = (_PACKAGE / "_migrations", _PACKAGE.parent / "migrations")
_ADVISORY_LOCK = 0x45434F4E  # any number that nobody else uses


async def migrate(database: Database, revision: str = "head") -> None:
    """Up to "head", or down to "base" or a revision. All in one transaction, or not at all.

    Several at once are safe: one works, the others wait and find nothing to do.
    """
    async with database.unit_of_work() as session:
        connection = await session.connection()
        await connection.run_sync(_migrate, revision)


async def is_migrated(database: Database) -> bool:
    async with database.snapshot() as session:
        connection = await session.connection()
        return await connection.run_sync(_current_revision) == _newest_revision()


def alembic_config(connection: Connection | None = None) -> Config:
    config = Config()
    folder = next(folder for folder in _FOLDERS if folder.is_dir())
    config.set_main_option("script_location", str(folder))
    config.attributes["connection"] = connection
    return config


def _migrate(connection: Connection, revision: str) -> None:
    if connection.dialect.name == "postgresql":
        # waiting for another migration is not an error; each migration bounds its own waits
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    config = alembic_config(connection)
    if revision == "head":
        command.upgrade(config, revision)
    else:
        command.downgrade(config, revision)


def _current_revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _newest_revision() -> str | None:
    return ScriptDirectory.from_config(alembic_config()).get_current_head()
