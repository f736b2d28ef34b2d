"""Our errors as union members: what a player can act on. The rest becomes a top-level error."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import strawberry
from strawberry.utils.str_converters import to_camel_case

from economy import errors
from economy.api.graphql.scalars import Amount, ErrorCode


@strawberry.interface(name="EconomyError", description="Why an operation was refused.")
class EconomyErrorInterface:
    code: ErrorCode = strawberry.field(description="The same code as over REST.")
    message: str = strawberry.field(description="For developers, in English.")
    retryable: bool = strawberry.field(
        description="Whether the same request may succeed when it is sent again."
    )


@strawberry.type(description="The balance does not cover the price.")
class InsufficientFundsError(EconomyErrorInterface):
    balance: Amount = strawberry.field(description="The balance at that moment.")
    required: Amount = strawberry.field(description="What the purchase costs.")


@strawberry.type(description="The product is permanent and owned already.")
class AlreadyOwnedError(EconomyErrorInterface):
    product_id: strawberry.ID = strawberry.field(description="Which product.")


@strawberry.type(description="The price is not the expected one any more.")
class PriceChangedError(EconomyErrorInterface):
    price: Amount = strawberry.field(description="What one costs now.")


@strawberry.type(description="There is no such product.")
class ProductNotFoundError(EconomyErrorInterface):
    product_id: strawberry.ID = strawberry.field(description="The id that was asked for.")


@strawberry.type(description="The product is not on sale.")
class ProductUnavailableError(EconomyErrorInterface):
    product_id: strawberry.ID = strawberry.field(description="Which product.")


@strawberry.type(description="A permanent product cannot be used up.")
class ProductNotConsumableError(EconomyErrorInterface):
    product_id: strawberry.ID = strawberry.field(description="Which product.")


@strawberry.type(description="Fewer items are held than were to be used.")
class NotEnoughItemsError(EconomyErrorInterface):
    product_id: strawberry.ID = strawberry.field(description="Which product.")
    held: int = strawberry.field(description="How many are held.")


@strawberry.type(description="There is no such user.")
class UserNotFoundError(EconomyErrorInterface):
    user_id: strawberry.ID = strawberry.field(description="The id that was asked for.")


@strawberry.type(description="The balance would be more than a user may hold.")
class BalanceLimitError(EconomyErrorInterface):
    balance: Amount = strawberry.field(description="The balance at that moment.")
    limit: Amount = strawberry.field(description="The most that a user may hold.")


@strawberry.type(description="More of one product than a user may hold.")
class HoldingLimitError(EconomyErrorInterface):
    product_id: strawberry.ID = strawberry.field(description="Which product.")
    held: int = strawberry.field(description="How many are held.")
    limit: int = strawberry.field(description="The most that a user may hold.")


@strawberry.type(description="A value that must be unique is another's already.")
class AlreadyTakenError(EconomyErrorInterface):
    field: list[str] = strawberry.field(description="The names of the input fields.")


@strawberry.type(description="The input is outside of its documented bounds.")
class InvalidInputError(EconomyErrorInterface):
    field: list[str] = strawberry.field(description="The path of the first wrong input field.")


@strawberry.type(description="The user has no such transaction.")
class TransactionNotFoundError(EconomyErrorInterface):
    transaction_id: UUID = strawberry.field(description="The id that was asked for.")


@strawberry.type(description="Only completed purchases and top-ups can be reversed.")
class NotReversibleError(EconomyErrorInterface):
    transaction_id: UUID = strawberry.field(description="Which transaction.")


@strawberry.type(description="The transaction was reversed before.")
class AlreadyReversedError(EconomyErrorInterface):
    transaction_id: UUID = strawberry.field(description="Which transaction.")


@strawberry.type(
    description="Too late: the top-up had failed before. Credit what was paid after all with "
    "`addFunds`."
)
class PaymentFailedError(EconomyErrorInterface):
    transaction_id: UUID = strawberry.field(description="The top-up.")


@strawberry.type(
    description="Too late: the top-up had expired before. Credit what was paid after all with "
    "`addFunds`."
)
class TopUpExpiredError(EconomyErrorInterface):
    transaction_id: UUID = strawberry.field(description="The top-up.")


@strawberry.type(description="Too late: the top-up had been completed before. Reverse it instead.")
class TopUpCompletedError(EconomyErrorInterface):
    transaction_id: UUID = strawberry.field(description="The top-up.")


@strawberry.type(description="The idempotency key was used before with other input.")
class IdempotencyError(EconomyErrorInterface):
    idempotency_key: str = strawberry.field(description="The key.")


def _fields_of(error: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(error, name) for name in names}


def _transaction_id(error: Any) -> dict[str, Any]:
    return _fields_of(error, "transaction_id")


def _camel(names: tuple[str, ...]) -> list[str]:
    return [to_camel_case(name) for name in names]


# Each leaf of EconomyError that a player can act on -> the member and its own fields.
MEMBERS: dict[type[errors.EconomyError], tuple[type, Callable[[Any], dict[str, Any]]]] = {
    errors.InsufficientFunds: (
        InsufficientFundsError,
        lambda error: _fields_of(error, "balance", "required"),
    ),
    errors.AlreadyOwned: (AlreadyOwnedError, lambda error: _fields_of(error, "product_id")),
    errors.PriceChanged: (PriceChangedError, lambda error: _fields_of(error, "price")),
    errors.ProductNotFound: (ProductNotFoundError, lambda error: _fields_of(error, "product_id")),
    errors.ProductUnavailable: (
        ProductUnavailableError,
        lambda error: _fields_of(error, "product_id"),
    ),
    errors.ProductNotConsumable: (
        ProductNotConsumableError,
        lambda error: _fields_of(error, "product_id"),
    ),
    errors.NotEnoughItems: (
        NotEnoughItemsError,
        lambda error: _fields_of(error, "product_id", "held"),
    ),
    errors.UserNotFound: (UserNotFoundError, lambda error: _fields_of(error, "user_id")),
    errors.BalanceLimit: (BalanceLimitError, lambda error: _fields_of(error, "balance", "limit")),
    errors.HoldingLimit: (
        HoldingLimitError,
        lambda error: _fields_of(error, "product_id", "held", "limit"),
    ),
    errors.AlreadyTaken: (AlreadyTakenError, lambda error: {"field": _camel(error.fields)}),
    errors.InvalidInput: (
        InvalidInputError,
        lambda error: {"field": _camel(error.problems[0].path)},
    ),
    errors.IdempotencyKeyReused: (
        IdempotencyError,
        lambda error: _fields_of(error, "idempotency_key"),
    ),
    errors.TransactionNotFound: (TransactionNotFoundError, _transaction_id),
    errors.NotReversible: (NotReversibleError, _transaction_id),
    errors.AlreadyReversed: (AlreadyReversedError, _transaction_id),
    errors.PaymentFailed: (PaymentFailedError, _transaction_id),
    errors.TopUpExpired: (TopUpExpiredError, _transaction_id),
    errors.TopUpCompleted: (TopUpCompletedError, _transaction_id),
    # GraphQL requires a key by type: a key of the wrong form is input like any other
    errors.IdempotencyKeyMissing: (InvalidInputError, lambda _: {"field": ["idempotencyKey"]}),
}

# What nobody can act on within the document -> `extensions.code` of a top-level error.
TOP_LEVEL: tuple[type[errors.EconomyError], ...] = (
    errors.Unauthenticated,
    errors.Forbidden,
    errors.RateLimited,
    errors.ConcurrencyConflict,
    errors.LockNotGranted,
    errors.Unavailable,
    errors.ConnectionLost,
    errors.CommitOutcomeUnknown,
)


def member_of(error: errors.EconomyError) -> Any:
    """The union member that stands for the error. Raises the error where it has none."""
    if type(error) not in MEMBERS:
        raise error
    member, own_fields = MEMBERS[type(error)]
    code = ErrorCode.INVALID_INPUT if member is InvalidInputError else ErrorCode(error.code.value)
    return member(code=code, message=error.message, retryable=error.retryable, **own_fields(error))


def extensions_of(error: errors.EconomyError) -> dict[str, Any]:
    """What a top-level error tells besides its message."""
    extensions: dict[str, Any] = {"code": error.code.value, "retryable": error.retryable}
    if isinstance(error, errors.InvalidInput):
        extensions["field"] = _camel(error.problems[0].path)
    if isinstance(error, errors.RateLimited):
        extensions["retryAfter"] = error.retry_after
    return extensions
