"""The database: engine, unit_of_work() for writes, read() for reads; driver errors made ours."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

import asyncpg
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from economy.errors import (
    CommitOutcomeUnknown,
    ConcurrencyConflict,
    ConnectionLost,
    LockNotGranted,
    Unavailable,
)
from economy.settings import Settings

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

# https://www.postgresql.org/docs/current/errcodes-appendix.html
CONFLICT_STATES = {"40001", "40P01"}  # serialisation, deadlock
LOCK_WAIT = "55P03"
LOST_STATES = {"57P01", "57P02", "57P03", "57P05"}  # server stops, crashes, starts, idle too long
UNAVAILABLE_CLASSES = ("53", "57")  # out of resources, operator intervention (timeouts)
READ_ONLY = "25006"  # a standby: the primary has moved
SQLITE_CONFLICTS = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

NETWORK_SECONDS = 2.0  # what an answer may take on its way

SQLITE_PRAGMAS = (
    "PRAGMA journal_mode = WAL",  # readers do not wait for the writer
    "PRAGMA synchronous = FULL",  # a commit is on disk before it is answered
    "PRAGMA foreign_keys = ON",
    "PRAGMA recursive_triggers = ON",  # INSERT OR REPLACE meets the journal's DELETE guard
)

SNAPSHOT_OPTIONS: dict[str, dict[str, Any]] = {
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
    "sqlite": {"sqlite_begin": "BEGIN"},  # sees one moment from its first read on, takes no lock
}


class Database:
    """One connection pool. Built by bootstrap, closed by whoever opened it."""

    def __init__(self, settings: Settings) -> None:
        self.dialect = "sqlite" if settings.is_sqlite else "postgresql"
        self._engine = create_async_engine(
            settings.database_url,
            pool_size=settings.database_pool_size,
            # more than 0 opens and closes connections under load, which halves throughput
            max_overflow=0,
            pool_timeout=settings.database_pool_timeout_seconds,
            connect_args=_connect_arguments(settings),
        )
        self._slots = asyncio.Semaphore(settings.database_pool_size)
        self._pool_timeout_seconds = settings.database_pool_timeout_seconds
        # a read is one statement: no BEGIN and ROLLBACK around it
        self._read_engine = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._snapshot_engine = self._engine.execution_options(**SNAPSHOT_OPTIONS[self.dialect])
        if self.dialect == "sqlite":
            event.listen(self._engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self._engine.sync_engine, "begin", _begin_immediate)

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[AsyncSession]:
        """One transaction: commits when the block ends, rolls back when it raises.

        Raises ConcurrencyConflict and ConnectionLost (nothing was changed), CommitOutcomeUnknown
        (the connection broke while COMMIT was under way) and Unavailable.
        """
        is_committing = False
        try:
            async with self._session(self._engine) as session:
                yield session
                is_committing = True
                await session.commit()
        except Unavailable as error:
            if is_committing:
                raise CommitOutcomeUnknown from error
            raise

    async def read(
        self,
        query: Callable[Concatenate[AsyncSession, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a query of one statement in a short session of its own.

        Once more if its pooled connection had died meanwhile, as after a restart of the server,
        or its plan had gone stale, as after a migration.
        Raises Unavailable.
        """
        try:
            return await self._read_once(query, *args, **kwargs)
        except (ConnectionLost, ConcurrencyConflict):
            return await self._read_once(query, *args, **kwargs)

    async def _read_once(
        self,
        query: Callable[Concatenate[AsyncSession, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        async with self._session(self._read_engine) as session:
            return await query(session, *args, **kwargs)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncSession]:
        """Many reads of one moment, read-only; writers neither wait for it nor hold it up.

        It may take as long as it needs. Raises ConcurrencyConflict, ConnectionLost, Unavailable.
        """
        async with self._session(self._snapshot_engine) as session:
            if self.dialect == "postgresql":
                await session.execute(text("SET LOCAL statement_timeout = 0"))
            yield session

    async def is_healthy(self) -> bool:
        try:
            await self.read(_ping)
        except Exception:
            logger.warning("the database does not answer", exc_info=True)
            return False
        return True

    async def close(self) -> None:
        await self._engine.dispose()

    @asynccontextmanager
    async def _session(self, engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
        """A session whose errors are ours, behind a queue for connections."""
        try:
            async with self._connection_slot(), AsyncSession(engine, autoflush=False) as session:
                yield session
        except Exception as error:
            ours = _translated(error)
            if ours is error:
                raise
            raise ours from error

    @asynccontextmanager
    async def _connection_slot(self) -> AsyncIterator[None]:
        """First come, first served: SQLAlchemy's pool lets a newcomer overtake who waits."""
        try:
            async with asyncio.timeout(self._pool_timeout_seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise Unavailable from None
        try:
            yield
        finally:
            self._slots.release()


async def _ping(session: AsyncSession) -> None:
    await session.execute(text("SELECT 1"))


def _connect_arguments(settings: Settings) -> dict[str, Any]:
    if settings.is_sqlite:
        return {"timeout": settings.lock_timeout_ms / 1000}
    return {
        "timeout": settings.database_pool_timeout_seconds,
        # the server ends a long statement itself; this is for a network that has fallen silent
        "command_timeout": settings.statement_timeout_ms / 1000 + NETWORK_SECONDS,
        "server_settings": {
            "application_name": "economy",
            "jit": "off",  # compiling costs more than any statement of ours
            "timezone": "UTC",
            "statement_timeout": str(settings.statement_timeout_ms),
            "lock_timeout": str(settings.lock_timeout_ms),
            "idle_in_transaction_session_timeout": str(2 * settings.statement_timeout_ms),
        },
    }


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in SQLITE_PRAGMAS:
        connection.execute(pragma)


def _begin_immediate(connection: Connection) -> None:
    """SQLite's row lock is the whole file: take it first, so that no read goes stale unseen."""
    options = connection.get_execution_options()
    if options.get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql(options.get("sqlite_begin", "BEGIN IMMEDIATE"))


def _translated(error: Exception) -> Exception:
    """Our error for a driver's, told by SQLSTATE; what is not of this kind comes back as it is."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(cause, "sqlstate", None) or ""
    if state == LOCK_WAIT:
        return LockNotGranted()
    if state in CONFLICT_STATES or _is_sqlite_conflict(cause) or _is_stale_plan(cause):
        return ConcurrencyConflict()
    if state in LOST_STATES or state.startswith("08") or _is_broken_connection(error):
        return ConnectionLost()
    if state.startswith(UNAVAILABLE_CLASSES) or state == READ_ONLY:
        return Unavailable()
    if isinstance(error, PoolTimeout | TimeoutError) or _is_full_or_unreadable(cause):
        return Unavailable()
    return error


def _is_broken_connection(error: Exception) -> bool:
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or _is_broken_connection_of_driver(
            error.orig.__cause__ if error.orig else None
        )
    return _is_broken_connection_of_driver(error)


def _is_broken_connection_of_driver(error: BaseException | None) -> bool:
    # asyncpg says InterfaceError for misuse, too; only the text tells
    is_closed = isinstance(error, asyncpg.InterfaceError) and "closed" in str(error)
    return is_closed or isinstance(error, OSError)


def _is_stale_plan(cause: BaseException | None) -> bool:
    """A migration changed a column under a prepared statement: the next try prepares it anew."""
    stale = asyncpg.InvalidCachedStatementError
    return isinstance(cause, stale) or isinstance(getattr(cause, "__cause__", None), stale)


def _is_sqlite_conflict(cause: BaseException | None) -> bool:
    code = getattr(cause, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in SQLITE_CONFLICTS  # the low byte is the class


def _is_full_or_unreadable(cause: BaseException | None) -> bool:
    code = getattr(cause, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
