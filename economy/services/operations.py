"""What can be asked of an economy, and what came of it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, NamedTuple
from uuid import UUID

import orjson

from economy.errors import (
    AlreadyOwned,
    AlreadyReversed,
    AlreadyTaken,
    BalanceLimit,
    Decline,
    ErrorCode,
    HoldingLimit,
    InsufficientFunds,
    NotEnoughItems,
    NotReversible,
    PaymentFailed,
    PriceChanged,
    ProductNotConsumable,
    ProductUnavailable,
    TopUpCompleted,
    TopUpExpired,
)
from economy.models.inventory import HOLDING_LIMIT, InventoryRow
from economy.models.product import ProductRow
from economy.models.transaction import TransactionKind, TransactionRow, TransactionStatus
from economy.models.user import BALANCE_LIMIT, UserRow


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What every operation says: for whom, by whom, and the caller's name for it."""

    user_id: int
    actor: str
    idempotency_key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase(_Asked):
    kind: ClassVar[TransactionKind] = TransactionKind.PURCHASE
    product_id: int
    quantity: int
    expected_price: int | None  # of one, as the client showed it

    @property
    def input(self) -> tuple[object, ...]:
        return (self.user_id, self.product_id, self.quantity, self.expected_price)


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUp(_Asked):
    """Pending: the coins come when the payment does, which a TopUpSettlement will tell."""

    kind: ClassVar[TransactionKind] = TransactionKind.TOP_UP
    amount: int
    external_reference: str | None
    is_pending: bool = False

    @property
    def input(self) -> tuple[object, ...]:
        pending = ("pending",) if self.is_pending else ()
        return (self.user_id, self.amount, self.external_reference, *pending)


@dataclass(frozen=True, slots=True, kw_only=True)
class Debit(_Asked):
    kind: ClassVar[TransactionKind] = TransactionKind.DEBIT
    amount: int

    @property
    def input(self) -> tuple[object, ...]:
        return (self.user_id, self.amount)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Items(_Asked):
    product_id: int
    quantity: int

    @property
    def input(self) -> tuple[object, ...]:
        return (self.user_id, self.product_id, self.quantity)


class Use(_Items):
    kind: ClassVar[TransactionKind] = TransactionKind.USE


class Grant(_Items):
    kind: ClassVar[TransactionKind] = TransactionKind.GRANT


class Revocation(_Items):
    kind: ClassVar[TransactionKind] = TransactionKind.REVOCATION


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUpSettlement(_Asked):
    """What came of the payment of a pending top-up: `failure_code` None, and it is credited.

    Whoever settles it first decides. Its name is what it says, so it needs no key of the caller's.
    """

    kind: ClassVar[TransactionKind] = TransactionKind.TOP_UP_SETTLEMENT
    target_id: UUID
    failure_code: ErrorCode | None

    @property
    def input(self) -> tuple[object, ...]:
        return (self.user_id, str(self.target_id), self.failure_code)


class IfSpent(StrEnum):
    """What a reversal does when the coins or items that it takes back are gone already."""

    REFUSE = "refuse"
    TAKE_WHAT_IS_LEFT = "take_what_is_left"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reversal(_Asked):
    kind: ClassVar[TransactionKind] = TransactionKind.REVERSAL
    target_id: UUID
    if_spent: IfSpent

    @property
    def input(self) -> tuple[object, ...]:
        return (self.user_id, str(self.target_id), self.if_spent)


Operation = Purchase | TopUp | Debit | Use | Grant | Revocation | TopUpSettlement | Reversal
# tuples: a union would be built anew each time that something is looked at
_NAMES_PRODUCT = (Purchase, Use, Grant, Revocation)
_NAMES_TARGET = (TopUpSettlement, Reversal)
# Servers still have to put the books of a deleted user in order; nobody gives it anything new.
FOR_DELETED_USERS = (Debit, Revocation, TopUpSettlement, Reversal)


def request_hash(operation: Operation) -> bytes:
    """SHA-256 of the parsed input, the same for every transport; who asked is not part of it."""
    return hashlib.sha256(orjson.dumps([operation.kind, *operation.input])).digest()


def reference_of(operation: Operation) -> str | None:
    return operation.external_reference if isinstance(operation, TopUp) else None


def product_id_of(operation: Operation) -> int | None:
    """Of what names a product itself: a reversal's is that of its target."""
    return operation.product_id if isinstance(operation, _NAMES_PRODUCT) else None


def target_id_of(operation: Operation) -> UUID | None:
    return operation.target_id if isinstance(operation, _NAMES_TARGET) else None


class Booking(NamedTuple):
    """An operation that was done: its journal row, user and item as they were right after it, and
    the product as it is now. Of a top-up that was begun, row and user as they are now."""

    transaction: TransactionRow
    user: UserRow
    item: InventoryRow | None
    product: ProductRow | None
    replayed: bool


def coins_moved(row: TransactionRow) -> int:
    """To the user, or, below 0, from it. As the view `ledger_entry` says."""
    if row.status != TransactionStatus.COMPLETED:
        return 0
    is_of_purchase = row.kind == TransactionKind.REVERSAL and row.product_id is not None
    return row.amount if row.kind == TransactionKind.TOP_UP or is_of_purchase else -row.amount


# Every decline can be told again from the columns of its journal row.
_DECLINES: dict[ErrorCode, Callable[[TransactionRow], Decline]] = {
    ErrorCode.INSUFFICIENT_FUNDS: lambda row: InsufficientFunds(row.balance_after or 0, row.amount),
    ErrorCode.ALREADY_OWNED: lambda row: AlreadyOwned(str(row.product_id)),
    ErrorCode.ALREADY_TAKEN: lambda _: AlreadyTaken(("external_reference",)),
    ErrorCode.PRODUCT_UNAVAILABLE: lambda row: ProductUnavailable(str(row.product_id)),
    ErrorCode.HOLDING_LIMIT: lambda row: HoldingLimit(
        str(row.product_id), row.quantity_after or 0, HOLDING_LIMIT
    ),
    ErrorCode.PRODUCT_NOT_CONSUMABLE: lambda row: ProductNotConsumable(str(row.product_id)),
    ErrorCode.NOT_ENOUGH_ITEMS: lambda row: NotEnoughItems(
        str(row.product_id), row.quantity_after or 0
    ),
    ErrorCode.PRICE_CHANGED: lambda row: PriceChanged(row.amount // (row.quantity or 1)),
    ErrorCode.BALANCE_LIMIT: lambda row: BalanceLimit(row.balance_after or 0, BALANCE_LIMIT),
    ErrorCode.NOT_REVERSIBLE: lambda row: NotReversible(str(row.target_id)),
    ErrorCode.ALREADY_REVERSED: lambda row: AlreadyReversed(str(row.target_id)),
    ErrorCode.PAYMENT_FAILED: lambda row: PaymentFailed(str(row.target_id)),
    ErrorCode.TOP_UP_EXPIRED: lambda row: TopUpExpired(str(row.target_id)),
    ErrorCode.TOP_UP_COMPLETED: lambda row: TopUpCompleted(str(row.target_id)),
}


def decline_of(row: TransactionRow, *, replayed: bool) -> Decline:
    """The error that a failed journal row stands for: the first answer and each replay of it."""
    decline = _DECLINES[ErrorCode(row.failure_code or "")](row)
    decline.replayed = replayed
    return decline
