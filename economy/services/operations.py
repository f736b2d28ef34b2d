"""What can be asked of an economy, and what came of it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import orjson

from economy.errors import (
    AlreadyOwned,
    AlreadyTaken,
    BalanceLimit,
    Decline,
    ErrorCode,
    HoldingLimit,
    InsufficientFunds,
    NotEnoughItems,
    PriceChanged,
    ProductNotConsumable,
    ProductUnavailable,
)
from economy.models.inventory import HOLDING_LIMIT, InventoryRow
from economy.models.product import ProductRow
from economy.models.transaction import TransactionKind, TransactionRow
from economy.models.user import BALANCE_LIMIT, UserRow


@dataclass(frozen=True, slots=True)
class Purchase:
    kind: ClassVar[TransactionKind] = TransactionKind.PURCHASE
    user_id: int
    product_id: int
    quantity: int
    expected_price: int | None  # of one, as the client showed it
    actor: str
    idempotency_key: str | None

    @property
    def input(self) -> tuple[object, ...]:
        return (self.user_id, self.product_id, self.quantity, self.expected_price)


@dataclass(frozen=True, slots=True)
class TopUp:
    kind: ClassVar[TransactionKind] = TransactionKind.TOP_UP
    user_id: int
    amount: int
    external_reference: str | None
    actor: str
    idempotency_key: str | None

    @property
    def input(self) -> tuple[object, ...]:
        return (self.user_id, self.amount, self.external_reference)


@dataclass(frozen=True, slots=True)
class Use:
    kind: ClassVar[TransactionKind] = TransactionKind.USE
    user_id: int
    product_id: int
    quantity: int
    actor: str
    idempotency_key: str | None

    @property
    def input(self) -> tuple[object, ...]:
        return (self.user_id, self.product_id, self.quantity)


Operation = Purchase | TopUp | Use


def request_hash(operation: Operation) -> bytes:
    """SHA-256 of the parsed input, the same for every transport; who asked is not part of it."""
    return hashlib.sha256(orjson.dumps([operation.kind, *operation.input])).digest()


def reference_of(operation: Operation) -> str | None:
    return operation.external_reference if isinstance(operation, TopUp) else None


def product_id_of(operation: Operation) -> int | None:
    return None if isinstance(operation, TopUp) else operation.product_id


def quantity_of(operation: Operation) -> int | None:
    return None if isinstance(operation, TopUp) else operation.quantity


class Booking(NamedTuple):
    """A completed operation: its journal row, user and item as they were right after it, and the
    product as it is now."""

    transaction: TransactionRow
    user: UserRow
    item: InventoryRow | None
    product: ProductRow | None
    replayed: bool


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
}


def decline_of(row: TransactionRow, *, replayed: bool) -> Decline:
    """The error that a failed journal row stands for: the first answer and each replay of it."""
    decline = _DECLINES[ErrorCode(row.failure_code or "")](row)
    decline.replayed = replayed
    return decline
