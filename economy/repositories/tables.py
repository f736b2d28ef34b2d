"""From a model to what SQL statements are written with: its table and its columns."""

from typing import Any, NamedTuple

from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel


def table_of(model: type[SQLModel]) -> Table:
    return model.metadata.tables[str(model.__tablename__)]


def is_postgres(session: AsyncSession) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def insert_or_skip(session: AsyncSession, model: type[SQLModel]) -> Any:
    """An INSERT that passes over what is there already, in the dialect of the session."""
    insert = postgresql.insert if is_postgres(session) else sqlite.insert
    return insert(table_of(model)).on_conflict_do_nothing()


def columns_of(model: type[SQLModel], row: type[NamedTuple]) -> list[Column[Any]]:
    """The columns in the order of the row's fields, so that `row._make` fits."""
    return [table_of(model).c[name] for name in row._fields]
