"""Being told of each statement that an engine runs, whichever way it goes."""

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext

# a statement's text, the seconds that it took, and how it failed
Told = Callable[[str, float, BaseException | None], None]


def watch_statements(engine: Engine, told: Told) -> None:
    """From now on."""

    def begin(_connection: Any, _cursor: Any, _text: str, _values: Any, of: Any, _: Any) -> None:
        of.begun_at = time.perf_counter()

    def end(_connection: Any, _cursor: Any, text: str, _values: Any, of: Any, _: Any) -> None:
        told(text, time.perf_counter() - of.begun_at, None)

    def fail(failure: ExceptionContext) -> None:
        if failure.statement is not None and failure.execution_context is not None:
            seconds = time.perf_counter() - vars(failure.execution_context)["begun_at"]
            told(failure.statement, seconds, failure.original_exception)

    event.listen(engine, "before_cursor_execute", begin)
    event.listen(engine, "after_cursor_execute", end)
    event.listen(engine, "handle_error", fail)
    if engine.dialect.name == "postgresql":
        event.listen(engine, "connect", lambda connection, _: _watch_driver(connection, told))


def _watch_driver(connection: Any, told: Told) -> None:
    """What is asked of asyncpg itself; of what it prepares for SQLAlchemy it does not tell."""
    connection.driver_connection.add_query_logger(
        lambda query: told(query.query, query.elapsed, query.exception)
    )
