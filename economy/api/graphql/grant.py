"""Items that a server gives and takes."""

from functools import partial
from typing import Annotated

import strawberry

from economy.api.graphql.booking import KEY, Booking, book
from economy.api.graphql.context import Info
from economy.api.graphql.errors import (
    AlreadyOwnedError,
    HoldingLimitError,
    IdempotencyError,
    InvalidInputError,
    NotEnoughItemsError,
    ProductNotFoundError,
    UserNotFoundError,
)
from economy.api.graphql.inventory import InventoryItem


@strawberry.input(description="What to give to whom.")
class GrantItemInput:
    user_id: strawberry.ID = strawberry.field(description="Which user.")
    product_id: strawberry.ID = strawberry.field(description="Which product; on sale or not.")
    idempotency_key: str = strawberry.field(description=KEY)
    quantity: int = strawberry.field(
        description="How many, 1 to 1,000; 1 of a permanent product.", default=1
    )


@strawberry.input(description="What to take from whom.")
class RevokeItemInput:
    user_id: strawberry.ID = strawberry.field(description="Which user.")
    product_id: strawberry.ID = strawberry.field(description="Which product.")
    idempotency_key: str = strawberry.field(description=KEY)
    quantity: int = strawberry.field(description="How many, 1 to 1,000.", default=1)


@strawberry.type(description="The items were given.")
class GrantItemSuccess(Booking):
    item: InventoryItem = strawberry.field(description="What is held of the product now.")


@strawberry.type(description="The items were taken.")
class RevokeItemSuccess(Booking):
    item: InventoryItem = strawberry.field(description="What is left of the product.")


GrantItemResult = Annotated[
    GrantItemSuccess
    | UserNotFoundError
    | ProductNotFoundError
    | AlreadyOwnedError
    | HoldingLimitError
    | InvalidInputError
    | IdempotencyError,
    strawberry.union("GrantItemResult", description="What came of `grantItem`."),
]
RevokeItemResult = Annotated[
    RevokeItemSuccess
    | UserNotFoundError
    | ProductNotFoundError
    | NotEnoughItemsError
    | InvalidInputError
    | IdempotencyError,
    strawberry.union("RevokeItemResult", description="What came of `revokeItem`."),
]


@strawberry.type
class GrantMutation:
    @strawberry.mutation(
        description="Give items to a user, for no coins: a reward. Server key only."
    )
    async def grant_item(
        self,
        info: Info,
        input: Annotated[GrantItemInput, strawberry.argument(description="What to whom.")],  # noqa: A002
    ) -> GrantItemResult | None:
        call = partial(
            info.context.services.grants.grant,
            info.context.actor,
            user_id=input.user_id,
            product_id=input.product_id,
            quantity=input.quantity,
            idempotency_key=input.idempotency_key,
        )
        return await book(info, call, GrantItemSuccess, with_item=True)

    @strawberry.mutation(
        description="Take items from a user, permanent ones too, for no coins. Server key only."
    )
    async def revoke_item(
        self,
        info: Info,
        input: Annotated[RevokeItemInput, strawberry.argument(description="What from whom.")],  # noqa: A002
    ) -> RevokeItemResult | None:
        call = partial(
            info.context.services.grants.revoke,
            info.context.actor,
            user_id=input.user_id,
            product_id=input.product_id,
            quantity=input.quantity,
            idempotency_key=input.idempotency_key,
        )
        return await book(info, call, RevokeItemSuccess, with_item=True)
