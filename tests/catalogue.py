"""More products than the sample catalogue has."""

from typing import Any

from economy.models.product import ProductRow, ProductType
from tests.world import SERVER, World


async def add_products(world: World, number: int, **changes: Any) -> list[ProductRow]:
    values: dict[str, Any] = {"description": "", "price": 1, "is_active": True}
    values |= {"type_": ProductType.CONSUMABLE} | changes
    return [
        await world.services.products.create_product(SERVER, name=f"Product {n}", **values)
        for n in range(number)
    ]
