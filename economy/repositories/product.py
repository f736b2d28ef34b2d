"""SQL of the catalogue."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from economy.models.product import Product, ProductRow
from economy.repositories.any_of import any_of
from economy.repositories.tables import columns_of, table_of

_PRODUCTS = columns_of(Product, ProductRow)
_TABLE = table_of(Product)


async def products_by_id(session: AsyncSession, ids: Collection[int]) -> list[ProductRow]:
    rows = await session.execute(select(*_PRODUCTS).where(any_of(session, _TABLE.c.id, ids)))
    return [ProductRow._make(row) for row in rows]


async def products_after(
    session: AsyncSession, *, after_id: int, type_: str | None, only_active: bool, limit: int
) -> list[ProductRow]:
    """A page in the order of ids, beginning behind `after_id`."""
    statement = select(*_PRODUCTS).where(_TABLE.c.id > after_id).order_by(_TABLE.c.id).limit(limit)
    if type_ is not None:
        statement = statement.where(_TABLE.c.type == type_)
    if only_active:
        statement = statement.where(_TABLE.c.is_active)
    return [ProductRow._make(row) for row in await session.execute(statement)]


async def product_id_by_name(session: AsyncSession, name: str) -> int | None:
    """The oldest of that name: names are not unique. For seeding; there is no index for it."""
    statement = select(_TABLE.c.id).where(_TABLE.c.name == name).order_by(_TABLE.c.id).limit(1)
    return await session.scalar(statement)


async def insert_product(
    session: AsyncSession, values: dict[str, Any], created_at: datetime
) -> ProductRow:
    statement = insert(_TABLE).values(**values, created_at=created_at).returning(*_PRODUCTS)
    return ProductRow._make((await session.execute(statement)).one())


async def update_product(
    session: AsyncSession, product_id: int, changes: dict[str, Any]
) -> ProductRow | None:
    """None: there is no such product. `changes` must not be empty."""
    statement = (
        update(_TABLE).where(_TABLE.c.id == product_id).values(**changes).returning(*_PRODUCTS)
    )
    row = (await session.execute(statement)).one_or_none()
    return None if row is None else ProductRow._make(row)
