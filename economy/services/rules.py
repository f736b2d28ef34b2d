"""PURE decisions: what an operation does to a position. No I/O, no clock, no SQL.

The order of the checks is part of the contract: the first that fails is the answer.
"""

from typing import NamedTuple

from economy.errors import (
    ErrorCode,
    IdempotencyKeyReused,
    ProductNotFound,
    TransactionNotFound,
    invalid,
)
from economy.models.inventory import HOLDING_LIMIT
from economy.models.product import ProductRow, ProductType
from economy.models.transaction import TransactionKind, TransactionRow, TransactionStatus
from economy.models.user import BALANCE_LIMIT
from economy.services.operations import (
    Debit,
    Grant,
    IfSpent,
    Operation,
    Purchase,
    Reversal,
    Revocation,
    TopUp,
    TopUpSettlement,
    Use,
)


class Position(NamedTuple):
    """What a decision depends on, as it stands under the user's lock."""

    balance: int
    debt: int = 0  # above 0 only while the balance is 0
    product: ProductRow | None = None
    held: int = 0
    is_reference_taken: bool = False
    target: TransactionRow | None = None
    is_target_reversed: bool = False


class Verdict(NamedTuple):
    """What goes into the journal. A decline moves nothing; `amount` is then what was attempted."""

    amount: int
    balance_after: int
    quantity_after: int | None = None
    failure_code: ErrorCode | None = None
    debt_after: int = 0
    quantity: int | None = None
    shortfall: int | None = None  # of a reversal
    is_pending: bool = False  # nothing moves before it is settled


def decide(operation: Operation, position: Position) -> Verdict:
    """Raises what is never stored: ProductNotFound, TransactionNotFound, InvalidInput."""
    match operation:
        case Purchase():
            verdict = decide_purchase(operation, position)
        case TopUp():
            verdict = decide_top_up(operation, position)
        case TopUpSettlement():
            verdict = decide_settlement(operation, position)
        case Debit():
            verdict = decide_debit(operation, position)
        case Use():
            verdict = decide_use(operation, position)
        case Grant():
            verdict = decide_grant(operation, position)
        case Revocation():
            verdict = decide_revocation(operation, position)
        case Reversal():
            verdict = decide_reversal(operation, position)
    return verdict


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
        return _declined(position, failure_code, amount=amount, quantity=operation.quantity)
    return _moved(position, coins=-amount, quantity=operation.quantity, units=operation.quantity)


def decide_top_up(operation: TopUp, position: Position) -> Verdict:
    failure_code = None
    if position.is_reference_taken:
        failure_code = ErrorCode.ALREADY_TAKEN
    elif _is_too_much(position, operation.amount):
        failure_code = ErrorCode.BALANCE_LIMIT
    if failure_code is not None:
        return _declined(position, failure_code, amount=operation.amount)
    if operation.is_pending:
        return Verdict(
            operation.amount, position.balance, debt_after=position.debt, is_pending=True
        )
    return _moved(position, coins=operation.amount)


def decide_settlement(operation: TopUpSettlement, position: Position) -> Verdict:
    """Of a pending top-up: its own end. Of one that came to another end: that this is too late.

    A target that came to this end before is for the caller to tell: `is_settled_so`.
    """
    target = top_up_of(operation, position)
    failure_code = operation.failure_code
    if target.status != TransactionStatus.PENDING:
        failure_code = ErrorCode(target.failure_code or ErrorCode.TOP_UP_COMPLETED)
    elif failure_code is None and _is_too_much(position, target.amount):
        failure_code = ErrorCode.BALANCE_LIMIT
    if failure_code is not None:
        return _declined(position, failure_code, amount=target.amount)
    return _moved(position, coins=target.amount)


def is_settled_so(operation: TopUpSettlement, position: Position) -> bool:
    """Whether there is nothing left to do, as whoever was first said the same. Expiry yields."""
    target = top_up_of(operation, position)
    if operation.failure_code is None:
        return target.status == TransactionStatus.COMPLETED
    is_settled = target.status != TransactionStatus.PENDING
    is_expiry = operation.failure_code == ErrorCode.TOP_UP_EXPIRED
    return is_settled and (is_expiry or target.status == TransactionStatus.FAILED)


def top_up_of(operation: TopUpSettlement, position: Position) -> TransactionRow:
    """The target. Raises TransactionNotFound."""
    target = position.target
    if target is None or target.kind != TransactionKind.TOP_UP:
        raise TransactionNotFound(str(operation.target_id))
    return target


def decide_debit(operation: Debit, position: Position) -> Verdict:
    if position.balance < operation.amount:
        return _declined(position, ErrorCode.INSUFFICIENT_FUNDS, amount=operation.amount)
    return _moved(position, coins=-operation.amount)


def decide_use(operation: Use, position: Position) -> Verdict:
    product = _existing(position.product, operation.product_id)
    if product.type != ProductType.CONSUMABLE:
        return _declined(position, ErrorCode.PRODUCT_NOT_CONSUMABLE, quantity=operation.quantity)
    return _taken_away(operation.quantity, position)


def decide_grant(operation: Grant, position: Position) -> Verdict:
    """A product that is not on sale can be granted: rewards often are not."""
    product = _existing(position.product, operation.product_id)
    is_permanent = product.type == ProductType.PERMANENT
    if is_permanent and operation.quantity != 1:
        raise invalid("quantity", "A permanent product is granted one at a time.")
    failure_code = None
    if is_permanent and position.held > 0:
        failure_code = ErrorCode.ALREADY_OWNED
    elif position.held + operation.quantity > HOLDING_LIMIT:
        failure_code = ErrorCode.HOLDING_LIMIT
    if failure_code is not None:
        return _declined(position, failure_code, quantity=operation.quantity)
    return _moved(position, quantity=operation.quantity, units=operation.quantity)


def decide_revocation(operation: Revocation, position: Position) -> Verdict:
    _existing(position.product, operation.product_id)
    return _taken_away(operation.quantity, position)


def decide_reversal(operation: Reversal, position: Position) -> Verdict:
    target = position.target
    if target is None:
        raise TransactionNotFound(str(operation.target_id))
    failure_code = None
    is_of_kind = target.kind in (TransactionKind.PURCHASE, TransactionKind.TOP_UP)
    if not is_of_kind or target.status != TransactionStatus.COMPLETED:
        failure_code = ErrorCode.NOT_REVERSIBLE
    elif position.is_target_reversed:
        failure_code = ErrorCode.ALREADY_REVERSED
    if failure_code is not None:
        return _declined(position, failure_code, amount=target.amount, quantity=target.quantity)
    if target.kind == TransactionKind.TOP_UP:
        return _top_up_reversed(operation, target, position)
    return _purchase_reversed(operation, target, position)


def _top_up_reversed(operation: Reversal, target: TransactionRow, position: Position) -> Verdict:
    """What is spent of it becomes a debt."""
    shortfall = max(target.amount - position.balance, 0)
    failure_code = None
    if shortfall > 0 and operation.if_spent == IfSpent.REFUSE:
        failure_code = ErrorCode.INSUFFICIENT_FUNDS
    elif position.debt + shortfall > BALANCE_LIMIT:
        failure_code = ErrorCode.BALANCE_LIMIT
    if failure_code is not None:
        return _declined(position, failure_code, amount=target.amount)
    return _moved(position, coins=-target.amount, shortfall=shortfall)


def _purchase_reversed(operation: Reversal, target: TransactionRow, position: Position) -> Verdict:
    """What is used up of it is not paid back: that part of the refund repays what it is worth."""
    quantity = target.quantity or 0
    taken = min(position.held, quantity)
    refund = target.amount // quantity * taken
    failure_code = None
    if taken < quantity and operation.if_spent == IfSpent.REFUSE:
        failure_code = ErrorCode.NOT_ENOUGH_ITEMS
    elif _is_too_much(position, refund):
        failure_code = ErrorCode.BALANCE_LIMIT
    if failure_code is not None:
        return _declined(position, failure_code, amount=target.amount, quantity=quantity)
    return _moved(
        position, coins=refund, quantity=taken, units=-taken, shortfall=target.amount - refund
    )


def check_replay(request_hash: bytes, earlier: TransactionRow) -> None:
    """The same key asks for the same thing, or it is refused: IdempotencyKeyReused."""
    if earlier.request_hash != request_hash:
        raise IdempotencyKeyReused(earlier.idempotency_key or "")


def _existing(product: ProductRow | None, product_id: int) -> ProductRow:
    if product is None:
        raise ProductNotFound(str(product_id))
    return product


def _taken_away(quantity: int, position: Position) -> Verdict:
    if position.held < quantity:
        return _declined(position, ErrorCode.NOT_ENOUGH_ITEMS, quantity=quantity)
    return _moved(position, quantity=quantity, units=-quantity)


def _is_too_much(position: Position, credit: int) -> bool:
    return position.balance - position.debt + credit > BALANCE_LIMIT


def _declined(
    position: Position, failure_code: ErrorCode, *, amount: int = 0, quantity: int | None = None
) -> Verdict:
    return Verdict(
        amount=amount,
        balance_after=position.balance,
        quantity_after=None if quantity is None else position.held,
        failure_code=failure_code,
        debt_after=position.debt,
        quantity=quantity,
    )


def _moved(
    position: Position,
    *,
    coins: int = 0,
    quantity: int | None = None,
    units: int = 0,
    shortfall: int | None = None,
) -> Verdict:
    """Coins and units move by so much, with sign; a debt is repaid before the balance grows."""
    worth = position.balance - position.debt + coins
    return Verdict(
        amount=abs(coins),
        balance_after=max(worth, 0),
        quantity_after=None if quantity is None else position.held + units,
        debt_after=max(-worth, 0),
        quantity=quantity,
        shortfall=shortfall,
    )
