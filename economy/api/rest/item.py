"""An inventory item as REST shows it."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field

from economy.api.rest.product import Product
from economy.models.inventory import InventoryRow
from economy.models.product import ProductRow


class InventoryItem(BaseModel):
    id: UUID
    product: Product
    quantity: int = Field(description="How many; 1 of a permanent product")
    purchased_at: datetime = Field(description="The first purchase")

    @classmethod
    def of(cls, row: InventoryRow, product: ProductRow) -> "InventoryItem":
        return cls(
            id=row.id,
            product=Product.of(product),
            quantity=row.quantity,
            purchased_at=row.purchased_at,
        )
