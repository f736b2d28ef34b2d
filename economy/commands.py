"""What commands share: settings, services, and one clear line for whatever is wrong."""

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import click
from alembic.util import CommandError
from pydantic import ValidationError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from economy.app import NotMigrated, require_migrated
from economy.bootstrap import open_services
from economy.database import Database
from economy.errors import ConcurrencyConflict, EconomyError, Unavailable
from economy.services import Services
from economy.settings import PREFIX, Settings

T = TypeVar("T")


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    """The database alone, whatever its schema."""
    database = Database(settings)
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def open_migrated(settings: Settings) -> AsyncIterator[Services]:
    async with open_services(settings) as services:
        await require_migrated(services.database)
        yield services


def read_settings() -> Settings:
    """Ends with one clear line for each setting that is wrong."""
    try:
        settings = Settings()
        if settings.is_sqlite:
            # tried here: aiosqlite leaves a thread behind that may end in a traceback
            sqlite3.connect(make_url(settings.database_url).database or "").close()
        return settings
    except sqlite3.Error as error:
        click.echo(f"economy: {PREFIX}DATABASE_URL: {error}", err=True)
        sys.exit(2)
    except ValidationError as error:
        for wrong in error.errors():
            name = "".join(PREFIX + str(part).upper() for part in wrong["loc"][:1])
            message = wrong["msg"].removeprefix("Value error, ")
            click.echo(f"economy: {name + ': ' if name else ''}{message}", err=True)
        sys.exit(2)


def patient(settings: Settings) -> Settings:
    """For what may take as long as it needs: an index on a large table, a check of all of them."""
    long = {"statement_timeout_ms": 24 * 3600 * 1000, "lock_timeout_ms": 60 * 1000}
    return settings.model_copy(update=long)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Ends with one clear line when the database cannot be reached or is not migrated."""
    try:
        return asyncio.run(work)
    except (Unavailable, ConcurrencyConflict, SQLAlchemyError, OSError) as error:
        cause = error.__cause__ or error
        why = " ".join(str(cause).split())
        message = f"the database of {PREFIX}DATABASE_URL failed: {type(cause).__name__}: {why}"
        raise click.ClickException(message) from None
    except (EconomyError, NotMigrated, CommandError) as error:
        raise click.ClickException(str(error)) from None
