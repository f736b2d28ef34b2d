"""SQL of inventories as they are read; posting writes them."""

from collections.abc import Collection

import asyncpg
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from economy.models.inventory import Inventory, InventoryRow
from economy.repositories.any_of import any_of
from economy.repositories.tables import columns_of, table_of

_ITEMS = columns_of(Inventory, InventoryRow)
_TABLE = table_of(Inventory)


# the same for PostgreSQL
_ITEMS_HELD = f"""
SELECT {", ".join(InventoryRow._fields)} FROM inventory
WHERE user_id = ANY ($1::bigint[]) AND quantity > 0 ORDER BY user_id, id
"""


async def items_held(
    session: AsyncSession | asyncpg.Connection, user_ids: Collection[int]
) -> list[InventoryRow]:
    """What the users hold, each user's in the order of first purchase (ids grow with time)."""
    if isinstance(session, asyncpg.Connection):
        rows = await session.fetch(_ITEMS_HELD, list(user_ids))
        return [InventoryRow._make(row) for row in rows]
    statement = (
        select(*_ITEMS)
        .where(any_of(session, _TABLE.c.user_id, user_ids), _TABLE.c.quantity > 0)
        .order_by(_TABLE.c.user_id, _TABLE.c.id)
    )
    return [InventoryRow._make(row) for row in await session.execute(statement)]
