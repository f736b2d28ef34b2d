"""Crediting, on both databases: every success, decline and refusal, to the last column."""

from datetime import UTC, datetime
from typing import Any

import pytest

from economy.bootstrap import open_services
from economy.errors import (
    AlreadyTaken,
    BalanceLimit,
    EconomyError,
    Forbidden,
    IdempotencyKeyMissing,
    InvalidInput,
    Unauthenticated,
    UserNotFound,
)
from economy.models.user import BALANCE_LIMIT
from economy.services.access import ALL_SCOPES, Actor, Scope
from economy.services.operations import Booking
from economy.settings import Settings
from tests.journal import error_of, journal_of, journal_row, nothing_changes, one_decline, told
from tests.world import SERVER, World

MOST_AT_ONCE = 1_000_000  # the default of max_top_up_amount


async def ask(world: World, actor: Actor | None, **changes: Any) -> Booking:
    arguments: dict[str, Any] = {"user_id": str(world.anna.id), "amount": 250}
    arguments |= {"external_reference": None, "idempotency_key": "key"} | changes
    return await world.services.wallet.add_funds(actor, **arguments)


async def test_credit(world: World) -> None:
    anna = world.anna
    before = datetime.now(UTC)
    booking = await ask(world, SERVER, external_reference="order 17 ☕")
    after = datetime.now(UTC)

    row = booking.transaction
    assert before <= row.created_at <= after
    assert row == journal_row(
        row,
        hashed=["top_up", anna.id, 250, "order 17 ☕"],
        user_id=anna.id,
        seq=1,
        kind="top_up",
        status="completed",
        amount=250,
        balance_after=250,
        actor="server:test",
        idempotency_key="key",
        external_reference="order 17 ☕",
    )
    assert await journal_of(world.services, anna) == [row]
    anna = anna._replace(balance=250, last_seq=1, chain_hash=row.hash)
    assert booking == Booking(row, anna, None, None, False)
    state = await world.state()
    assert state["user"] == [(anna.id, 250, 1), (world.boris.id, 0, 0)]
    assert state["inventory"] == []
    assert state["claim"][-1] == ("order 17 ☕", "external_reference", anna.id)
    assert len(state["claim"]) == 5  # two names, two addresses


async def test_credits_add_up(world: World) -> None:
    for number, amount in enumerate([1, MOST_AT_ONCE, 24]):
        await ask(world, SERVER, amount=amount, idempotency_key=str(number))
    rows = await journal_of(world.services, world.anna)
    assert [(row.seq, row.amount, row.balance_after) for row in rows] == [
        (1, 1, 1),
        (2, 1_000_000, 1_000_001),
        (3, 24, 1_000_025),
    ]
    assert (await world.state())["user"] == [(world.anna.id, 1_000_025, 3), (world.boris.id, 0, 0)]


async def test_reference_that_was_used(world: World) -> None:
    await ask(world, SERVER, external_reference="order-17")
    async with one_decline(world, world.boris):
        error = await error_of(
            ask(world, SERVER, user_id=str(world.boris.id), external_reference="order-17")
        )
    assert told(error) == (
        AlreadyTaken,
        {"replayed": False, "fields": ("external_reference",)},
        "Already taken: external_reference.",
    )
    [row] = await journal_of(world.services, world.boris)
    assert row == journal_row(
        row,
        hashed=["top_up", world.boris.id, 250, "order-17"],
        user_id=world.boris.id,
        seq=1,
        kind="top_up",
        status="failed",
        amount=250,
        balance_after=0,
        failure_code="ALREADY_TAKEN",
        actor="server:test",
        idempotency_key="key",
        external_reference="order-17",
    )


async def test_balance_limit(world: World) -> None:
    await world.sql(
        'UPDATE "user" SET balance = :balance WHERE id = :user',
        balance=BALANCE_LIMIT - 10,
        user=world.anna.id,
    )
    async with one_decline(world, world.anna):
        error = await error_of(ask(world, SERVER, amount=11, external_reference="order-17"))
    assert told(error) == (
        BalanceLimit,
        {"replayed": False, "balance": BALANCE_LIMIT - 10, "limit": BALANCE_LIMIT},
        "The balance is 9007199254740981, the limit is 9007199254740991.",
    )
    [row] = await journal_of(world.services, world.anna)
    assert (row.failure_code, row.amount, row.balance_after, row.external_reference) == (
        "BALANCE_LIMIT",
        11,
        BALANCE_LIMIT - 10,
        "order-17",
    )
    booking = await ask(world, SERVER, amount=10, idempotency_key="other")
    assert booking.user.balance == BALANCE_LIMIT


OUT_OF_BOUNDS: list[tuple[dict[str, Any], str]] = [
    ({"amount": 0}, "amount"),
    ({"amount": -1}, "amount"),
    ({"amount": MOST_AT_ONCE + 1}, "amount"),
    ({"amount": 2**70}, "amount"),
    ({"external_reference": ""}, "external_reference"),
    ({"external_reference": " "}, "external_reference"),
    ({"external_reference": "x" * 256}, "external_reference"),
    ({"external_reference": "a\x00b"}, "external_reference"),
    ({"external_reference": "\ud800"}, "external_reference"),
    # bounds come before the user is looked up
    ({"amount": 0, "user_id": "abc"}, "amount"),
]


async def test_input_out_of_bounds(world: World, subtests: pytest.Subtests) -> None:
    for changes, field in OUT_OF_BOUNDS:
        with subtests.test(changes=changes, field=field):
            async with nothing_changes(world):
                error = await error_of(ask(world, SERVER, **changes))
            assert isinstance(error, InvalidInput)
            assert [problem.path for problem in error.problems] == [(field,)]


NO_KEY: list[str | None] = [None, "", "a b", "ключ", "x" * 256, "tab\t", "line\n", "\x7f"]


async def test_a_key_is_required(world: World, subtests: pytest.Subtests) -> None:
    for key in NO_KEY:
        with subtests.test(key=key):
            async with nothing_changes(world):
                error = await error_of(ask(world, SERVER, idempotency_key=key))
            assert type(error) is IdempotencyKeyMissing


@pytest.mark.parametrize("length", [1, 255])
async def test_longest_and_shortest_texts_are_stored_whole(world: World, length: int) -> None:
    booking = await ask(
        world, SERVER, idempotency_key="~" * length, external_reference="щ" * length
    )
    assert await journal_of(world.services, world.anna) == [booking.transaction]
    assert booking.transaction.idempotency_key == "~" * length
    assert booking.transaction.external_reference == "щ" * length


REFUSED: list[tuple[Actor | None, str, type[EconomyError]]] = [
    (None, "1", Unauthenticated),
    (Actor.player(1), "1", Forbidden),  # a player never mints, not even for itself
    (Actor.player(1), "2", Forbidden),
    (Actor.player(1), "abc", Forbidden),
    (Actor.server("s", ALL_SCOPES - {Scope.FUNDS_WRITE}), "1", Forbidden),
    (Actor.server("s", ALL_SCOPES - {Scope.FUNDS_WRITE}), "abc", Forbidden),
    (SERVER, "abc", UserNotFound),
    (SERVER, str(2**70), UserNotFound),
    (SERVER, "01", UserNotFound),
    (SERVER, "-1", UserNotFound),
    (SERVER, "0", UserNotFound),
    (SERVER, "999999", UserNotFound),
]


async def test_who_may_not_credit(world: World, subtests: pytest.Subtests) -> None:
    for actor, user_id, refusal in REFUSED:
        with subtests.test(actor=actor, user_id=user_id, refusal=refusal):
            assert (world.anna.id, world.boris.id) == (1, 2)
            async with nothing_changes(world):
                error = await error_of(
                    ask(world, actor, user_id=user_id, amount=250, external_reference="order-17")
                )
            assert type(error) is refusal


async def test_the_right_to_credit_is_enough(world: World) -> None:
    booking = await ask(world, Actor.server("pay", frozenset({Scope.FUNDS_WRITE})))
    assert (booking.transaction.actor, booking.user.balance) == ("server:pay", 250)


async def test_the_limit_is_configured(database_url: str) -> None:
    async with open_services(Settings(database_url=database_url, max_top_up_amount=50)) as services:
        world = await World.create(services)
        assert (await ask(world, SERVER, amount=50)).user.balance == 50
        async with nothing_changes(world):
            error = await error_of(ask(world, SERVER, amount=51, idempotency_key="other"))
        assert str(error) == "amount must be 1 to 50."
