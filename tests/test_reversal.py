"""Reversals, on both databases: coins and items go back, once, and debts are repaid."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from economy.bootstrap import open_services
from economy.errors import (
    AlreadyReversed,
    AlreadyTaken,
    BalanceLimit,
    EconomyError,
    Forbidden,
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
    InsufficientFunds,
    NotEnoughItems,
    NotReversible,
    TransactionNotFound,
    Unauthenticated,
    UserNotFound,
)
from economy.models.transaction import TransactionRow
from economy.models.user import BALANCE_LIMIT
from economy.services.access import ALL_SCOPES, Actor, Scope
from economy.services.operations import IfSpent
from economy.settings import Settings
from tests.journal import error_of, journal_of, journal_row, nothing_changes, one_decline, told
from tests.world import SERVER, World

TAKE: dict[str, Any] = {"if_spent": IfSpent.TAKE_WHAT_IS_LEFT}


@pytest.fixture
async def rich(world: World) -> AsyncIterator[World]:
    """Anna has 1,000 coins; whatever a test does, every invariant holds afterwards."""
    await world.credit(world.anna, 1_000)
    yield world
    assert await world.broken() == {}


async def price(world: World, coins: int) -> None:
    await world.services.products.update_product(SERVER, str(world.boost.id), {"price": coins})


async def test_a_purchase_is_undone(rich: World) -> None:
    anna, boost = rich.anna, rich.boost
    bought = (await rich.buy(anna, boost, quantity=3)).transaction
    await rich.buy(anna, boost)
    await price(rich, 7)  # the price of then is paid back
    first = await rich.reverse(bought, idempotency_key="k")
    row = first.transaction
    assert row == journal_row(
        row,
        hashed=["reversal", anna.id, str(bought.id), "refuse"],
        user_id=anna.id,
        seq=4,
        kind="reversal",
        status="completed",
        product_id=boost.id,
        quantity=3,
        amount=300,
        balance_after=900,
        quantity_after=1,
        actor="server:test",
        idempotency_key="k",
        target_id=bought.id,
        shortfall=0,
    )
    assert (first.user.balance, first.user.debt, first.item and first.item.quantity) == (900, 0, 1)
    assert (await rich.worth(anna), await rich.held(anna, boost)) == ((900, 0), 1)
    async with nothing_changes(rich):
        again = await rich.reverse(bought, idempotency_key="k")
        assert (again.transaction, again.item, again.replayed) == (row, first.item, True)
        reused = await error_of(rich.reverse(bought, idempotency_key="k", **TAKE))
        assert type(reused) is IdempotencyKeyReused
    for policy in ({}, TAKE):
        async with one_decline(rich, anna):
            error = await error_of(rich.reverse(bought, **policy))
        assert told(error)[:2] == (
            AlreadyReversed,
            {"replayed": False, "transaction_id": str(bought.id)},
        )
    rows = await journal_of(rich.services, anna)
    assert rows[1] == bought  # never an edit


async def test_a_top_up_is_undone(rich: World) -> None:
    paid = (await rich.credit(rich.anna, 250, external_reference="r")).transaction
    reversed_ = await rich.reverse(paid)
    assert (reversed_.user.balance, reversed_.item, reversed_.product) == (1_000, None, None)
    row = reversed_.transaction
    assert (row.amount, row.balance_after, row.shortfall, row.quantity) == (250, 1_000, 0, None)
    # the payment's id stays its own: nothing is credited under it again
    async with one_decline(rich, rich.boris):
        error = await error_of(rich.credit(rich.boris, 250, external_reference="r"))
    assert type(error) is AlreadyTaken


async def test_items_that_were_used_up(rich: World) -> None:
    anna, boost = rich.anna, rich.boost
    bought = (await rich.buy(anna, boost, quantity=3)).transaction
    await rich.use(anna, boost, quantity=2)
    async with one_decline(rich, anna):
        error = await error_of(rich.reverse(bought))
    assert told(error)[:2] == (
        NotEnoughItems,
        {"replayed": False, "product_id": str(boost.id), "held": 1},
    )
    row = (await rich.reverse(bought, **TAKE)).transaction
    assert (row.quantity, row.amount, row.shortfall) == (1, 100, 200)
    assert (row.balance_after, row.quantity_after) == (800, 0)
    gone = (await rich.buy(anna, boost)).transaction
    await rich.use(anna, boost)
    row = (await rich.reverse(gone, **TAKE)).transaction
    assert (row.quantity, row.amount, row.shortfall, row.balance_after) == (0, 0, 100, 700)
    assert type(await error_of(rich.reverse(row))) is NotReversible
    assert (await rich.worth(anna), await rich.held(anna, boost)) == ((700, 0), 0)


async def test_coins_that_were_spent_become_a_debt_and_are_repaid(rich: World) -> None:
    anna, boost = rich.anna, rich.boost
    [paid] = await journal_of(rich.services, anna)
    bought = (await rich.buy(anna, boost, quantity=9)).transaction
    async with one_decline(rich, anna):
        error = await error_of(rich.reverse(paid))
    assert told(error)[:2] == (
        InsufficientFunds,
        {"replayed": False, "balance": 100, "required": 1_000},
    )
    booking = await rich.reverse(paid, **TAKE)
    row = booking.transaction
    assert (row.amount, row.balance_after, row.debt_after, row.shortfall) == (1_000, 0, 900, 900)
    assert (booking.user.balance, booking.user.debt) == (0, 900)

    # in debt: what costs nothing can be had, and nothing else
    for asked in (rich.buy(anna, boost), rich.debit(anna, 1)):
        assert type(await error_of(asked)) is InsufficientFunds
    await price(rich, 0)
    await rich.buy(anna, boost)
    await rich.grant(anna, rich.premium)
    assert await rich.worth(anna) == (0, 900)

    # all that comes in repays it first
    credited = await rich.credit(anna, 200)
    assert (credited.user.balance, credited.user.debt) == (0, 700)
    begun = (await rich.begin(anna, 100)).transaction
    assert await rich.worth(anna) == (0, 700)
    completed = await rich.complete(begun)
    assert (completed.user.balance, completed.user.debt) == (0, 600)
    assert completed.transaction.debt_after == 600
    refund = await rich.reverse(bought)  # 900 coins
    assert (refund.transaction.amount, refund.user.balance, refund.user.debt) == (900, 300, 0)
    assert await rich.worth(anna) == (300, 0)
    assert await rich.held(anna, boost) == 1
    # a replay tells the debt of then
    again = await rich.reverse(paid, **TAKE, idempotency_key=row.idempotency_key)
    assert (again.replayed, again.user.balance, again.user.debt) == (True, 0, 900)


async def test_a_permanent_product_can_be_bought_again(rich: World) -> None:
    anna, premium = rich.anna, rich.premium
    first = (await rich.buy(anna, premium)).transaction
    await rich.reverse(first)
    second = (await rich.buy(anna, premium)).transaction
    assert (await rich.worth(anna), await rich.held(anna, premium)) == ((500, 0), 1)
    assert type(await error_of(rich.reverse(first))) is AlreadyReversed
    await rich.reverse(second)
    assert (await rich.worth(anna), await rich.held(anna, premium)) == ((1_000, 0), 0)
    assert await rich.services.inventory.inventory_of(SERVER, str(anna.id)) == []


async def test_what_was_bought_stays_popular(rich: World) -> None:
    bought = (await rich.buy(rich.anna, rich.boost)).transaction
    await rich.reverse(bought)
    [popular] = await rich.services.analytics.popular_products(SERVER, limit=5)
    assert (popular.product_id, popular.purchases) == (rich.boost.id, 1)


async def what_cannot_be_undone(world: World) -> list[TransactionRow]:
    anna, boost = world.anna, world.boost
    await error_of(world.buy(anna, boost, quantity=99))
    declined = (await journal_of(world.services, anna))[-1]
    begun = (await world.begin(anna, 5)).transaction
    failed = await world.fail((await world.begin(anna, 5)).transaction)
    await error_of(world.complete(failed.transaction))
    late = (await journal_of(world.services, anna))[-1]
    bought = (await world.buy(anna, boost)).transaction
    others = [
        await world.grant(anna, boost, quantity=3),
        await world.use(anna, boost),
        await world.revoke(anna, boost),
        await world.debit(anna, 7),
        await world.reverse(bought),
    ]
    return [declined, begun, failed.transaction, late, *(one.transaction for one in others)]


async def test_what_cannot_be_undone(rich: World) -> None:
    rows = await what_cannot_be_undone(rich)
    assert len({(row.kind, row.status) for row in rows}) == len(rows)
    for row in rows:
        for policy in ({}, TAKE):
            async with one_decline(rich, rich.anna):
                error = await error_of(rich.reverse(row, **policy))
            assert told(error)[:2] == (
                NotReversible,
                {"replayed": False, "transaction_id": str(row.id)},
            )
    # the one that was pending can be, once it is paid
    paid = (await rich.complete(rows[1])).transaction
    assert (await rich.reverse(paid)).transaction.shortfall == 0


async def test_who_may_and_what(rich: World) -> None:
    [paid] = await journal_of(rich.services, rich.anna)
    cases: list[tuple[Actor | None, dict[str, Any], type[EconomyError]]] = [
        (None, {}, Unauthenticated),
        (Actor.player(rich.anna.id), {}, Forbidden),
        (Actor.server("s", ALL_SCOPES - {Scope.FUNDS_WRITE}), {}, Forbidden),
        (Actor.server("s", ALL_SCOPES - {Scope.ITEMS_WRITE}), {}, Forbidden),
        (SERVER, {"user_id": str(rich.boris.id)}, TransactionNotFound),
        (SERVER, {"transaction_id": uuid4()}, TransactionNotFound),
        (SERVER, {"user_id": "999"}, UserNotFound),
        (SERVER, {"user_id": "abc"}, UserNotFound),
        (SERVER, {"idempotency_key": None}, IdempotencyKeyMissing),
        (SERVER, {"idempotency_key": "a b"}, IdempotencyKeyMissing),
    ]
    async with nothing_changes(rich):
        for actor, changes, refusal in cases:
            asked: dict[str, Any] = {"user_id": str(rich.anna.id), "transaction_id": paid.id}
            asked |= {"if_spent": IfSpent.REFUSE, "idempotency_key": "k"} | changes
            assert type(await error_of(rich.services.reversals.reverse(actor, **asked))) is refusal
    right = Actor.server("s", frozenset({Scope.FUNDS_WRITE, Scope.ITEMS_WRITE}))
    asked = {"user_id": str(rich.anna.id), "transaction_id": paid.id, "idempotency_key": "k"}
    booking = await rich.services.reversals.reverse(right, **asked, if_spent=IfSpent.REFUSE)
    assert booking.user.balance == 0


async def test_neither_balance_nor_debt_grows_beyond_its_limit(database_url: str) -> None:
    settings = Settings(database_url=database_url, max_top_up_amount=BALANCE_LIMIT)
    async with open_services(settings) as services:
        world = await World.create(services)
        anna = world.anna
        paid = []
        for _ in range(2):
            paid.append((await world.credit(anna, BALANCE_LIMIT)).transaction)
            bought = (await world.buy(anna, world.boost)).transaction
            await world.debit(anna, BALANCE_LIMIT - 100)
        await world.credit(anna, BALANCE_LIMIT - 99)
        limits = {"replayed": False, "limit": BALANCE_LIMIT}
        async with one_decline(world, anna):
            error = await error_of(world.reverse(bought))
        assert told(error)[:2] == (BalanceLimit, limits | {"balance": BALANCE_LIMIT - 99})
        await world.debit(anna, BALANCE_LIMIT - 99)
        await world.reverse(paid[0], **TAKE)
        assert await world.worth(anna) == (0, BALANCE_LIMIT)
        async with one_decline(world, anna):
            error = await error_of(world.reverse(paid[1], **TAKE))
        assert told(error)[:2] == (BalanceLimit, limits | {"balance": 0})
        assert (await world.reverse(bought)).user.debt == BALANCE_LIMIT - 100
        assert await world.broken() == {}
