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
    INVALID_INPUT = "INVALID_INPUT"
    IDEMPOTENCY_KEY_MISSING = "IDEMPOTENCY_KEY_MISSING"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    RATE_LIMITED = "RATE_LIMITED"
    CONFLICT = "CONFLICT"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(eq=False)
class EconomyError(Exception):
    """Every error that a caller may see. Leaves carry their data as fields."""

    code: ClassVar[ErrorCode]
    retryable: ClassVar[bool] = False

    @property
    def message(self) -> str:
        raise NotImplementedError

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

    @property
    def message(self) -> str:
        return self.reason


@dataclass(eq=False)
class Forbidden(EconomyError):
    code = ErrorCode.FORBIDDEN
    reason: str = "This credential may not do that."

    @property
    def message(self) -> str:
        return self.reason


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


@dataclass(eq=False)
class IdempotencyKeyMissing(EconomyError):
    """The key is missing where it is required, or is not 1 to 255 visible ASCII characters."""

    code = ErrorCode.IDEMPOTENCY_KEY_MISSING

    @property
    def message(self) -> str:
        return "An idempotency key of 1 to 255 visible ASCII characters is needed."


@dataclass(eq=False)
class IdempotencyKeyReused(EconomyError):
    code = ErrorCode.IDEMPOTENCY_KEY_REUSED
    idempotency_key: str

    @property
    def message(self) -> str:
        return "This idempotency key was used before with other input."


@dataclass(eq=False)
class UserNotFound(EconomyError):
    code = ErrorCode.USER_NOT_FOUND
    user_id: str

    @property
    def message(self) -> str:
        return "There is no such user."


@dataclass(eq=False)
class ProductNotFound(EconomyError):
    code = ErrorCode.PRODUCT_NOT_FOUND
    product_id: str

    @property
    def message(self) -> str:
        return "There is no such product."


# --- declines ---------------------------------------------------------------------------


@dataclass(eq=False)
class InsufficientFunds(Decline):
    code = ErrorCode.INSUFFICIENT_FUNDS
    balance: int
    required: int

    @property
    def message(self) -> str:
        return f"The balance is {self.balance}, this needs {self.required}."


@dataclass(eq=False)
class AlreadyOwned(Decline):
    code = ErrorCode.ALREADY_OWNED
    product_id: str

    @property
    def message(self) -> str:
        return "This product is permanent and already owned."


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

    @property
    def message(self) -> str:
        return "This product is not on sale."


@dataclass(eq=False)
class HoldingLimit(Decline):
    code = ErrorCode.HOLDING_LIMIT
    product_id: str
    held: int
    limit: int

    @property
    def message(self) -> str:
        return f"{self.held} are held, the limit is {self.limit}."


@dataclass(eq=False)
class ProductNotConsumable(Decline):
    code = ErrorCode.PRODUCT_NOT_CONSUMABLE
    product_id: str

    @property
    def message(self) -> str:
        return "This product is permanent: it is owned, not used up."


@dataclass(eq=False)
class NotEnoughItems(Decline):
    code = ErrorCode.NOT_ENOUGH_ITEMS
    product_id: str
    held: int

    @property
    def message(self) -> str:
        return f"Only {self.held} are held."


@dataclass(eq=False)
class PriceChanged(Decline):
    """`price` is what one costs now."""

    code = ErrorCode.PRICE_CHANGED
    price: int

    @property
    def message(self) -> str:
        return f"The price is {self.price} now."


@dataclass(eq=False)
class BalanceLimit(Decline):
    code = ErrorCode.BALANCE_LIMIT
    balance: int
    limit: int

    @property
    def message(self) -> str:
        return f"The balance is {self.balance}, the limit is {self.limit}."


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

    @property
    def message(self) -> str:
        return (
            f"No more than {self.quota} ({self.limit}) in {self.window_seconds} seconds: "
            f"try again in {self.retry_after}."
        )


@dataclass(eq=False)
class ConcurrencyConflict(EconomyError):
    """The database gave up on this one for another's sake (deadlock, serialisation, lock wait)."""

    code = ErrorCode.CONFLICT
    retryable = True

    @property
    def message(self) -> str:
        return "Others were changing the same rows. Nothing was changed: try again."


@dataclass(eq=False)
class Unavailable(EconomyError):
    """Overloaded or out of reach. Whether it happened is unknown only for an unkeyed operation."""

    code = ErrorCode.UNAVAILABLE
    retryable = True

    @property
    def message(self) -> str:
        return "The service cannot answer right now. Try again with the same idempotency key."


@dataclass(eq=False)
class ConnectionLost(Unavailable):
    """The database went away before COMMIT was sent: nothing was changed."""


@dataclass(eq=False)
class CommitOutcomeUnknown(Unavailable):
    """The database went away while COMMIT was under way: look before you answer."""
