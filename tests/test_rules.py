"""The rules, without a database: every decline, every boundary, the order of the checks."""

from typing import Any

import pytest

from economy.errors import EconomyError, ErrorCode, InvalidInput, ProductNotFound
from economy.models.product import ProductRow
from economy.services.operations import Debit, Grant, Operation, Purchase, Revocation, TopUp, Use
from economy.services.rules import Position, Verdict, decide

MOST_COINS = 2**53 - 1
MOST_HELD = 10**9
BOOST = ProductRow(7, "Boost", "", 100, "consumable", True)
PREMIUM = BOOST._replace(id=8, name="Premium", price=500, type="permanent")


ASKED: dict[str, Any] = {"user_id": 1, "actor": "server:1", "idempotency_key": "key"}


def buy(quantity: int = 1, expected_price: int | None = None) -> Purchase:
    return Purchase(**ASKED, product_id=7, quantity=quantity, expected_price=expected_price)


def top_up(amount: int, **changes: Any) -> TopUp:
    return TopUp(**ASKED, amount=amount, external_reference="order-1", **changes)


def use(quantity: int = 1) -> Use:
    return Use(**ASKED, product_id=7, quantity=quantity)


def grant(quantity: int = 1) -> Grant:
    return Grant(**ASKED, product_id=7, quantity=quantity)


def revoke(quantity: int = 1) -> Revocation:
    return Revocation(**ASKED, product_id=7, quantity=quantity)


def debit(amount: int) -> Debit:
    return Debit(**ASKED, amount=amount)


def assert_decided(operation: Operation, position: Position, verdict: Verdict) -> None:
    """Whatever comes of it, the row says how many were asked for."""
    quantity = getattr(operation, "quantity", None)
    assert decide(operation, position) == verdict._replace(quantity=quantity)


@pytest.mark.parametrize(
    ("operation", "position", "verdict"),
    [
        (buy(), Position(1_000, product=BOOST), Verdict(100, 900, 1)),
        (buy(3), Position(1_000, product=BOOST, held=4), Verdict(300, 700, 7)),
        # exactly enough
        (buy(), Position(100, product=BOOST), Verdict(100, 0, 1)),
        (buy(1_000), Position(100_000, product=BOOST), Verdict(100_000, 0, 1_000)),
        (buy(), Position(500, product=PREMIUM), Verdict(500, 0, 1)),
        # the dearest purchase, by the richest user
        (
            buy(1_000),
            Position(MOST_COINS, product=BOOST._replace(price=10**12)),
            Verdict(10**15, MOST_COINS - 10**15, 1_000),
        ),
        # nothing is needed for what is free
        (buy(), Position(0, product=BOOST._replace(price=0)), Verdict(0, 0, 1)),
        (buy(expected_price=0), Position(0, product=BOOST._replace(price=0)), Verdict(0, 0, 1)),
        (buy(expected_price=100), Position(100, product=BOOST), Verdict(100, 0, 1)),
        # exactly the limit
        (
            buy(10),
            Position(1_000, product=BOOST, held=MOST_HELD - 10),
            Verdict(1_000, 0, MOST_HELD),
        ),
        (top_up(250), Position(1_000), Verdict(250, 1_250, None)),
        (top_up(1), Position(MOST_COINS - 1), Verdict(1, MOST_COINS, None)),
        (top_up(MOST_COINS), Position(0), Verdict(MOST_COINS, MOST_COINS, None)),
        (use(), Position(5, product=BOOST, held=3), Verdict(0, 5, 2)),
        (use(3), Position(5, product=BOOST, held=3), Verdict(0, 5, 0)),
        (use(1_000), Position(0, product=BOOST, held=MOST_HELD), Verdict(0, 0, MOST_HELD - 1_000)),
        # what is no longer sold can still be used
        (use(), Position(5, product=BOOST._replace(is_active=False), held=1), Verdict(0, 5, 0)),
        # nothing moves before a pending one is settled; the limit counts all the same
        (top_up(9, is_pending=True), Position(5), Verdict(9, 5, is_pending=True)),
        (
            top_up(9, is_pending=True),
            Position(0, debt=7),
            Verdict(9, 0, debt_after=7, is_pending=True),
        ),
        (
            top_up(1, is_pending=True),
            Position(MOST_COINS - 1),
            Verdict(1, MOST_COINS - 1, is_pending=True),
        ),
        # a debt is repaid first
        (top_up(6), Position(0, debt=7), Verdict(6, 0, debt_after=1)),
        (top_up(7), Position(0, debt=7), Verdict(7, 0)),
        (top_up(8), Position(0, debt=7), Verdict(8, 1)),
        (top_up(MOST_COINS), Position(0, debt=7), Verdict(MOST_COINS, MOST_COINS - 7)),
        # and stays while something free is bought, or items come and go
        (
            buy(),
            Position(0, debt=7, product=BOOST._replace(price=0)),
            Verdict(0, 0, 1, debt_after=7),
        ),
        (use(), Position(0, debt=7, product=BOOST, held=1), Verdict(0, 0, 0, debt_after=7)),
        (debit(5), Position(5), Verdict(5, 0)),
        (debit(4), Position(5), Verdict(4, 1)),
        (debit(MOST_COINS), Position(MOST_COINS), Verdict(MOST_COINS, 0)),
        (grant(3), Position(5, product=BOOST, held=4), Verdict(0, 5, 7)),
        (grant(), Position(0, debt=7, product=PREMIUM), Verdict(0, 0, 1, debt_after=7)),
        (grant(10), Position(5, product=BOOST, held=MOST_HELD - 10), Verdict(0, 5, MOST_HELD)),
        # what is not on sale can be a reward, and can be taken
        (grant(), Position(5, product=BOOST._replace(is_active=False)), Verdict(0, 5, 1)),
        (
            revoke(),
            Position(5, product=BOOST._replace(is_active=False), held=1),
            Verdict(0, 5, 0),
        ),
        (revoke(), Position(5, product=PREMIUM, held=1), Verdict(0, 5, 0)),
        (
            revoke(3),
            Position(0, debt=7, product=BOOST, held=4),
            Verdict(0, 0, 1, debt_after=7),
        ),
    ],
)
def test_completed(operation: Operation, position: Position, verdict: Verdict) -> None:
    assert_decided(operation, position, verdict)


@pytest.mark.parametrize(
    ("operation", "position", "verdict"),
    [
        # one coin short
        (buy(), Position(99, product=BOOST), Verdict(100, 99, 0, ErrorCode.INSUFFICIENT_FUNDS)),
        (
            buy(1_000),
            Position(10**15 - 1, product=BOOST._replace(price=10**12), held=2),
            Verdict(10**15, 10**15 - 1, 2, ErrorCode.INSUFFICIENT_FUNDS),
        ),
        (
            buy(),
            Position(900, product=PREMIUM, held=1),
            Verdict(500, 900, 1, ErrorCode.ALREADY_OWNED),
        ),
        (
            buy(),
            Position(900, product=BOOST._replace(is_active=False), held=2),
            Verdict(100, 900, 2, ErrorCode.PRODUCT_UNAVAILABLE),
        ),
        (buy(2, 99), Position(900, product=BOOST), Verdict(200, 900, 0, ErrorCode.PRICE_CHANGED)),
        (buy(2, 101), Position(900, product=BOOST), Verdict(200, 900, 0, ErrorCode.PRICE_CHANGED)),
        (buy(1, 0), Position(900, product=BOOST), Verdict(100, 900, 0, ErrorCode.PRICE_CHANGED)),
        # one beyond the limit
        (
            buy(10),
            Position(1_000, product=BOOST, held=MOST_HELD - 9),
            Verdict(1_000, 1_000, MOST_HELD - 9, ErrorCode.HOLDING_LIMIT),
        ),
        (
            top_up(1),
            Position(5, is_reference_taken=True),
            Verdict(1, 5, None, ErrorCode.ALREADY_TAKEN),
        ),
        (
            top_up(2),
            Position(MOST_COINS - 1),
            Verdict(2, MOST_COINS - 1, None, ErrorCode.BALANCE_LIMIT),
        ),
        (
            use(),
            Position(5, product=PREMIUM, held=1),
            Verdict(0, 5, 1, ErrorCode.PRODUCT_NOT_CONSUMABLE),
        ),
        (use(), Position(5, product=BOOST), Verdict(0, 5, 0, ErrorCode.NOT_ENOUGH_ITEMS)),
        (use(4), Position(5, product=BOOST, held=3), Verdict(0, 5, 3, ErrorCode.NOT_ENOUGH_ITEMS)),
        (
            buy(),
            Position(0, debt=7, product=BOOST),
            Verdict(100, 0, 0, ErrorCode.INSUFFICIENT_FUNDS, debt_after=7),
        ),
        (
            top_up(2, is_pending=True),
            Position(MOST_COINS - 1),
            Verdict(2, MOST_COINS - 1, None, ErrorCode.BALANCE_LIMIT),
        ),
        (
            top_up(2, is_pending=True),
            Position(5, is_reference_taken=True),
            Verdict(2, 5, None, ErrorCode.ALREADY_TAKEN),
        ),
        (debit(6), Position(5), Verdict(6, 5, None, ErrorCode.INSUFFICIENT_FUNDS)),
        (
            debit(1),
            Position(0, debt=7),
            Verdict(1, 0, None, ErrorCode.INSUFFICIENT_FUNDS, debt_after=7),
        ),
        (
            grant(),
            Position(5, product=PREMIUM, held=1),
            Verdict(0, 5, 1, ErrorCode.ALREADY_OWNED),
        ),
        (
            grant(10),
            Position(0, debt=7, product=BOOST, held=MOST_HELD - 9),
            Verdict(0, 0, MOST_HELD - 9, ErrorCode.HOLDING_LIMIT, debt_after=7),
        ),
        (revoke(), Position(5, product=PREMIUM), Verdict(0, 5, 0, ErrorCode.NOT_ENOUGH_ITEMS)),
        (
            revoke(4),
            Position(5, product=BOOST, held=3),
            Verdict(0, 5, 3, ErrorCode.NOT_ENOUGH_ITEMS),
        ),
    ],
)
def test_declined(operation: Operation, position: Position, verdict: Verdict) -> None:
    assert_decided(operation, position, verdict)


@pytest.mark.parametrize("operation", [buy(), use(), grant(), revoke()])
def test_there_is_no_such_product(operation: Operation) -> None:
    with pytest.raises(ProductNotFound) as caught:
        decide(operation, Position(1_000))
    assert caught.value.product_id == "7"


@pytest.mark.parametrize("operation", [buy(2), buy(1_000), grant(2), grant(1_000)])
def test_a_permanent_product_comes_one_at_a_time(operation: Operation) -> None:
    with pytest.raises(InvalidInput) as caught:
        decide(operation, Position(10**6, product=PREMIUM))
    assert [problem.path for problem in caught.value.problems] == [("quantity",)]


def first_answer(operation: Operation, **position: Any) -> ErrorCode | None:
    try:
        return decide(operation, Position(**position)).failure_code
    except EconomyError as refusal:
        return refusal.code


def test_order_of_the_checks_of_a_permanent_purchase() -> None:
    """All is wrong; each step rights what was told."""
    off = PREMIUM._replace(is_active=False)
    assert first_answer(buy(2, 1), balance=0, held=1) == "PRODUCT_NOT_FOUND"
    assert first_answer(buy(2, 1), balance=0, held=1, product=off) == "INVALID_INPUT"
    assert first_answer(buy(1, 1), balance=0, held=1, product=off) == "PRODUCT_UNAVAILABLE"
    assert first_answer(buy(1, 1), balance=0, held=1, product=PREMIUM) == "ALREADY_OWNED"
    assert first_answer(buy(1, 1), balance=0, product=PREMIUM) == "PRICE_CHANGED"
    assert first_answer(buy(1, 500), balance=0, product=PREMIUM) == "INSUFFICIENT_FUNDS"
    assert first_answer(buy(1, 500), balance=500, product=PREMIUM) is None


def test_order_of_the_checks_of_a_consumable_purchase() -> None:
    off, full = BOOST._replace(is_active=False), MOST_HELD
    assert first_answer(buy(2, 1), balance=0, held=full) == "PRODUCT_NOT_FOUND"
    assert first_answer(buy(2, 1), balance=0, held=full, product=off) == "PRODUCT_UNAVAILABLE"
    assert first_answer(buy(2, 1), balance=0, held=full, product=BOOST) == "PRICE_CHANGED"
    assert first_answer(buy(2), balance=0, held=full, product=BOOST) == "HOLDING_LIMIT"
    assert first_answer(buy(2), balance=0, held=full - 2, product=BOOST) == "INSUFFICIENT_FUNDS"
    assert first_answer(buy(2), balance=200, held=full - 2, product=BOOST) is None


def test_order_of_the_checks_of_a_top_up() -> None:
    assert first_answer(top_up(1), balance=MOST_COINS, is_reference_taken=True) == "ALREADY_TAKEN"
    assert first_answer(top_up(1), balance=MOST_COINS) == "BALANCE_LIMIT"


def test_order_of_the_checks_of_a_use() -> None:
    assert first_answer(use(), balance=0) == "PRODUCT_NOT_FOUND"
    assert first_answer(use(), balance=0, product=PREMIUM) == "PRODUCT_NOT_CONSUMABLE"
    assert first_answer(use(), balance=0, product=BOOST) == "NOT_ENOUGH_ITEMS"
