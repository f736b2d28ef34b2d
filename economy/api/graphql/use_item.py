"""Using up what is held."""

from functools import partial
from typing import Annotated

import strawberry

from economy.api.graphql.booking import KEY, Booking, book
from economy.api.graphql.context import Info
from economy.api.graphql.errors import (
    IdempotencyError,
    InvalidInputError,
    NotEnoughItemsError,
    ProductNotConsumableError,
    ProductNotFoundError,
    UserNotFoundError,
)
from economy.api.graphql.inventory import InventoryItem
from economy.api.graphql.scalars import given


@strawberry.input(description="What to use up.")
class UseItemInput:
    product_id: strawberry.ID = strawberry.field(description="Which product; it is consumable.")
    idempotency_key: str = strawberry.field(description=KEY)
    quantity: int = strawberry.field(description="How many, 1 to 1,000.", default=1)
    user_id: strawberry.ID | None = strawberry.field(
        description="Whose. A player's is its own; a server key must name the user.",
        default=strawberry.UNSET,
    )


@strawberry.type(description="The items were used up.")
class UseItemSuccess(Booking):
    item: InventoryItem = strawberry.field(
        description="What is left of the product; at 0 it is listed no longer."
    )


UseItemResult = Annotated[
    UseItemSuccess
    | UserNotFoundError
    | ProductNotFoundError
    | ProductNotConsumableError
    | NotEnoughItemsError
    | InvalidInputError
    | IdempotencyError,
    strawberry.union("UseItemResult", description="What came of `useItem`."),
]


@strawberry.type
class UseItemMutation:
    @strawberry.mutation(description="Use up items of a consumable product.")
    async def use_item(
        self,
        info: Info,
        input: Annotated[UseItemInput, strawberry.argument(description="What to use up.")],  # noqa: A002
    ) -> UseItemResult | None:
        call = partial(
            info.context.services.inventory.use_item,
            info.context.actor,
            product_id=input.product_id,
            quantity=input.quantity,
            user_id=given(input.user_id),
            idempotency_key=input.idempotency_key,
        )
        return await book(info, call, UseItemSuccess, with_item=True)
