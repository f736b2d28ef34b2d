"""`column = ANY (ids)`: one statement text for any number of ids, on both databases."""

import json
from collections.abc import Collection

from sqlalchemy import BigInteger, ColumnElement, any_, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from economy.repositories.tables import is_postgres


def any_of(
    session: AsyncSession, column: ColumnElement[int], ids: Collection[int]
) -> ColumnElement[bool]:
    """An IN list would be another statement, to be parsed and planned anew, for each length."""
    if is_postgres(session):
        return column == any_(bindparam(None, sorted(ids), type_=ARRAY(BigInteger), unique=True))
    values = func.json_each(json.dumps(sorted(ids))).table_valued("value")
    return column.in_(select(values.c.value))
