"""Brings the database to the newest schema, and tells whether it is there."""

import asyncio
import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from economy.database import Database
from economy.errors import LockNotGranted

logger = logging.getLogger(__name__)

_PACKAGE = Path(__file__).parent
# in a wheel the migrations are part of the package; in a checkout they stand beside it
_FOLDERS = (_PACKAGE / "_migrations", _PACKAGE.parent / "migrations")
_ADVISORY_LOCK = 0x45434F4E  # any number that nobody else uses
# A migration waits for a lock for seconds only, as all who come behind it wait, too. Then it lets
# them go first, and tries again.
ATTEMPTS = 20
PAUSE_SECONDS = 1.0


async def migrate(database: Database, revision: str = "head") -> None:
    """Up to "head", or down to "base" or a revision. All in one transaction, or not at all.

    Several at once are safe: one works, the others wait and find nothing to do.
    Raises LockNotGranted when somebody keeps a table locked all the time: nothing was changed.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with database.unit_of_work() as session:
                connection = await session.connection()
                await connection.run_sync(_migrate, revision)
                return
        except LockNotGranted:
            if attempt == ATTEMPTS:
                raise
            logger.warning("a table is in use: tried again, %d of %d", attempt, ATTEMPTS)
        await asyncio.sleep(PAUSE_SECONDS)


async def is_migrated(database: Database) -> bool:
    """Whether the schema is at least as new as this release.

    One that this release does not know is that of a later one, which is being rolled out.
    """
    async with database.snapshot() as session:
        connection = await session.connection()
        revision = await connection.run_sync(_current_revision)
    is_newest = revision == _scripts().get_current_head()
    return revision is not None and (is_newest or _is_later(revision))


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
        if not _is_later(_current_revision(connection)):  # nothing to do for this release
            command.upgrade(config, revision)
    else:
        command.downgrade(config, revision)


def _current_revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _is_later(revision: str | None) -> bool:
    return revision not in {None, *(script.revision for script in _scripts().walk_revisions())}


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(alembic_config())
