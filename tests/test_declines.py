"""Declines are told again from their journal rows, and a key stands for one input."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from economy.errors import (
    AlreadyOwned,
    AlreadyReversed,
    AlreadyTaken,
    BalanceLimit,
    Decline,
    ErrorCode,
    HoldingLimit,
    IdempotencyKeyReused,
    InsufficientFunds,
    NotEnoughItems,
    NotReversible,
    PaymentFailed,
    PriceChanged,
    ProductNotConsumable,
    ProductUnavailable,
    TopUpCompleted,
    TopUpExpired,
    TransactionDecline,
)
from economy.models.transaction import TransactionRow
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
    decline_of,
    request_hash,
)
from economy.services.rules import check_replay
from tests.journal import told

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TARGET = UUID(int=2)
ASKED: dict[str, Any] = {"user_id": 1, "actor": "player:1", "idempotency_key": "key"}
ITEMS: dict[str, Any] = ASKED | {"product_id": 7, "quantity": 1}
PURCHASE = Purchase(**ITEMS, expected_price=None)
TOP_UP = TopUp(**ASKED, amount=5, external_reference=None)
REVERSAL = Reversal(**ASKED, target_id=TARGET, if_spent=IfSpent.REFUSE)
SETTLEMENT = TopUpSettlement(**ASKED, target_id=TARGET, failure_code=None)


def journal_row(**changes: Any) -> TransactionRow:
    values: dict[str, Any] = dict.fromkeys(TransactionRow._fields)
    values |= {"user_id": 1, "id": UUID(int=1), "seq": 1, "status": "failed", "product_id": 7}
    values |= {"quantity": 4, "amount": 400, "balance_after": 350, "quantity_after": 3}
    values |= {"target_id": TARGET, "debt_after": 0, "settled_seq": 1, "hash": bytes(32)}
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
    ErrorCode.NOT_REVERSIBLE: (
        NotReversible,
        {"transaction_id": str(TARGET)},
        "This transaction is no completed purchase or top-up.",
    ),
    ErrorCode.ALREADY_REVERSED: (
        AlreadyReversed,
        {"transaction_id": str(TARGET)},
        "This transaction was reversed before.",
    ),
    ErrorCode.PAYMENT_FAILED: (
        PaymentFailed,
        {"transaction_id": str(TARGET)},
        "This top-up had failed before. Nothing was credited.",
    ),
    ErrorCode.TOP_UP_EXPIRED: (
        TopUpExpired,
        {"transaction_id": str(TARGET)},
        "This top-up had expired before. Nothing was credited.",
    ),
    ErrorCode.TOP_UP_COMPLETED: (
        TopUpCompleted,
        {"transaction_id": str(TARGET)},
        "This top-up had been completed before. It was not undone.",
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
    leaves = {*Decline.__subclasses__(), *TransactionDecline.__subclasses__()}
    assert leaves - {TransactionDecline} == {kind for kind, _, _ in DECLINES.values()}
    assert {code: kind.code for code, (kind, _, _) in DECLINES.items()} == {
        code: code for code in DECLINES
    }


def test_a_price_of_nothing_is_told_again() -> None:
    row = journal_row(failure_code="PRICE_CHANGED", amount=0)
    assert vars(decline_of(row, replayed=True)) == {"replayed": True, "price": 0}


OTHERS: list[tuple[Operation, list[Operation]]] = [
    (
        PURCHASE,
        [
            Purchase(**ITEMS | {"quantity": 2}, expected_price=None),
            Purchase(**ITEMS, expected_price=100),
            Purchase(**ITEMS | {"product_id": 8}, expected_price=None),
            Purchase(**ITEMS | {"user_id": 2}, expected_price=None),
            Use(**ITEMS),  # a kind is part of what was asked
        ],
    ),
    (
        TOP_UP,
        [
            TopUp(**ASKED, amount=5, external_reference=None, is_pending=True),
            TopUp(**ASKED, amount=5, external_reference="pending"),
            TopUp(**ASKED, amount=6, external_reference=None),
            Debit(**ASKED, amount=5),
        ],
    ),
    (Grant(**ITEMS), [Grant(**ITEMS | {"quantity": 2}), Revocation(**ITEMS), Use(**ITEMS)]),
    (
        REVERSAL,
        [
            Reversal(**ASKED, target_id=UUID(int=3), if_spent=IfSpent.REFUSE),
            Reversal(**ASKED, target_id=TARGET, if_spent=IfSpent.TAKE_WHAT_IS_LEFT),
            Reversal(**ASKED | {"user_id": 2}, target_id=TARGET, if_spent=IfSpent.REFUSE),
        ],
    ),
    (
        SETTLEMENT,
        [
            TopUpSettlement(**ASKED, target_id=TARGET, failure_code=ErrorCode.PAYMENT_FAILED),
            TopUpSettlement(**ASKED, target_id=UUID(int=3), failure_code=None),
        ],
    ),
]


@pytest.mark.parametrize(
    ("asked", "other"), [(one, other) for one, all_ in OTHERS for other in all_]
)
def test_a_key_stands_for_one_input(asked: Operation, other: Operation) -> None:
    earlier = journal_row(idempotency_key="key", request_hash=request_hash(asked))
    check_replay(request_hash(asked), earlier)
    with pytest.raises(IdempotencyKeyReused) as caught:
        check_replay(request_hash(other), earlier)
    assert caught.value.idempotency_key == "key"


def test_who_asks_and_under_which_key_is_no_part_of_the_input() -> None:
    other = {"actor": "server:9", "idempotency_key": None}
    assert request_hash(Purchase(**ITEMS | other, expected_price=None)) == request_hash(PURCHASE)
    assert request_hash(TopUp(**ASKED | other, amount=5, external_reference=None)) == (
        request_hash(TOP_UP)
    )
