"""Crediting and debiting a user's balance."""

from functools import partial
from typing import Annotated

import strawberry

from economy.api.graphql.booking import KEY, Booking, book
from economy.api.graphql.context import Info
from economy.api.graphql.errors import (
    AlreadyTakenError,
    BalanceLimitError,
    IdempotencyError,
    InsufficientFundsError,
    InvalidInputError,
    UserNotFoundError,
)
from economy.api.graphql.scalars import Amount, given


@strawberry.input(description="Whom to credit, and how much.")
class AddFundsInput:
    user_id: strawberry.ID = strawberry.field(description="Which user.")
    amount: Amount = strawberry.field(
        description="More than 0, and at most what the service is configured to credit at once."
    )
    idempotency_key: str = strawberry.field(description=KEY)
    external_reference: str | None = strawberry.field(
        description="The payment's id elsewhere: it can be credited once only, for ever.",
        default=strawberry.UNSET,
    )


@strawberry.type(description="The user was credited.")
class AddFundsSuccess(Booking):
    pass


AddFundsResult = Annotated[
    AddFundsSuccess
    | UserNotFoundError
    | BalanceLimitError
    | AlreadyTakenError
    | InvalidInputError
    | IdempotencyError,
    strawberry.union("AddFundsResult", description="What came of `addFunds`."),
]


@strawberry.input(description="Whom to debit, and how much.")
class DebitFundsInput:
    user_id: strawberry.ID = strawberry.field(description="Which user.")
    amount: Amount = strawberry.field(description="More than 0.")
    idempotency_key: str = strawberry.field(description=KEY)


@strawberry.type(description="The user was debited.")
class DebitFundsSuccess(Booking):
    pass


DebitFundsResult = Annotated[
    DebitFundsSuccess
    | UserNotFoundError
    | InsufficientFundsError
    | InvalidInputError
    | IdempotencyError,
    strawberry.union("DebitFundsResult", description="What came of `debitFunds`."),
]


@strawberry.type
class WalletMutation:
    @strawberry.mutation(description="Credit coins to a user. Server key only.")
    async def add_funds(
        self,
        info: Info,
        input: Annotated[AddFundsInput, strawberry.argument(description="Whom and how much.")],  # noqa: A002
    ) -> AddFundsResult | None:
        call = partial(
            info.context.services.wallet.add_funds,
            info.context.actor,
            user_id=input.user_id,
            amount=input.amount,
            external_reference=given(input.external_reference),
            idempotency_key=input.idempotency_key,
        )
        return await book(info, call, AddFundsSuccess, with_item=False)

    @strawberry.mutation(
        description="Take coins from a user: a fee, a stake, a correction. Server key only."
    )
    async def debit_funds(
        self,
        info: Info,
        input: Annotated[DebitFundsInput, strawberry.argument(description="Whom and how much.")],  # noqa: A002
    ) -> DebitFundsResult | None:
        call = partial(
            info.context.services.wallet.debit_funds,
            info.context.actor,
            user_id=input.user_id,
            amount=input.amount,
            idempotency_key=input.idempotency_key,
        )
        return await book(info, call, DebitFundsSuccess, with_item=False)
