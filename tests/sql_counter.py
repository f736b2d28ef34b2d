"""Records the SQL that a Database sends, below SQLAlchemy where posting goes there too."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from economy.database import Database


@contextmanager
def recorded_sql(database: Database) -> Iterator[list[str]]:
    """Every statement that is sent within; COMMIT only on PostgreSQL."""
    engine = database._engine.sync_engine
    statements: list[str] = []

    def record_sqlalchemy(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    def record_asyncpg(record: Any) -> None:  # not told of what SQLAlchemy prepares
        statements.append(record.query)

    def watch(connection: Any, *_: object) -> None:
        connection.driver_connection.add_query_logger(record_asyncpg)

    def unwatch(connection: Any, *_: object) -> None:
        connection.driver_connection.remove_query_logger(record_asyncpg)

    listeners: list[tuple[str, Any]] = [("before_cursor_execute", record_sqlalchemy)]
    if database.dialect == "postgresql":
        listeners += [("checkout", watch), ("checkin", unwatch)]
    for name, listener in listeners:
        event.listen(engine, name, listener)
    try:
        yield statements
    finally:
        for name, listener in listeners:
            event.remove(engine, name, listener)
