"""What sells best."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from economy.api.rest.dependencies import CurrentActor, CurrentServices
from economy.api.rest.documentation import INVALID_LIMIT, problems
from economy.api.rest.product import Product
from economy.api.rest.route import Route
from economy.services.bounds import MAX_PAGE

router = APIRouter(tags=["analytics"], route_class=Route)


class PopularProduct(BaseModel):
    rank: int = Field(description="From 1")
    product: Product
    purchases: int = Field(description="Completed purchases of the last 7 days, not units")


class PopularProducts(BaseModel):
    items: list[PopularProduct]


@router.get(
    "/analytics/popular-products",
    name="popularProducts",
    summary="What sells best",
    responses=problems(INVALID_LIMIT),
)
async def popular_products(
    services: CurrentServices,
    actor: CurrentActor,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="How many at most")] = 5,
) -> PopularProducts:
    """By completed purchases of the last 7 days; of equals the older product. Up to 1 h old."""
    ranking = await services.analytics.popular_products(actor, limit=limit)
    ids = {row.product_id for row in ranking}
    products = await services.products.products(ids) if ids else {}
    return PopularProducts(
        items=[
            PopularProduct(
                rank=row.rank,
                product=Product.of(products[row.product_id]),
                purchases=row.purchases,
            )
            for row in ranking
        ]
    )
