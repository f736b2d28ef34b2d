"""From a model to what SQL statements are written with: its table and its columns."""

from typing import Any, NamedTuple

from sqlalchemy import Column, Table
from sqlmodel import SQLModel


def table_of(model: type[SQLModel]) -> Table:
    return model.metadata.tables[str(model.__tablename__)]


def columns_of(model: type[SQLModel], row: type[NamedTuple]) -> list[Column[Any]]:
    """The columns in the order of the row's fields, so that `row._make` fits."""
    return [table_of(model).c[name] for name in row._fields]
