"""Our errors for those of the database's drivers, told by SQLSTATE."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from economy.errors import ConcurrencyConflict, ConnectionLost, LockNotGranted, Unavailable

# https://www.postgresql.org/docs/current/errcodes-appendix.html
CONFLICT_STATES = {"40001", "40P01"}  # serialisation, deadlock
LOCK_WAIT = "55P03"
LOST_STATES = {"57P01", "57P02", "57P03", "57P05"}  # server stops, crashes, starts, idle too long
UNAVAILABLE_CLASSES = ("53", "57")  # out of resources, operator intervention (timeouts)
READ_ONLY = "25006"  # a standby: the primary has moved
SQLITE_CONFLICTS = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


@contextmanager
def our_errors() -> Iterator[None]:
    """What is raised within is raised as ours."""
    try:
        yield
    except Exception as error:
        ours = _translated(error)
        if ours is error:
            raise
        raise ours from error


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
    # what it says when the server's farewell has come and the end of the connection has not
    is_ending = isinstance(error, asyncpg.InternalClientError)
    return is_closed or is_ending or isinstance(error, OSError)


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
