"""The rules of what is about an earlier transaction: settlements of top-ups, and reversals."""

from typing import Any
from uuid import UUID

import pytest

from economy.errors import EconomyError, ErrorCode, TransactionNotFound
from economy.models.product import ProductRow
from economy.models.transaction import TransactionKind, TransactionRow, TransactionStatus
from economy.services.operations import IfSpent, Reversal, TopUpSettlement
from economy.services.rules import Position, Verdict, decide, is_settled_so

MOST_COINS = 2**53 - 1
TARGET = UUID(int=2)
ASKED: dict[str, Any] = {"user_id": 1, "actor": "server:1", "idempotency_key": "key"}
BOOST = ProductRow(7, "Boost", "", 100, "consumable", True)
PAID, FAILED, EXPIRED = None, ErrorCode.PAYMENT_FAILED, ErrorCode.TOP_UP_EXPIRED


def row(**changes: Any) -> TransactionRow:
    values: dict[str, Any] = dict.fromkeys(TransactionRow._fields)
    return TransactionRow(**(values | {"user_id": 1, "id": TARGET, "seq": 1} | changes))


def top_up(status: str = "completed", failure_code: str | None = None) -> TransactionRow:
    return row(kind="top_up", status=status, amount=250, failure_code=failure_code)


def purchase(quantity: int = 3, price: int = 100) -> TransactionRow:
    """At the price of then."""
    amount = quantity * price
    return row(kind="purchase", status="completed", product_id=7, quantity=quantity, amount=amount)


def settle(failure_code: ErrorCode | None) -> TopUpSettlement:
    return TopUpSettlement(**ASKED, target_id=TARGET, failure_code=failure_code)


def reverse(*, take: bool = False) -> Reversal:
    if_spent = IfSpent.TAKE_WHAT_IS_LEFT if take else IfSpent.REFUSE
    return Reversal(**ASKED, target_id=TARGET, if_spent=if_spent)


@pytest.mark.parametrize(
    ("end", "position", "verdict"),
    [
        (PAID, Position(5), Verdict(250, 255)),
        (PAID, Position(0, debt=249), Verdict(250, 1)),
        (PAID, Position(0, debt=251), Verdict(250, 0, debt_after=1)),
        (PAID, Position(MOST_COINS - 250), Verdict(250, MOST_COINS)),
        (
            PAID,
            Position(MOST_COINS - 249),
            Verdict(250, MOST_COINS - 249, None, ErrorCode.BALANCE_LIMIT),
        ),
        (FAILED, Position(5), Verdict(250, 5, None, FAILED)),
        (EXPIRED, Position(0, debt=7), Verdict(250, 0, None, EXPIRED, debt_after=7)),
        # what is not paid may be too much
        (FAILED, Position(MOST_COINS), Verdict(250, MOST_COINS, None, FAILED)),
    ],
)
def test_a_pending_top_up_comes_to_its_end(
    end: ErrorCode | None, position: Position, verdict: Verdict
) -> None:
    position = Position(position.balance, position.debt, target=top_up("pending"))
    assert not is_settled_so(settle(end), position)
    assert decide(settle(end), position) == verdict


COMPLETED = top_up()
WAS_FAILED, HAS_EXPIRED = top_up("failed", FAILED), top_up("failed", EXPIRED)
TOO_MUCH = top_up("failed", "BALANCE_LIMIT")


@pytest.mark.parametrize(
    ("target", "end", "answer"),
    [
        (COMPLETED, PAID, None),
        (COMPLETED, FAILED, ErrorCode.TOP_UP_COMPLETED),
        (COMPLETED, EXPIRED, None),
        (WAS_FAILED, PAID, FAILED),
        (WAS_FAILED, FAILED, None),
        (WAS_FAILED, EXPIRED, None),
        (HAS_EXPIRED, PAID, EXPIRED),
        (HAS_EXPIRED, FAILED, None),
        (HAS_EXPIRED, EXPIRED, None),
        (TOO_MUCH, PAID, ErrorCode.BALANCE_LIMIT),
        (TOO_MUCH, FAILED, None),
        (TOO_MUCH, EXPIRED, None),
    ],
)
def test_whoever_settles_first_decides(
    target: TransactionRow, end: ErrorCode | None, answer: ErrorCode | None
) -> None:
    """None: there is nothing left to do. Else it is too late, and nothing moves."""
    position = Position(5, target=target)
    assert is_settled_so(settle(end), position) == (answer is None)
    if answer is not None:
        assert decide(settle(end), position) == Verdict(250, 5, None, answer)


NO_TOP_UPS = [kind for kind in TransactionKind if kind is not TransactionKind.TOP_UP]


@pytest.mark.parametrize("kind", [None, *NO_TOP_UPS])
def test_only_a_top_up_is_settled(kind: TransactionKind | None) -> None:
    target = None if kind is None else row(kind=kind.value, status="completed", amount=5)
    for find in (decide, is_settled_so):
        with pytest.raises(TransactionNotFound) as caught:
            find(settle(PAID), Position(5, target=target))
        assert caught.value.transaction_id == str(TARGET)


@pytest.mark.parametrize(
    ("position", "verdict"),
    [
        (Position(250), Verdict(250, 0, shortfall=0)),
        (Position(1_000), Verdict(250, 750, shortfall=0)),
        (Position(249), Verdict(250, 249, None, ErrorCode.INSUFFICIENT_FUNDS)),
        (Position(0, debt=7), Verdict(250, 0, None, ErrorCode.INSUFFICIENT_FUNDS, debt_after=7)),
    ],
)
def test_a_top_up_is_reversed_or_refused(position: Position, verdict: Verdict) -> None:
    position = Position(position.balance, position.debt, target=COMPLETED)
    assert decide(reverse(), position) == verdict


@pytest.mark.parametrize(
    ("position", "verdict"),
    [
        (Position(250), Verdict(250, 0, shortfall=0)),
        (Position(249), Verdict(250, 0, debt_after=1, shortfall=1)),
        (Position(0), Verdict(250, 0, debt_after=250, shortfall=250)),
        (Position(0, debt=7), Verdict(250, 0, debt_after=257, shortfall=250)),
        (
            Position(0, debt=MOST_COINS - 250),
            Verdict(250, 0, debt_after=MOST_COINS, shortfall=250),
        ),
        (
            Position(0, debt=MOST_COINS - 249),
            Verdict(250, 0, None, ErrorCode.BALANCE_LIMIT, debt_after=MOST_COINS - 249),
        ),
    ],
)
def test_what_was_spent_of_a_top_up_becomes_a_debt(position: Position, verdict: Verdict) -> None:
    position = Position(position.balance, position.debt, target=COMPLETED)
    assert decide(reverse(take=True), position) == verdict


@pytest.mark.parametrize(
    ("take", "position", "verdict"),
    [
        # amount, balance, quantity held, code, debt, quantity moved, shortfall
        (False, Position(5, held=3), Verdict(300, 305, 0, None, 0, 3, 0)),
        (False, Position(5, held=10), Verdict(300, 305, 7, None, 0, 3, 0)),
        (False, Position(0, debt=299, held=3), Verdict(300, 1, 0, None, 0, 3, 0)),
        (False, Position(0, debt=301, held=3), Verdict(300, 0, 0, None, 1, 3, 0)),
        (False, Position(5, held=2), Verdict(300, 5, 2, ErrorCode.NOT_ENOUGH_ITEMS, 0, 3)),
        (False, Position(5, held=0), Verdict(300, 5, 0, ErrorCode.NOT_ENOUGH_ITEMS, 0, 3)),
        (True, Position(5, held=10), Verdict(300, 305, 7, None, 0, 3, 0)),
        (True, Position(5, held=2), Verdict(200, 205, 0, None, 0, 2, 100)),
        (True, Position(0, debt=300, held=2), Verdict(200, 0, 0, None, 100, 2, 100)),
        (True, Position(5, held=0), Verdict(0, 5, 0, None, 0, 0, 300)),
        (True, Position(0, debt=7, held=0), Verdict(0, 0, 0, None, 7, 0, 300)),
        (False, Position(MOST_COINS - 300, held=3), Verdict(300, MOST_COINS, 0, None, 0, 3, 0)),
        (
            False,
            Position(MOST_COINS - 299, held=3),
            Verdict(300, MOST_COINS - 299, 3, ErrorCode.BALANCE_LIMIT, 0, 3),
        ),
        # what is not refunded may be too much
        (True, Position(MOST_COINS - 100, held=1), Verdict(100, MOST_COINS, 0, None, 0, 1, 200)),
    ],
)
def test_a_purchase_is_reversed_as_far_as_it_is_there(
    take: bool, position: Position, verdict: Verdict
) -> None:
    for price in (100, 7):  # of today, which is of no account
        found = Position(
            position.balance,
            position.debt,
            product=BOOST._replace(price=price, is_active=price == 100),
            held=position.held,
            target=purchase(),
        )
        assert decide(reverse(take=take), found) == verdict


def test_what_was_free_is_reversed_for_nothing() -> None:
    found = Position(5, product=BOOST, held=3, target=purchase(price=0))
    assert decide(reverse(), found) == Verdict(0, 5, 0, quantity=3, shortfall=0)


@pytest.mark.parametrize("kind", TransactionKind)
@pytest.mark.parametrize("status", TransactionStatus)
def test_only_what_is_completed_and_bought_or_paid_is_reversible(
    kind: TransactionKind, status: TransactionStatus
) -> None:
    target = row(kind=kind.value, status=status.value, amount=30, quantity=3, product_id=7)
    verdict = decide(reverse(), Position(100, product=BOOST, held=4, target=target))
    is_reversible = kind in ("purchase", "top_up") and status == "completed"
    assert (verdict.failure_code is None) == is_reversible
    if not is_reversible:
        assert verdict == Verdict(30, 100, 4, ErrorCode.NOT_REVERSIBLE, quantity=3)


def first_answer(position: Position) -> ErrorCode | None:
    try:
        return decide(reverse(), position).failure_code
    except EconomyError as refusal:
        return refusal.code


def test_order_of_the_checks_of_a_reversal() -> None:
    """All is wrong; each step rights what was told."""
    balance, pending = MOST_COINS, top_up("pending")
    assert first_answer(Position(balance)) == "TRANSACTION_NOT_FOUND"
    assert first_answer(Position(balance, target=pending, is_target_reversed=True)) == (
        "NOT_REVERSIBLE"
    )
    assert first_answer(Position(balance, target=purchase(), is_target_reversed=True)) == (
        "ALREADY_REVERSED"
    )
    assert first_answer(Position(balance, target=purchase())) == "NOT_ENOUGH_ITEMS"
    assert first_answer(Position(balance, target=purchase(), held=3)) == "BALANCE_LIMIT"
    assert first_answer(Position(balance - 300, target=purchase(), held=3)) is None
