"""The life of a transaction over GraphQL: each success whole, replays and declines."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from economy.models.inventory import HOLDING_LIMIT
from economy.models.transaction import TransactionRow
from tests.graphql_answers import BOOST, PREMIUM
from tests.graphql_life import mutate
from tests.graphql_mutations import refusal
from tests.journal import journal_of, nothing_changes, one_decline
from tests.shop import Shop


@pytest.fixture
async def rich(shop: Shop) -> Shop:
    """Anna has 1,000 coins."""
    await shop.world.credit(shop.world.anna, 1_000, idempotency_key="used")
    return shop


async def rows_of(shop: Shop) -> list[TransactionRow]:
    return await journal_of(shop.services, shop.world.anna)


def transaction(row: TransactionRow, **expected: Any) -> dict[str, Any]:
    """Its id and times are its own, all else is told by the test."""
    fields: dict[str, Any] = {"id": str(row.id), "status": "COMPLETED", "product": None}
    fields |= {"quantity": None, "failureCode": None, "targetId": None, "shortfall": None}
    fields |= {"debtAfter": 0, "createdAt": row.created_at.isoformat()}
    return fields | {"completedAt": row.completed_at and row.completed_at.isoformat()} | expected


def user(balance: int, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"id": "1", "username": "anna", "email": "anna@example.com"}
    return fields | {"balance": balance, "debt": 0, "deletedAt": None} | changes


async def test_a_top_up_from_its_begin_to_its_end(rich: Shop) -> None:
    asked: dict[str, Any] = {"amount": 250, "externalReference": "r"}
    begun = await mutate(rich, "beginTopUp", **asked)
    row = (await rows_of(rich))[-1]
    waiting = {"kind": "TOP_UP", "amount": 250, "status": "PENDING"}
    waiting |= {"balanceAfter": None, "debtAfter": None}
    assert begun == {
        "__typename": "BeginTopUpSuccess",
        "transaction": transaction(row, **waiting),
        "user": user(1_000),
        "replayed": False,
    }
    assert await mutate(rich, "beginTopUp", **asked) == begun | {"replayed": True}
    completed = await mutate(rich, "completeTopUp", transactionId=str(row.id).upper())
    row = (await rows_of(rich))[-1]
    assert completed == {
        "__typename": "CompleteTopUpSuccess",
        "transaction": transaction(row, kind="TOP_UP", amount=250, balanceAfter=1_250),
        "user": user(1_250),
        "replayed": False,
    }
    again = completed | {"replayed": True}
    assert await mutate(rich, "completeTopUp", transactionId=str(row.id)) == again
    # a repeated key tells how it stands now
    again |= {"__typename": "BeginTopUpSuccess"}
    assert await mutate(rich, "beginTopUp", **asked) == again
    late = await mutate(rich, "failTopUp", transactionId=str(row.id))
    message = "This top-up had been completed before. It was not undone."
    told = {"message": message, "transactionId": str(row.id)}
    assert late == refusal("TopUpCompletedError", "TOP_UP_COMPLETED", **told)

    other = await mutate(rich, "beginTopUp", idempotencyKey="2", externalReference="s")
    id_ = other["transaction"]["id"]
    for replayed in (False, True):
        failed = await mutate(rich, "failTopUp", transactionId=id_)
        row = next(row for row in await rows_of(rich) if row.id == UUID(id_))
        ended = {"kind": "TOP_UP", "amount": 5, "status": "FAILED", "balanceAfter": 1_250}
        assert failed == {
            "__typename": "FailTopUpSuccess",
            "transaction": transaction(row, **ended, failureCode="PAYMENT_FAILED"),
            "user": user(1_250),
            "replayed": replayed,
        }
    late = await mutate(rich, "completeTopUp", transactionId=id_)
    message = "This top-up had failed before. Nothing was credited."
    told = {"message": message, "transactionId": id_}
    assert late == refusal("PaymentFailedError", "PAYMENT_FAILED", **told)
    assert await rich.world.broken() == {}


async def test_reversals(rich: Shop) -> None:
    world, anna = rich.world, rich.world.anna
    [paid] = await rows_of(rich)
    bought = (await world.buy(anna, world.boost, quantity=3)).transaction
    await world.use(anna, world.boost)
    asked: dict[str, Any] = {"transactionId": str(bought.id), "ifSpent": "TAKE_WHAT_IS_LEFT"}
    undone = await mutate(rich, "reverseTransaction", **asked)
    row = (await rows_of(rich))[-1]
    moved = {"product": {"id": "1"}, "quantity": 2, "amount": 200, "balanceAfter": 900}
    about = {"kind": "REVERSAL", "targetId": str(bought.id), "shortfall": 100}
    [item] = await world.sql("SELECT quantity FROM inventory")
    assert item.quantity == 0
    assert undone["item"].pop("purchasedAt") is not None
    assert UUID(undone["item"].pop("id"))
    assert undone == {
        "__typename": "ReverseTransactionSuccess",
        "transaction": transaction(row, **moved, **about),
        "user": user(900),
        "replayed": False,
        "item": {"product": BOOST, "quantity": 0},
    }
    assert (await mutate(rich, "reverseTransaction", **asked))["replayed"] is True
    other: dict[str, Any] = {"transactionId": str(paid.id), "idempotencyKey": "2"}
    refused = await mutate(rich, "reverseTransaction", **other)
    message = "The balance is 900, this needs 1000."
    told: dict[str, Any] = {"message": message, "balance": 900, "required": 1_000}
    assert refused == refusal("InsufficientFundsError", "INSUFFICIENT_FUNDS", **told)
    other |= {"idempotencyKey": "3", "ifSpent": "TAKE_WHAT_IS_LEFT"}
    undone = await mutate(rich, "reverseTransaction", **other)
    row = (await rows_of(rich))[-1]
    moved = {"amount": 1_000, "balanceAfter": 0, "debtAfter": 100, "shortfall": 100}
    assert undone == {
        "__typename": "ReverseTransactionSuccess",
        "transaction": transaction(row, kind="REVERSAL", targetId=str(paid.id), **moved),
        "user": user(0, debt=100),
        "replayed": False,
        "item": None,
    }
    for id_, member, code, message in (
        (
            paid.id,
            "AlreadyReversedError",
            "ALREADY_REVERSED",
            "This transaction was reversed before.",
        ),
        (
            row.id,
            "NotReversibleError",
            "NOT_REVERSIBLE",
            "This transaction is no completed purchase or top-up.",
        ),
    ):
        asked = {"transactionId": str(id_), "idempotencyKey": str(uuid4())}
        async with one_decline(world, anna):
            refused = await mutate(rich, "reverseTransaction", **asked)
        assert refused == refusal(member, code, message, transactionId=str(id_))
    assert await world.broken() == {}


async def test_grants_and_debits(rich: Shop) -> None:
    world, anna = rich.world, rich.world.anna
    steps = [("grantItem", "GRANT", 7, 7), ("revokeItem", "REVOCATION", 3, 4)]
    for field, kind, quantity, left in steps:
        first = await mutate(rich, field, quantity=quantity)
        row = (await rows_of(rich))[-1]
        moved = {"product": {"id": "1"}, "quantity": quantity, "amount": 0, "balanceAfter": 1_000}
        assert first["transaction"] == transaction(row, kind=kind, **moved)
        assert (first["user"], first["replayed"]) == (user(1_000), False)
        assert (first["item"]["product"], first["item"]["quantity"]) == (BOOST, left)
        async with nothing_changes(world):
            assert await mutate(rich, field, quantity=quantity) == first | {"replayed": True}
    given = await mutate(rich, "grantItem", productId="2", idempotencyKey="2")
    assert (given["item"]["product"], given["item"]["quantity"]) == (PREMIUM, 1)
    first = await mutate(rich, "debitFunds", amount=300)
    row = (await rows_of(rich))[-1]
    assert first == {
        "__typename": "DebitFundsSuccess",
        "transaction": transaction(row, kind="DEBIT", amount=300, balanceAfter=700),
        "user": user(700),
        "replayed": False,
    }
    async with nothing_changes(world):
        assert await mutate(rich, "debitFunds", amount=300) == first | {"replayed": True}
    assert await world.broken() == {}
    await world.sql(
        "UPDATE inventory SET quantity = :most WHERE product_id = 1", most=HOLDING_LIMIT
    )
    declines: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("grantItem", {"productId": "2"}, {"code": "ALREADY_OWNED", "productId": "2"}),
        ("grantItem", {}, {"code": "HOLDING_LIMIT", "productId": "1", "held": HOLDING_LIMIT}),
        ("revokeItem", {"productId": "2", "quantity": 2}, {"code": "NOT_ENOUGH_ITEMS", "held": 1}),
        ("debitFunds", {"amount": 701}, {"code": "INSUFFICIENT_FUNDS", "required": 701}),
    ]
    for number, (field, values, expected) in enumerate(declines):
        async with one_decline(world, anna):
            answer = await mutate(rich, field, idempotencyKey=f"declined-{number}", **values)
        assert answer | expected == answer
