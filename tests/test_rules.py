"""The rules, without a database: every decline, every boundary, the order of the checks."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from economy.errors import (
    AlreadyOwned,
    AlreadyTaken,
    BalanceLimit,
    Decline,
    EconomyError,
    ErrorCode,
    HoldingLimit,
    IdempotencyKeyReused,
    InsufficientFunds,
    InvalidInput,
    NotEnoughItems,
    PriceChanged,
    ProductNotConsumable,
    ProductNotFound,
    ProductUnavailable,
)
from economy.models.product import ProductRow
from economy.models.transaction import TransactionRow
from economy.services.operations import Operation, Purchase, TopUp, Use, decline_of, request_hash
from economy.services.rules import Position, Verdict, check_replay, decide
from tests.journal import told

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MOST_COINS = 2**53 - 1
MOST_HELD = 10**9
BOOST = ProductRow(7, "Boost", "", 100, "consumable", True)
PREMIUM = BOOST._replace(id=8, name="Premium", price=500, type="permanent")


def buy(quantity: int = 1, expected_price: int | None = None) -> Purchase:
    return Purchase(1, 7, quantity, expected_price, "player:1", None)


def top_up(amount: int) -> TopUp:
    return TopUp(1, amount, "order-1", "server:1", "key")


def use(quantity: int = 1) -> Use:
    return Use(1, 7, quantity, "player:1", None)


@pytest.mark.parametrize(
    ("operation", "position", "verdict"),
    [
        (buy(), Position(1_000, BOOST), Verdict(100, 900, 1)),
        (buy(3), Position(1_000, BOOST, held=4), Verdict(300, 700, 7)),
        # exactly enough
        (buy(), Position(100, BOOST), Verdict(100, 0, 1)),
        (buy(1_000), Position(100_000, BOOST), Verdict(100_000, 0, 1_000)),
        (buy(), Position(500, PREMIUM), Verdict(500, 0, 1)),
        # the dearest purchase, by the richest user
        (
            buy(1_000),
            Position(MOST_COINS, BOOST._replace(price=10**12)),
            Verdict(10**15, MOST_COINS - 10**15, 1_000),
        ),
        # nothing is needed for what is free
        (buy(), Position(0, BOOST._replace(price=0)), Verdict(0, 0, 1)),
        (buy(expected_price=0), Position(0, BOOST._replace(price=0)), Verdict(0, 0, 1)),
        (buy(expected_price=100), Position(100, BOOST), Verdict(100, 0, 1)),
        # exactly the limit
        (buy(10), Position(1_000, BOOST, held=MOST_HELD - 10), Verdict(1_000, 0, MOST_HELD)),
        (top_up(250), Position(1_000), Verdict(250, 1_250, None)),
        (top_up(1), Position(MOST_COINS - 1), Verdict(1, MOST_COINS, None)),
        (top_up(MOST_COINS), Position(0), Verdict(MOST_COINS, MOST_COINS, None)),
        (use(), Position(5, BOOST, held=3), Verdict(0, 5, 2)),
        (use(3), Position(5, BOOST, held=3), Verdict(0, 5, 0)),
        (use(1_000), Position(0, BOOST, held=MOST_HELD), Verdict(0, 0, MOST_HELD - 1_000)),
        # what is no longer sold can still be used
        (use(), Position(5, BOOST._replace(is_active=False), held=1), Verdict(0, 5, 0)),
    ],
)
def test_completed(operation: Operation, position: Position, verdict: Verdict) -> None:
    assert decide(operation, position) == verdict


@pytest.mark.parametrize(
    ("operation", "position", "verdict"),
    [
        # one coin short
        (buy(), Position(99, BOOST), Verdict(100, 99, 0, ErrorCode.INSUFFICIENT_FUNDS)),
        (
            buy(1_000),
            Position(10**15 - 1, BOOST._replace(price=10**12), held=2),
            Verdict(10**15, 10**15 - 1, 2, ErrorCode.INSUFFICIENT_FUNDS),
        ),
        (
            buy(),
            Position(900, PREMIUM, held=1),
            Verdict(500, 900, 1, ErrorCode.ALREADY_OWNED),
        ),
        (
            buy(),
            Position(900, BOOST._replace(is_active=False), held=2),
            Verdict(100, 900, 2, ErrorCode.PRODUCT_UNAVAILABLE),
        ),
        (buy(2, 99), Position(900, BOOST), Verdict(200, 900, 0, ErrorCode.PRICE_CHANGED)),
        (buy(2, 101), Position(900, BOOST), Verdict(200, 900, 0, ErrorCode.PRICE_CHANGED)),
        (buy(1, 0), Position(900, BOOST), Verdict(100, 900, 0, ErrorCode.PRICE_CHANGED)),
        # one beyond the limit
        (
            buy(10),
            Position(1_000, BOOST, held=MOST_HELD - 9),
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
            Position(5, PREMIUM, held=1),
            Verdict(0, 5, 1, ErrorCode.PRODUCT_NOT_CONSUMABLE),
        ),
        (use(), Position(5, BOOST), Verdict(0, 5, 0, ErrorCode.NOT_ENOUGH_ITEMS)),
        (use(4), Position(5, BOOST, held=3), Verdict(0, 5, 3, ErrorCode.NOT_ENOUGH_ITEMS)),
    ],
)
def test_declined(operation: Operation, position: Position, verdict: Verdict) -> None:
    assert decide(operation, position) == verdict


@pytest.mark.parametrize("operation", [buy(), use()])
def test_there_is_no_such_product(operation: Operation) -> None:
    with pytest.raises(ProductNotFound) as caught:
        decide(operation, Position(1_000))
    assert caught.value.product_id == "7"


@pytest.mark.parametrize("quantity", [2, 1_000])
def test_a_permanent_product_is_bought_one_at_a_time(quantity: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        decide(buy(quantity), Position(10_000, PREMIUM))
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


def journal_row(**changes: Any) -> TransactionRow:
    values: dict[str, Any] = dict.fromkeys(TransactionRow._fields)
    values |= {"user_id": 1, "id": UUID(int=1), "seq": 1, "status": "failed", "product_id": 7}
    values |= {"quantity": 4, "amount": 400, "balance_after": 350, "quantity_after": 3}
    values |= {"actor": "player:1", "request_hash": b"", "created_at": NOW, "completed_at": NOW}
    return TransactionRow(**(values | changes))


DECLINES: dict[ErrorCode, tuple[type[Decline], dict[str, Any], str]] = {
    ErrorCode.INSUFFICIENT_FUNDS: (
        InsufficientFunds,
        {"balance": 350, "required": 400},
        "The balance is 350, this needs 400.",
    ),
    ErrorCode.ALREADY_OWNED: (
        AlreadyOwned,
        {"product_id": "7"},
        "This product is permanent and already owned.",
    ),
    ErrorCode.ALREADY_TAKEN: (
        AlreadyTaken,
        {"fields": ("external_reference",)},
        "Already taken: external_reference.",
    ),
    ErrorCode.PRODUCT_UNAVAILABLE: (
        ProductUnavailable,
        {"product_id": "7"},
        "This product is not on sale.",
    ),
    ErrorCode.HOLDING_LIMIT: (
        HoldingLimit,
        {"product_id": "7", "held": 3, "limit": 1_000_000_000},
        "3 are held, the limit is 1000000000.",
    ),
    ErrorCode.PRODUCT_NOT_CONSUMABLE: (
        ProductNotConsumable,
        {"product_id": "7"},
        "This product is permanent: it is owned, not used up.",
    ),
    ErrorCode.NOT_ENOUGH_ITEMS: (
        NotEnoughItems,
        {"product_id": "7", "held": 3},
        "Only 3 are held.",
    ),
    ErrorCode.PRICE_CHANGED: (PriceChanged, {"price": 100}, "The price is 100 now."),
    ErrorCode.BALANCE_LIMIT: (
        BalanceLimit,
        {"balance": 350, "limit": 9_007_199_254_740_991},
        "The balance is 350, the limit is 9007199254740991.",
    ),
}


@pytest.mark.parametrize("replayed", [False, True])
@pytest.mark.parametrize("code", DECLINES)
def test_a_decline_is_told_again_from_its_row(code: ErrorCode, replayed: bool) -> None:
    decline = decline_of(journal_row(failure_code=code.value), replayed=replayed)
    kind, fields, message = DECLINES[code]
    assert told(decline) == (kind, {"replayed": replayed} | fields, message)
    assert decline.code is code
    assert not decline.retryable


def test_there_is_no_other_decline() -> None:
    assert {leaf.code for leaf in Decline.__subclasses__()} == DECLINES.keys()


def test_a_price_of_nothing_is_told_again() -> None:
    row = journal_row(failure_code="PRICE_CHANGED", amount=0)
    assert vars(decline_of(row, replayed=True)) == {"replayed": True, "price": 0}


@pytest.mark.parametrize(
    "other",
    [
        buy(2),
        buy(1, 100),
        Purchase(1, 8, 1, None, "player:1", "key"),
        Purchase(2, 7, 1, None, "player:1", "key"),
        use(1),  # a kind is part of what was asked
    ],
)
def test_a_key_stands_for_one_input(other: Operation) -> None:
    earlier = journal_row(idempotency_key="key", request_hash=request_hash(buy()))
    check_replay(request_hash(buy()), earlier)
    with pytest.raises(IdempotencyKeyReused) as caught:
        check_replay(request_hash(other), earlier)
    assert caught.value.idempotency_key == "key"


def test_who_asks_and_under_which_key_is_no_part_of_the_input() -> None:
    assert request_hash(Purchase(1, 7, 1, None, "server:9", "key")) == request_hash(buy())
