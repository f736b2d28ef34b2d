"""Inventory items: the type and the query."""

from datetime import datetime
from typing import Annotated

import strawberry

from economy.api.graphql.context import Info
from economy.api.graphql.product import Product, load_products
from economy.api.graphql.scalars import ProductType, given, value_of
from economy.errors import UserNotFound
from economy.models.inventory import InventoryRow
from economy.models.product import ProductRow
from economy.rate_limits import Act
from economy.services.access import reading_user_id
from economy.services.inventory import of_type

TypeFilter = Annotated[
    ProductType | None,
    strawberry.argument(name="type", description="Only products of this type."),
]


@strawberry.type(description="What a user holds of one product: one line per product.")
class InventoryItem:
    id: strawberry.ID = strawberry.field(description="Stable for ever.")
    quantity: int = strawberry.field(description="How many; 1 of a permanent product.")
    purchased_at: datetime = strawberry.field(description="The first purchase.")
    # read beforehand, asked for or not: to resolve it for each item costs more than all the rest
    product: Product = strawberry.field(description="What is held.")

    @classmethod
    def of(cls, row: InventoryRow, product: ProductRow) -> "InventoryItem":
        return cls(
            id=strawberry.ID(str(row.id)),
            quantity=row.quantity,
            purchased_at=row.purchased_at,
            product=Product.of(product),
        )


async def load_inventory(
    info: Info, user_id: int, type_: ProductType | None
) -> list[InventoryItem] | None:
    """None: there is no such user. The right to read this one has been checked."""
    rows = await info.context.loaders.inventories.load(user_id)
    if rows is None:
        return None
    rows = of_type(rows, value_of(type_))
    products = await load_products(info, {row.product_id for row in rows})
    return [InventoryItem.of(row, products[row.product_id]) for row in rows]


@strawberry.type
class InventoryQuery:
    @strawberry.field(description="What a user holds, in the order of first purchase.")
    async def inventory(
        self,
        info: Info,
        user_id: Annotated[
            strawberry.ID | None,
            strawberry.argument(
                description="Whose. A player's is its own; a server key must name the user."
            ),
        ] = strawberry.UNSET,
        type_: TypeFilter = strawberry.UNSET,
    ) -> list[InventoryItem] | None:
        number = reading_user_id(info.context.actor, given(user_id))
        await info.context.limits.take(Act.READ)
        items = await load_inventory(info, number, type_)
        if items is None:
            raise UserNotFound(str(number))
        return items
