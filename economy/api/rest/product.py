"""The catalogue."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from economy.api.rest.dependencies import CurrentActor, CurrentServices
from economy.api.rest.documentation import INVALID_PAGE, problems
from economy.api.rest.route import Route
from economy.models.product import ProductRow, ProductType
from economy.services.bounds import MAX_PAGE

router = APIRouter(tags=["products"], route_class=Route)


class Product(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 1,
                "name": "Буст на день",
                "description": "",
                "price": 100,
                "type": "consumable",
                "is_active": True,
            }
        }
    )

    id: int
    name: str
    description: str
    price: int = Field(description="What one costs now, in coins")
    type: ProductType
    is_active: bool = Field(description="Whether it is on sale")

    @classmethod
    def of(cls, row: ProductRow) -> "Product":
        return cls(
            id=row.id,
            name=row.name,
            description=row.description,
            price=row.price,
            type=ProductType(row.type),
            is_active=row.is_active,
        )


class ProductPage(BaseModel):
    items: list[Product]
    next: str | None = Field(description="Give it as `after` to go on; null at the end")


@router.get("/products", name="products", summary="The catalogue", responses=problems(INVALID_PAGE))
async def list_products(
    services: CurrentServices,
    actor: CurrentActor,
    type: Annotated[ProductType | None, Query(description="Only of this type")] = None,  # noqa: A002
    first: Annotated[int, Query(ge=1, le=MAX_PAGE, description="How many at most")] = 50,
    after: Annotated[str | None, Query(description="`next` of the page before")] = None,
) -> ProductPage:
    """Oldest first: what is on sale; to a server key that may edit the catalogue, all of it."""
    page = await services.products.list_products(
        actor, type_=None if type is None else type.value, first=first, after=after
    )
    return ProductPage(items=[Product.of(row) for row in page.rows], next=page.next_cursor)
