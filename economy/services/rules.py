"""PURE decisions: what an operation does to a position. No I/O, no clock, no SQL.

The order of the checks is part of the contract: the first that fails is the answer.
"""

from dataclasses import dataclass

from economy.errors import (
    ErrorCode,
    IdempotencyKeyReused,
    ProductNotFound,
    invalid,
)
from economy.models.inventory import HOLDING_LIMIT
from economy.models.product import ProductRow, ProductType
from economy.models.transaction import TransactionRow
from economy.models.user import BALANCE_LIMIT
from economy.services.operations import Operation, Purchase, TopUp, Use


@dataclass(frozen=True, slots=True)
class Position:
    """What a decision depends on, as it stands under the user's lock."""

    balance: int
    product: ProductRow | None = None
    held: int = 0
    is_reference_taken: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What goes into the journal. A decline moves nothing; `amount` is then what was attempted."""

    amount: int
    balance_after: int
    quantity_after: int | None
    failure_code: ErrorCode | None = None


def decide(operation: Operation, position: Position) -> Verdict:
    """Raises what is never stored: ProductNotFound, InvalidInput."""
    match operation:
        case Purchase():
            return decide_purchase(operation, position)
        case TopUp():
            return decide_top_up(operation, position)
        case Use():
            return decide_use(operation, position)


def decide_purchase(operation: Purchase, position: Position) -> Verdict:
    product = _existing(position.product, operation.product_id)
    is_permanent = product.type == ProductType.PERMANENT
    if is_permanent and operation.quantity != 1:
        raise invalid("quantity", "A permanent product is bought one at a time.")
    amount = product.price * operation.quantity
    failure_code = None
    if not product.is_active:
        failure_code = ErrorCode.PRODUCT_UNAVAILABLE
    elif is_permanent and position.held > 0:
        failure_code = ErrorCode.ALREADY_OWNED
    elif operation.expected_price not in (None, product.price):
        failure_code = ErrorCode.PRICE_CHANGED
    elif position.held + operation.quantity > HOLDING_LIMIT:
        failure_code = ErrorCode.HOLDING_LIMIT
    elif position.balance < amount:
        failure_code = ErrorCode.INSUFFICIENT_FUNDS
    if failure_code is not None:
        return Verdict(amount, position.balance, position.held, failure_code)
    return Verdict(amount, position.balance - amount, position.held + operation.quantity)


def decide_top_up(operation: TopUp, position: Position) -> Verdict:
    failure_code = None
    if position.is_reference_taken:
        failure_code = ErrorCode.ALREADY_TAKEN
    elif position.balance + operation.amount > BALANCE_LIMIT:
        failure_code = ErrorCode.BALANCE_LIMIT
    if failure_code is not None:
        return Verdict(operation.amount, position.balance, None, failure_code)
    return Verdict(operation.amount, position.balance + operation.amount, None)


def decide_use(operation: Use, position: Position) -> Verdict:
    product = _existing(position.product, operation.product_id)
    failure_code = None
    if product.type != ProductType.CONSUMABLE:
        failure_code = ErrorCode.PRODUCT_NOT_CONSUMABLE
    elif position.held < operation.quantity:
        failure_code = ErrorCode.NOT_ENOUGH_ITEMS
    if failure_code is not None:
        return Verdict(0, position.balance, position.held, failure_code)
    return Verdict(0, position.balance, position.held - operation.quantity)


def check_replay(request_hash: bytes, earlier: TransactionRow) -> None:
    """The same key asks for the same thing, or it is refused: IdempotencyKeyReused."""
    if earlier.request_hash != request_hash:
        raise IdempotencyKeyReused(earlier.idempotency_key or "")


def _existing(product: ProductRow | None, product_id: int) -> ProductRow:
    if product is None:
        raise ProductNotFound(str(product_id))
    return product
