"""What sells best."""

from typing import Annotated

import strawberry

from economy.api.graphql.context import Info
from economy.api.graphql.product import Product, load_product
from economy.rate_limits import Act


@strawberry.type(description="A product and its place among those that sell best.")
class PopularProduct:
    rank: int = strawberry.field(description="From 1.")
    purchases: int = strawberry.field(
        description="Completed purchases of the last 7 days: purchases, not units."
    )
    product_id: strawberry.Private[int]

    @strawberry.field(description="The product.")
    async def product(self, info: Info) -> Product:
        return await load_product(info, self.product_id)


@strawberry.type
class AnalyticsQuery:
    @strawberry.field(
        description="The products with the most completed purchases of the last 7 days; of equals "
        "the older product comes first. Up to an hour old."
    )
    async def popular_products(
        self,
        info: Info,
        limit: Annotated[int, strawberry.argument(description="How many at most, 1 to 100.")] = 5,
    ) -> list[PopularProduct] | None:
        await info.context.limits.take(Act.READ)
        ranking = await info.context.services.analytics.popular_products(
            info.context.actor, limit=limit
        )
        return [
            PopularProduct(rank=row.rank, purchases=row.purchases, product_id=row.product_id)
            for row in ranking
        ]
