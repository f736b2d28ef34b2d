"""Undoing a purchase or a top-up."""

from enum import Enum
from functools import partial
from typing import Annotated
from uuid import UUID

import strawberry

from economy.api.graphql.booking import KEY, Booking, book
from economy.api.graphql.context import Info
from economy.api.graphql.errors import (
    AlreadyReversedError,
    BalanceLimitError,
    IdempotencyError,
    InsufficientFundsError,
    InvalidInputError,
    NotEnoughItemsError,
    NotReversibleError,
    TransactionNotFoundError,
    UserNotFoundError,
)
from economy.api.graphql.inventory import InventoryItem
from economy.services import operations


@strawberry.enum(description="What to do when the coins or items are gone already.")
class IfSpent(Enum):
    REFUSE = strawberry.enum_value("refuse", description="Nothing.")
    TAKE_WHAT_IS_LEFT = strawberry.enum_value(
        "take_what_is_left",
        description="Of a top-up, take what is left and make the rest a debt, which later credits "
        "repay first. Of a purchase, take the items that are left and refund those.",
    )


@strawberry.input(description="What to undo.")
class ReverseTransactionInput:
    user_id: strawberry.ID = strawberry.field(description="Whose transaction.")
    transaction_id: UUID = strawberry.field(description="A completed purchase or top-up.")
    idempotency_key: str = strawberry.field(description=KEY)
    if_spent: IfSpent = strawberry.field(
        description="What to do when the coins or items are gone already.",
        default=IfSpent.REFUSE,
    )


@strawberry.type(description="The transaction is undone, by a transaction of its own.")
class ReverseTransactionSuccess(Booking):
    item: InventoryItem | None = strawberry.field(
        description="What is left of the product; null for a top-up."
    )


ReverseTransactionResult = Annotated[
    ReverseTransactionSuccess
    | UserNotFoundError
    | TransactionNotFoundError
    | NotReversibleError
    | AlreadyReversedError
    | InsufficientFundsError
    | NotEnoughItemsError
    | BalanceLimitError
    | InvalidInputError
    | IdempotencyError,
    strawberry.union("ReverseTransactionResult", description="What came of `reverseTransaction`."),
]


@strawberry.type
class ReversalMutation:
    @strawberry.mutation(
        description="Undo a purchase (coins back, items taken) or a top-up (coins taken), at most "
        "once. Server key only."
    )
    async def reverse_transaction(
        self,
        info: Info,
        input: Annotated[ReverseTransactionInput, strawberry.argument(description="What.")],  # noqa: A002
    ) -> ReverseTransactionResult | None:
        call = partial(
            info.context.services.reversals.reverse,
            info.context.actor,
            user_id=input.user_id,
            transaction_id=input.transaction_id,
            if_spent=operations.IfSpent[input.if_spent.name],
            idempotency_key=input.idempotency_key,
        )
        return await book(info, call, ReverseTransactionSuccess, with_item=True)
