"""What can go wrong, as data: a code, a message, what a caller can act on. Knows no transport."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar


class ErrorCode(StrEnum):
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    USER_NOT_FOUND = "USER_NOT_FOUND"
    PRODUCT_NOT_FOUND = "PRODUCT_NOT_FOUND"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    ALREADY_OWNED = "ALREADY_OWNED"
    ALREADY_TAKEN = "ALREADY_TAKEN"
    PRODUCT_UNAVAILABLE = "PRODUCT_UNAVAILABLE"
    HOLDING_LIMIT = "HOLDING_LIMIT"
    PRODUCT_NOT_CONSUMABLE = "PRODUCT_NOT_CONSUMABLE"
    NOT_ENOUGH_ITEMS = "NOT_ENOUGH_ITEMS"
    PRICE_CHANGED = "PRICE_CHANGED"
    BALANCE_LIMIT = "BALANCE_LIMIT"
    TRANSACTION_NOT_FOUND = "TRANSACTION_NOT_FOUND"
    NOT_REVERSIBLE = "NOT_REVERSIBLE"
    ALREADY_REVERSED = "ALREADY_REVERSED"
    PAYMENT_FAILED = "PAYMENT_FAILED"
    TOP_UP_EXPIRED = "TOP_UP_EXPIRED"
    TOP_UP_COMPLETED = "TOP_UP_COMPLETED"
    INVALID_INPUT = "INVALID_INPUT"
    IDEMPOTENCY_KEY_MISSING = "IDEMPOTENCY_KEY_MISSING"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    RATE_LIMITED = "RATE_LIMITED"
    CONFLICT = "CONFLICT"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(eq=False)
class EconomyError(Exception):
    """Every error that a caller may see. Leaves carry their data as fields.

    `text` is the message, for developers; it may name the fields in braces.
    """

    code: ClassVar[ErrorCode]
    text: ClassVar[str]
    retryable: ClassVar[bool] = False

    @property
    def message(self) -> str:
        return self.text.format_map(vars(self))

    def __str__(self) -> str:
        return self.message


@dataclass(eq=False)
class Decline(EconomyError):
    """A business "no": an outcome, stored in the journal and replayed under its key."""

    replayed: bool = field(default=False, kw_only=True)


# --- who asks ---------------------------------------------------------------------------


@dataclass(eq=False)
class Unauthenticated(EconomyError):
    code = ErrorCode.UNAUTHENTICATED
    reason: str = "This needs a credential: a player token or a server key."
    text = "{reason}"


@dataclass(eq=False)
class Forbidden(EconomyError):
    code = ErrorCode.FORBIDDEN
    reason: str = "This credential may not do that."
    text = "{reason}"


# --- what is asked ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """`path` names the field in snake_case, outermost first; a transport spells it its way."""

    path: tuple[str, ...]
    message: str


@dataclass(eq=False)
class InvalidInput(EconomyError):
    code = ErrorCode.INVALID_INPUT
    problems: tuple[FieldProblem, ...]

    @property
    def message(self) -> str:
        return " ".join(problem.message for problem in self.problems)


def invalid(field_name: str, message: str) -> InvalidInput:
    return InvalidInput((FieldProblem((field_name,), message),))


class IdempotencyKeyMissing(EconomyError):
    """The key is missing where it is required, or is not 1 to 255 visible ASCII characters."""

    code = ErrorCode.IDEMPOTENCY_KEY_MISSING
    text = "An idempotency key of 1 to 255 visible ASCII characters is needed."


@dataclass(eq=False)
class IdempotencyKeyReused(EconomyError):
    code = ErrorCode.IDEMPOTENCY_KEY_REUSED
    idempotency_key: str
    text = "This idempotency key was used before with other input."


@dataclass(eq=False)
class UserNotFound(EconomyError):
    code = ErrorCode.USER_NOT_FOUND
    user_id: str
    text = "There is no such user."


@dataclass(eq=False)
class ProductNotFound(EconomyError):
    code = ErrorCode.PRODUCT_NOT_FOUND
    product_id: str
    text = "There is no such product."


@dataclass(eq=False)
class TransactionNotFound(EconomyError):
    """The user has no such transaction, or it is not of the kind that was asked for."""

    code = ErrorCode.TRANSACTION_NOT_FOUND
    transaction_id: str
    text = "The user has no such transaction."


# --- declines ---------------------------------------------------------------------------


@dataclass(eq=False)
class InsufficientFunds(Decline):
    code = ErrorCode.INSUFFICIENT_FUNDS
    balance: int
    required: int
    text = "The balance is {balance}, this needs {required}."


@dataclass(eq=False)
class AlreadyOwned(Decline):
    code = ErrorCode.ALREADY_OWNED
    product_id: str
    text = "This product is permanent and already owned."


@dataclass(eq=False)
class AlreadyTaken(Decline):
    """A value that is unique across users is another's already: `fields` names which."""

    code = ErrorCode.ALREADY_TAKEN
    fields: tuple[str, ...]

    @property
    def message(self) -> str:
        return f"Already taken: {', '.join(self.fields)}."


@dataclass(eq=False)
class ProductUnavailable(Decline):
    code = ErrorCode.PRODUCT_UNAVAILABLE
    product_id: str
    text = "This product is not on sale."


@dataclass(eq=False)
class HoldingLimit(Decline):
    code = ErrorCode.HOLDING_LIMIT
    product_id: str
    held: int
    limit: int
    text = "{held} are held, the limit is {limit}."


@dataclass(eq=False)
class ProductNotConsumable(Decline):
    code = ErrorCode.PRODUCT_NOT_CONSUMABLE
    product_id: str
    text = "This product is permanent: it is owned, not used up."


@dataclass(eq=False)
class NotEnoughItems(Decline):
    code = ErrorCode.NOT_ENOUGH_ITEMS
    product_id: str
    held: int
    text = "Only {held} are held."


@dataclass(eq=False)
class PriceChanged(Decline):
    """`price` is what one costs now."""

    code = ErrorCode.PRICE_CHANGED
    price: int
    text = "The price is {price} now."


@dataclass(eq=False)
class BalanceLimit(Decline):
    code = ErrorCode.BALANCE_LIMIT
    balance: int
    limit: int
    text = "The balance is {balance}, the limit is {limit}."


@dataclass(eq=False)
class TransactionDecline(Decline):
    """What has become of an earlier transaction forbids it."""

    transaction_id: str  # of the earlier one


class NotReversible(TransactionDecline):
    code = ErrorCode.NOT_REVERSIBLE
    text = "This transaction is no completed purchase or top-up."


class AlreadyReversed(TransactionDecline):
    code = ErrorCode.ALREADY_REVERSED
    text = "This transaction was reversed before."


class PaymentFailed(TransactionDecline):
    """Too late to complete it: credit what was paid after all with a top-up of its own."""

    code = ErrorCode.PAYMENT_FAILED
    text = "This top-up had failed before. Nothing was credited."


class TopUpExpired(TransactionDecline):
    """Too late to complete it: credit what was paid after all with a top-up of its own."""

    code = ErrorCode.TOP_UP_EXPIRED
    text = "This top-up had expired before. Nothing was credited."


class TopUpCompleted(TransactionDecline):
    """Too late to fail it: reverse it instead."""

    code = ErrorCode.TOP_UP_COMPLETED
    text = "This top-up had been completed before. It was not undone."


# --- try again --------------------------------------------------------------------------


@dataclass(eq=False)
class RateLimited(EconomyError):
    """Nothing was done. `retry_after` is in whole seconds."""

    code = ErrorCode.RATE_LIMITED
    retryable = True
    retry_after: int
    limit: str
    quota: int
    window_seconds: int
    text = "No more than {quota} ({limit}) in {window_seconds} seconds: try again in {retry_after}."


class ConcurrencyConflict(EconomyError):
    """The database gave up on this one for another's sake (deadlock, serialisation, lock wait)."""

    code = ErrorCode.CONFLICT
    retryable = True
    text = "Others were changing the same rows. Nothing was changed: try again."


class LockNotGranted(ConcurrencyConflict):
    """Somebody else has held a row for too long."""


class Unavailable(EconomyError):
    """Overloaded or out of reach. Whether it happened is unknown only for an unkeyed operation."""

    code = ErrorCode.UNAVAILABLE
    retryable = True
    text = "The service cannot answer right now. Try again with the same idempotency key."


class ConnectionLost(Unavailable):
    """The database went away before COMMIT was sent: nothing was changed."""


class CommitOutcomeUnknown(Unavailable):
    """The database went away while COMMIT was under way: look before you answer."""
