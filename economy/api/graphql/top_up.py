"""Top-ups that wait for their payment."""

from functools import partial
from typing import Annotated
from uuid import UUID

import strawberry

from economy.api.graphql.booking import KEY, Booking, book
from economy.api.graphql.context import Info
from economy.api.graphql.errors import (
    AlreadyTakenError,
    BalanceLimitError,
    IdempotencyError,
    InvalidInputError,
    PaymentFailedError,
    TopUpCompletedError,
    TopUpExpiredError,
    TransactionNotFoundError,
    UserNotFoundError,
)
from economy.api.graphql.scalars import Amount, given


@strawberry.input(description="Whom to credit once the payment is there, and how much.")
class BeginTopUpInput:
    user_id: strawberry.ID = strawberry.field(description="Which user.")
    amount: Amount = strawberry.field(
        description="More than 0, and at most what the service is configured to credit at once."
    )
    idempotency_key: str = strawberry.field(description=KEY)
    external_reference: str | None = strawberry.field(
        description="The payment's id elsewhere: one pending or completed top-up bears it, for "
        "ever.",
        default=strawberry.UNSET,
    )


@strawberry.input(description="Whose pending top-up.")
class SettleTopUpInput:
    user_id: strawberry.ID = strawberry.field(description="Which user.")
    transaction_id: UUID = strawberry.field(description="The top-up, as `beginTopUp` named it.")


@strawberry.type(
    description="The top-up waits for its payment. Of a repeated key, the top-up as it is now."
)
class BeginTopUpSuccess(Booking):
    pass


@strawberry.type(description="The coins are credited.")
class CompleteTopUpSuccess(Booking):
    pass


@strawberry.type(description="The top-up has failed; its external reference is free again.")
class FailTopUpSuccess(Booking):
    pass


BeginTopUpResult = Annotated[
    BeginTopUpSuccess
    | UserNotFoundError
    | BalanceLimitError
    | AlreadyTakenError
    | InvalidInputError
    | IdempotencyError,
    strawberry.union("BeginTopUpResult", description="What came of `beginTopUp`."),
]
CompleteTopUpResult = Annotated[
    CompleteTopUpSuccess
    | UserNotFoundError
    | TransactionNotFoundError
    | TopUpExpiredError
    | PaymentFailedError
    | BalanceLimitError
    | AlreadyTakenError,
    strawberry.union("CompleteTopUpResult", description="What came of `completeTopUp`."),
]
FailTopUpResult = Annotated[
    FailTopUpSuccess | UserNotFoundError | TransactionNotFoundError | TopUpCompletedError,
    strawberry.union("FailTopUpResult", description="What came of `failTopUp`."),
]


@strawberry.type
class TopUpMutation:
    @strawberry.mutation(
        description="Begin a top-up whose payment is under way: nothing is credited yet. Unless it "
        "is completed in time, it expires. Server key only."
    )
    async def begin_top_up(
        self,
        info: Info,
        input: Annotated[BeginTopUpInput, strawberry.argument(description="Whom and how much.")],  # noqa: A002
    ) -> BeginTopUpResult | None:
        call = partial(
            info.context.services.top_ups.begin,
            info.context.actor,
            user_id=input.user_id,
            amount=input.amount,
            external_reference=given(input.external_reference),
            idempotency_key=input.idempotency_key,
        )
        return await book(info, call, BeginTopUpSuccess, with_item=False)

    @strawberry.mutation(
        description="The payment is there: credit the coins, once. Server key only."
    )
    async def complete_top_up(
        self,
        info: Info,
        input: Annotated[SettleTopUpInput, strawberry.argument(description="Which top-up.")],  # noqa: A002
    ) -> CompleteTopUpResult | None:
        call = partial(
            info.context.services.top_ups.complete,
            info.context.actor,
            user_id=input.user_id,
            transaction_id=input.transaction_id,
        )
        return await book(info, call, CompleteTopUpSuccess, with_item=False)

    @strawberry.mutation(
        description="The payment will not come: nothing is credited. Server key only."
    )
    async def fail_top_up(
        self,
        info: Info,
        input: Annotated[SettleTopUpInput, strawberry.argument(description="Which top-up.")],  # noqa: A002
    ) -> FailTopUpResult | None:
        call = partial(
            info.context.services.top_ups.fail,
            info.context.actor,
            user_id=input.user_id,
            transaction_id=input.transaction_id,
        )
        return await book(info, call, FailTopUpSuccess, with_item=False)
