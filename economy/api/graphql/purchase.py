"""Buying a product."""

from functools import partial
from typing import Annotated

import strawberry

from economy.api.graphql.booking import KEY, Booking, book
from economy.api.graphql.context import Info
from economy.api.graphql.errors import (
    AlreadyOwnedError,
    HoldingLimitError,
    IdempotencyError,
    InsufficientFundsError,
    InvalidInputError,
    PriceChangedError,
    ProductNotFoundError,
    ProductUnavailableError,
    UserNotFoundError,
)
from economy.api.graphql.inventory import InventoryItem
from economy.api.graphql.scalars import Amount, given


@strawberry.input(description="What to buy.")
class PurchaseInput:
    product_id: strawberry.ID = strawberry.field(description="Which product.")
    idempotency_key: str = strawberry.field(description=KEY)
    quantity: int = strawberry.field(
        description="How many, 1 to 1,000; 1 of a permanent product.", default=1
    )
    expected_price: Amount | None = strawberry.field(
        description="The price of one that the player saw: another is refused.",
        default=strawberry.UNSET,
    )
    user_id: strawberry.ID | None = strawberry.field(
        description="For whom. A player's is its own; a server key must name the user.",
        default=strawberry.UNSET,
    )


@strawberry.type(description="The product was bought.")
class PurchaseSuccess(Booking):
    item: InventoryItem = strawberry.field(description="What is held of the product now.")


PurchaseResult = Annotated[
    PurchaseSuccess
    | UserNotFoundError
    | ProductNotFoundError
    | ProductUnavailableError
    | InsufficientFundsError
    | AlreadyOwnedError
    | HoldingLimitError
    | PriceChangedError
    | InvalidInputError
    | IdempotencyError,
    strawberry.union("PurchaseResult", description="What came of `purchase`."),
]


@strawberry.type
class PurchaseMutation:
    @strawberry.mutation(
        description="Buy a product: debit the price and grant the items, or neither."
    )
    async def purchase(
        self,
        info: Info,
        input: Annotated[PurchaseInput, strawberry.argument(description="What to buy.")],  # noqa: A002
    ) -> PurchaseResult | None:
        call = partial(
            info.context.services.purchases.purchase,
            info.context.actor,
            product_id=input.product_id,
            quantity=input.quantity,
            expected_price=given(input.expected_price),
            user_id=given(input.user_id),
            idempotency_key=input.idempotency_key,
        )
        return await book(info, call, PurchaseSuccess, with_item=True)
