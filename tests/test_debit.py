"""Coins that a server takes, on both databases."""

from typing import Any

from economy.errors import (
    EconomyError,
    Forbidden,
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
    InsufficientFunds,
    InvalidInput,
    Unauthenticated,
    UserNotFound,
)
from economy.models.user import BALANCE_LIMIT
from economy.services.access import ALL_SCOPES, Actor, Scope
from tests.journal import error_of, journal_of, journal_row, nothing_changes, one_decline, told
from tests.world import SERVER, World


async def test_debit(world: World) -> None:
    anna = world.anna
    await world.credit(anna, 100)
    first = await world.debit(anna, 70, idempotency_key="k")
    row = first.transaction
    assert row == journal_row(
        row,
        hashed=["debit", anna.id, 70],
        user_id=anna.id,
        seq=2,
        kind="debit",
        status="completed",
        amount=70,
        balance_after=30,
        actor="server:test",
        idempotency_key="k",
    )
    assert (first.user.balance, first.item, first.product, first.replayed) == (
        30,
        None,
        None,
        False,
    )
    async with one_decline(world, anna):
        error = await error_of(world.debit(anna, 31))
    assert told(error) == (
        InsufficientFunds,
        {"replayed": False, "balance": 30, "required": 31},
        "The balance is 30, this needs 31.",
    )
    assert (await world.debit(anna, 30)).user.balance == 0
    async with nothing_changes(world):
        again = await world.debit(anna, 70, idempotency_key="k")
        assert (again.transaction, again.user.balance, again.replayed) == (row, 30, True)
        error = await error_of(world.debit(anna, 71, idempotency_key="k"))
        assert type(error) is IdempotencyKeyReused
    assert [one.balance_after for one in await journal_of(world.services, anna)] == [100, 30, 30, 0]
    legs = await world.sql(
        "SELECT account, amount FROM ledger_entry WHERE transaction_id = "
        '(SELECT id FROM "transaction" WHERE seq = 2) ORDER BY amount'
    )
    assert (legs[0], legs[1].amount) == (("user", -70), 70)
    assert await world.broken() == {}


async def test_what_is_refused(world: World) -> None:
    await world.credit(world.anna, 100)
    cases: list[tuple[Actor | None, dict[str, Any], type[EconomyError]]] = [
        (None, {}, Unauthenticated),
        (Actor.player(world.anna.id), {}, Forbidden),
        (Actor.server("s", ALL_SCOPES - {Scope.FUNDS_WRITE}), {}, Forbidden),
        (SERVER, {"amount": 0}, InvalidInput),
        (SERVER, {"amount": -1}, InvalidInput),
        (SERVER, {"amount": BALANCE_LIMIT + 1}, InvalidInput),
        (SERVER, {"idempotency_key": None}, IdempotencyKeyMissing),
        (SERVER, {"idempotency_key": ""}, IdempotencyKeyMissing),
        (SERVER, {"user_id": "abc"}, UserNotFound),
        (SERVER, {"user_id": "999"}, UserNotFound),
    ]
    wallet = world.services.wallet
    async with nothing_changes(world):
        for actor, changes, refusal in cases:
            asked: dict[str, Any] = {"user_id": "1", "amount": 1, "idempotency_key": "k"} | changes
            assert type(await error_of(wallet.debit_funds(actor, **asked))) is refusal
    right = Actor.server("fees", frozenset({Scope.FUNDS_WRITE}))
    booking = await wallet.debit_funds(right, user_id="1", amount=100, idempotency_key="k")
    assert (booking.transaction.actor, booking.user.balance) == ("server:fees", 0)
