"""Top-ups that wait for their payment, on both databases: begun, and settled once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from economy.bootstrap import open_services
from economy.errors import (
    AlreadyTaken,
    BalanceLimit,
    EconomyError,
    PaymentFailed,
    TopUpCompleted,
)
from economy.models.transaction import TransactionRow
from economy.models.user import BALANCE_LIMIT
from economy.services.operations import Booking
from economy.settings import Settings
from tests.journal import error_of, journal_of, nothing_changes, one_decline, told
from tests.world import World


@pytest.fixture
async def sound(world: World) -> AsyncIterator[World]:
    """Whatever a test does to it, every invariant holds afterwards."""
    yield world
    assert await world.broken() == {}


def too_late(kind: type[EconomyError], row: TransactionRow, *, replayed: bool) -> tuple[Any, ...]:
    return kind, {"transaction_id": str(row.id), "replayed": replayed}


async def references(world: World) -> list[tuple[str, int]]:
    """What is claimed, and for whom."""
    rows = await world.sql(
        "SELECT value, user_id FROM claim WHERE kind = 'external_reference' ORDER BY value"
    )
    return [tuple(row) for row in rows]


async def test_one_that_is_begun_moves_nothing(sound: World) -> None:
    anna = sound.anna
    asked: dict[str, Any] = {"external_reference": "order 17 ☕", "idempotency_key": "key"}
    begun = await sound.begin(anna, 250, **asked)
    row = begun.transaction
    assert (row.user_id, row.kind, row.status, row.amount) == (anna.id, "top_up", "pending", 250)
    assert (row.seq, row.actor, row.idempotency_key) == (1, "server:test", "key")
    assert (row.external_reference, len(row.hash)) == ("order 17 ☕", 32)
    of_its_end = {"balance_after", "debt_after", "failure_code", "completed_at", "settled_seq"}
    of_its_end |= {"settled_hash", "product_id", "quantity", "quantity_after", "target_id"}
    assert {getattr(row, name) for name in of_its_end | {"shortfall"}} == {None}
    assert await journal_of(sound.services, anna) == [row]
    user = anna._replace(last_seq=1, chain_hash=row.hash)
    assert begun == Booking(row, user, None, None, False)
    assert await sound.worth(anna) == (0, 0)
    assert await references(sound) == [("order 17 ☕", anna.id)]
    async with nothing_changes(sound):
        assert await sound.begin(anna, 250, **asked) == begun._replace(replayed=True)
    assert await sound.sql("SELECT * FROM ledger_entry") == []


async def test_one_that_is_completed_after_others_were_booked(sound: World) -> None:
    """Its coins come when it is settled: it takes a number of its own then."""
    anna, asked = sound.anna, {"external_reference": "r", "idempotency_key": "k"}
    begun = (await sound.begin(anna, 250, **asked)).transaction
    await sound.credit(anna, 130)
    await sound.buy(anna, sound.boost)
    completed = await sound.complete(begun)
    row = completed.transaction
    assert row == begun._replace(
        status="completed",
        balance_after=280,
        debt_after=0,
        completed_at=row.completed_at,
        settled_seq=4,
        settled_hash=row.settled_hash,
    )
    assert row.completed_at is not None
    assert row.completed_at > row.created_at
    assert (completed.user.balance, completed.user.last_seq, completed.replayed) == (280, 4, False)
    assert completed.user.chain_hash == row.settled_hash
    assert (await sound.buy(anna, sound.boost)).user.balance == 180
    async with nothing_changes(sound):
        for again in (await sound.complete(begun), await sound.begin(anna, 250, **asked)):
            assert (again.transaction, again.user.balance, again.replayed) == (row, 280, True)
    rows = await journal_of(sound.services, anna)
    assert [(one.seq, one.settled_seq, one.balance_after) for one in rows] == [
        (1, 4, 280),
        (2, 2, 130),
        (3, 3, 30),
        (5, 5, 180),
    ]
    assert await references(sound) == [("r", anna.id)]


async def test_one_that_fails(sound: World) -> None:
    anna, asked = sound.anna, {"external_reference": "r", "idempotency_key": "k"}
    begun = (await sound.begin(anna, 250, **asked)).transaction
    failed = await sound.fail(begun)
    row = failed.transaction
    assert (row.status, row.failure_code, row.balance_after) == ("failed", "PAYMENT_FAILED", 0)
    assert (row.seq, row.settled_seq, failed.user.balance, failed.replayed) == (1, 2, 0, False)
    async with nothing_changes(sound):
        for again in (await sound.fail(begun), await sound.begin(anna, 250, **asked)):
            assert (again.transaction, again.replayed) == (row, True)
    assert await references(sound) == []
    async with one_decline(sound, anna):
        error = await error_of(sound.complete(begun))
    assert told(error)[:2] == too_late(PaymentFailed, begun, replayed=False)
    async with nothing_changes(sound):
        error = await error_of(sound.complete(begun))
    assert told(error)[:2] == too_late(PaymentFailed, begun, replayed=True)
    late = (await journal_of(sound.services, anna))[-1]
    assert (late.kind, late.status, late.failure_code) == (
        "top_up_settlement",
        "failed",
        "PAYMENT_FAILED",
    )
    assert (late.target_id, late.amount, late.balance_after, late.settled_seq) == (
        begun.id,
        250,
        0,
        3,
    )
    # the payment's id is free: whoever comes next may use it
    assert (await sound.credit(sound.boris, 5, external_reference="r")).user.balance == 5
    assert await references(sound) == [("r", sound.boris.id)]


async def test_one_that_is_completed_cannot_fail(sound: World) -> None:
    begun = (await sound.begin(sound.anna, 250, external_reference="r")).transaction
    await sound.complete(begun)
    for replayed in (False, True, True):
        error = await error_of(sound.fail(begun))
        assert told(error)[:2] == too_late(TopUpCompleted, begun, replayed=replayed)
    assert await sound.worth(sound.anna) == (250, 0)
    assert len(await journal_of(sound.services, sound.anna)) == 2
    assert await references(sound) == [("r", sound.anna.id)]


async def test_a_reference_is_of_one_that_is_pending_or_completed(sound: World) -> None:
    anna, boris = sound.anna, sound.boris
    first = (await sound.begin(anna, 250, external_reference="r")).transaction
    for user in (anna, boris):
        for ask in (sound.begin, sound.credit):
            async with one_decline(sound, user):
                error = await error_of(ask(user, 250, external_reference="r"))
            assert type(error) is AlreadyTaken
    await sound.fail(first)
    second = (await sound.begin(boris, 250, external_reference="r")).transaction
    await sound.complete(second)
    async with one_decline(sound, anna):
        assert type(await error_of(sound.begin(anna, 1, external_reference="r"))) is AlreadyTaken
    assert type(await error_of(sound.complete(first))) is PaymentFailed
    assert [await sound.worth(user) for user in (anna, boris)] == [(0, 0), (250, 0)]


@pytest.mark.parametrize("is_same_user", [True, False])
async def test_a_reference_that_is_set_free_in_the_batch_that_wants_it(
    sound: World, is_same_user: bool
) -> None:
    """Whoever gets it, it is claimed for; who does not is told so."""
    begun = (await sound.begin(sound.anna, 250, external_reference="r")).transaction
    user = sound.anna if is_same_user else sound.boris
    failed, credited = await asyncio.gather(
        sound.fail(begun), sound.credit(user, 5, external_reference="r"), return_exceptions=True
    )
    assert isinstance(failed, Booking)
    is_credited = isinstance(credited, Booking)
    assert is_credited or type(credited) is AlreadyTaken
    assert await references(sound) == ([("r", user.id)] if is_credited else [])
    assert await sound.worth(user) == (5 * is_credited, 0)


async def test_all_that_happens_to_one_in_a_single_batch(sound: World) -> None:
    anna, key = sound.anna, "k"
    begun = (await sound.begin(anna, 250, idempotency_key=key)).transaction
    early, poor, completed, bought, late, again, failed = await asyncio.gather(
        sound.begin(anna, 250, idempotency_key=key),
        sound.buy(anna, sound.boost),
        sound.complete(begun),
        sound.buy(anna, sound.boost, quantity=2),
        sound.begin(anna, 250, idempotency_key=key),
        sound.complete(begun),
        sound.fail(begun),
        return_exceptions=True,
    )
    answers = [early, completed, bought, late, again]
    assert [isinstance(answer, Booking) for answer in answers] == [True] * 5
    assert [
        (answer.transaction.status, answer.replayed)
        for answer in answers
        if isinstance(answer, Booking)
    ] == [
        ("pending", True),
        ("completed", False),
        ("completed", False),
        ("completed", True),
        ("completed", True),
    ]
    assert [type(poor).__name__, type(failed).__name__] == ["InsufficientFunds", "TopUpCompleted"]
    assert await sound.worth(anna) == (50, 0)
    rows = await journal_of(sound.services, anna)
    assert [(row.kind, row.seq, row.settled_seq, row.balance_after) for row in rows] == [
        ("top_up", 1, 3, 250),
        ("purchase", 2, 2, 0),
        ("purchase", 4, 4, 50),
        ("top_up_settlement", 5, 5, 50),
    ]


async def test_a_declined_one_was_never_pending(sound: World) -> None:
    """There is nothing to settle: the provider is told what became of it."""
    await sound.begin(sound.boris, 1, external_reference="r")
    assert type(await error_of(sound.begin(sound.anna, 9, external_reference="r"))) is AlreadyTaken
    [declined] = await journal_of(sound.services, sound.anna)
    async with nothing_changes(sound):
        answer = await sound.fail(declined)
    assert (answer.transaction, answer.replayed) == (declined, True)
    for _ in range(2):
        assert type(await error_of(sound.complete(declined))) is AlreadyTaken
    assert len(await journal_of(sound.services, sound.anna)) == 2
    credited = (await sound.credit(sound.anna, 9)).transaction  # never pending, and completed
    async with nothing_changes(sound):
        assert (await sound.complete(credited)).transaction == credited


async def test_the_balance_may_have_grown_too_much_meanwhile(database_url: str) -> None:
    settings = Settings(database_url=database_url, max_top_up_amount=BALANCE_LIMIT)
    async with open_services(settings) as services:
        world = await World.create(services)
        anna = world.anna
        begun = (await world.begin(anna, 1, external_reference="r")).transaction
        await world.credit(anna, BALANCE_LIMIT)
        async with one_decline(world, anna):  # no more could be paid: not begun at all
            assert type(await error_of(world.begin(anna, 1))) is BalanceLimit
        error = await error_of(world.complete(begun))
        assert told(error)[:2] == (
            BalanceLimit,
            {"replayed": False, "balance": BALANCE_LIMIT, "limit": BALANCE_LIMIT},
        )
        row = (await journal_of(services, anna))[0]
        assert (row.status, row.failure_code) == ("failed", "BALANCE_LIMIT")
        assert await references(world) == []
        await world.debit(anna, 5)  # too late: it has failed
        for replayed in (False, True):
            error = await error_of(world.complete(begun))
            assert (type(error), vars(error)["replayed"]) == (BalanceLimit, replayed)
        assert await world.worth(anna) == (BALANCE_LIMIT - 5, 0)
        assert await world.broken() == {}
