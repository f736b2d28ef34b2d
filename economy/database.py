"""The database: engine, unit_of_work() for writes, read() for reads; driver errors made ours."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import asyncpg
from sqlalchemy import Connection, PoolProxiedConnection, event, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from economy.database_errors import our_errors
from economy.database_watch import Told, watch_statements
from economy.errors import CommitOutcomeUnknown, ConcurrencyConflict, ConnectionLost, Unavailable
from economy.metrics import Metrics
from economy.settings import Settings

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

NETWORK_SECONDS = 2.0  # what an answer may take on its way, and the end of all connections

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

    def __init__(self, settings: Settings, metrics: Metrics | None = None) -> None:
        self.dialect = "sqlite" if settings.is_sqlite else "postgresql"
        self._engine = create_async_engine(
            settings.database_url,
            pool_size=settings.database_pool_size,
            # more than 0 opens and closes connections under load, which halves throughput
            max_overflow=0,
            pool_timeout=settings.database_pool_timeout_seconds,
            connect_args=_connect_arguments(settings),
            hide_parameters=True,  # an error tells of the statement; they are names and addresses
        )
        self._slots = asyncio.Semaphore(settings.database_pool_size)
        metrics = metrics or Metrics()  # that nobody reads
        self._in_use = metrics.connections_in_use
        metrics.connections_limit.inc(settings.database_pool_size)
        self._pool_timeout_seconds = settings.database_pool_timeout_seconds
        # a read is one statement: no BEGIN and ROLLBACK around it
        self._read_engine = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._snapshot_engine = self._engine.execution_options(**SNAPSHOT_OPTIONS[self.dialect])
        self._begin = "BEGIN"
        # Without statement caches our timeouts are in force in a transaction only.
        self.posts_without_locks = (
            self.dialect == "postgresql" and settings.database_statement_caches
        )
        if self.dialect == "sqlite":
            event.listen(self._engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self._engine.sync_engine, "begin", _begin_immediate)
        elif not settings.database_statement_caches:
            # the next transaction may be on another connection of the server
            configuration = _for_transaction(settings)
            self._begin = f"BEGIN; {configuration}"
            event.listen(self._engine.sync_engine, "begin", partial(_configure, configuration))

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

    def posting_unit_of_work(self) -> AbstractAsyncContextManager[Any]:
        """The same for posting: a session on SQLite, on PostgreSQL the driver's own connection.

        A session of SQLAlchemy costs more than all statements of a batch.
        """
        return self.unit_of_work() if self.dialect == "sqlite" else self._driver_unit_of_work()

    @asynccontextmanager
    async def posting_connection(self) -> AsyncIterator[asyncpg.Connection]:
        """The driver's own connection: each statement is a transaction of its own."""
        async with self._driver_connection() as connection:
            try:
                yield connection
            except asyncio.CancelledError:
                connection.terminate()  # a database that is silent would hold us up
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
        return await self._twice(partial(self._session, self._read_engine), query, *args, **kwargs)

    async def read_often(
        self, query: Callable[Concatenate[Any, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same for a query that is given what posting is given, and for the same reason."""
        if self.dialect == "sqlite":
            return await self.read(query, *args, **kwargs)
        return await self._twice(self._driver_connection, query, *args, **kwargs)

    async def _twice(
        self,
        opened: Callable[[], AbstractAsyncContextManager[Any]],
        query: Callable[Concatenate[Any, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        try:
            async with opened() as session:
                return await query(session, *args, **kwargs)
        except (ConnectionLost, ConcurrencyConflict):
            async with opened() as session:
                return await query(session, *args, **kwargs)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncSession]:
        """Many reads of one moment, read-only; writers neither wait for it nor hold it up.

        It may take as long as it needs. Raises ConcurrencyConflict, ConnectionLost, Unavailable.
        """
        async with self._session(self._snapshot_engine) as session:
            if self.dialect == "postgresql":
                await session.execute(text("SET LOCAL statement_timeout = 0"))
                # here execution takes longer than planning
                await session.execute(text("SET LOCAL plan_cache_mode = auto"))
            yield session

    def watch(self, told: Told) -> None:
        """Have it told of each statement from now on."""
        watch_statements(self._engine.sync_engine, told)

    async def is_healthy(self) -> bool:
        try:
            await self.read(_ping)
        except Exception:
            logger.warning("the database does not answer", exc_info=True)
            return False
        return True

    async def close(self) -> None:
        with suppress(TimeoutError):  # a server that is silent is not said goodbye to for ever
            await asyncio.wait_for(self._engine.dispose(), NETWORK_SECONDS)

    @asynccontextmanager
    async def _session(self, engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
        """A session whose errors are ours, behind a queue for connections."""
        with our_errors():
            async with self._connection_slot(), AsyncSession(engine, autoflush=False) as session:
                yield session

    @asynccontextmanager
    async def _driver_unit_of_work(self) -> AsyncIterator[asyncpg.Connection]:
        is_committing = False
        try:
            async with self.posting_connection() as connection:
                try:
                    await connection.execute(self._begin)
                    yield connection
                except Exception:
                    with suppress(Exception):  # then it is thrown away
                        await connection.execute("ROLLBACK")
                    raise
                is_committing = True
                await connection.execute("COMMIT")
        except Unavailable as error:
            if is_committing:
                raise CommitOutcomeUnknown from error
            raise

    @asynccontextmanager
    async def _driver_connection(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection of asyncpg from SQLAlchemy's pool, whose errors are ours."""
        with our_errors():
            async with self._connection_slot():
                pooled = await self._engine.raw_connection()
                while _driver_of(pooled).is_closed():  # as after a restart of the server
                    pooled.invalidate()
                    pooled = await self._engine.raw_connection()
                connection = _driver_of(pooled)
                try:
                    yield connection
                finally:
                    if connection.is_closed() or connection.is_in_transaction():
                        pooled.invalidate()
                    else:
                        pooled.close()

    @asynccontextmanager
    async def _connection_slot(self) -> AsyncIterator[None]:
        """First come, first served: SQLAlchemy's pool lets a newcomer overtake who waits."""
        try:
            async with asyncio.timeout(self._pool_timeout_seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise Unavailable from None
        self._in_use.inc()
        try:
            yield
        finally:
            self._in_use.dec()
            self._slots.release()


def _driver_of(pooled: PoolProxiedConnection) -> asyncpg.Connection:
    return cast("asyncpg.Connection", pooled.driver_connection)


async def _ping(session: AsyncSession) -> None:
    await session.execute(text("SELECT 1"))


def _connect_arguments(settings: Settings) -> dict[str, Any]:
    if settings.is_sqlite:
        return {"timeout": settings.lock_timeout_ms / 1000}
    arguments: dict[str, Any] = {
        "timeout": settings.database_pool_timeout_seconds,
        # the server ends a long statement itself; this is for a network that has fallen silent
        "command_timeout": settings.statement_timeout_ms / 1000 + NETWORK_SECONDS,
        "server_settings": {"application_name": "economy", "timezone": "UTC"},
    }
    if settings.database_statement_caches:
        arguments["server_settings"] |= _server_settings(settings)
        return arguments
    # without a name a statement is parsed again, in the same message, whenever it is run
    return arguments | {
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": str,
    }


def _server_settings(settings: Settings) -> dict[str, str]:
    return {
        "jit": "off",  # compiling costs more than any statement of ours
        # planning takes longer than any of them, and the plans that hold for all arguments are
        # the good ones (tests/test_indexes.py)
        "plan_cache_mode": "force_generic_plan",
        "statement_timeout": str(settings.statement_timeout_ms),
        "lock_timeout": str(settings.lock_timeout_ms),
        "idle_in_transaction_session_timeout": str(2 * settings.statement_timeout_ms),
    }


def _for_transaction(settings: Settings) -> str:
    """The same as one statement, in force until the transaction ends."""
    ours = _server_settings(settings)
    del ours["jit"]  # asyncpg restores it, at times for the whole connection
    return "SELECT " + ", ".join(
        f"set_config('{name}', '{value}', true)" for name, value in ours.items()
    )


def _configure(configuration: str, connection: Connection) -> None:
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql(configuration)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in SQLITE_PRAGMAS:
        connection.execute(pragma)


def _begin_immediate(connection: Connection) -> None:
    """SQLite's row lock is the whole file: take it first, so that no read goes stale unseen."""
    options = connection.get_execution_options()
    if options.get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql(options.get("sqlite_begin", "BEGIN IMMEDIATE"))
