"""Items that a server gives and takes, on both databases: journalled like everything else."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from economy.errors import (
    AlreadyOwned,
    EconomyError,
    Forbidden,
    HoldingLimit,
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
    InvalidInput,
    NotEnoughItems,
    ProductNotFound,
    Unauthenticated,
    UserNotFound,
)
from economy.models.inventory import HOLDING_LIMIT
from economy.services.access import ALL_SCOPES, Actor, Scope
from tests.journal import error_of, journal_of, journal_row, nothing_changes, one_decline, told
from tests.world import SERVER, World


@pytest.fixture
async def sound(world: World) -> AsyncIterator[World]:
    """Whatever a test does to it, every invariant holds afterwards."""
    yield world
    assert await world.broken() == {}


async def test_items_are_given_and_taken(sound: World) -> None:
    anna, boost = sound.anna, sound.boost
    await sound.services.products.update_product(SERVER, str(boost.id), {"is_active": False})
    given = await sound.grant(anna, boost, quantity=5, idempotency_key="k")
    taken = await sound.revoke(anna, boost, quantity=3, idempotency_key="k")
    common: dict[str, Any] = {"user_id": anna.id, "status": "completed", "product_id": boost.id}
    common |= {"amount": 0, "balance_after": 0, "actor": "server:test", "idempotency_key": "k"}
    rows = [given.transaction, taken.transaction]
    for seq, (row, kind, quantity, left) in enumerate(
        zip(rows, ["grant", "revocation"], [5, 3], [5, 2], strict=True), start=1
    ):
        hashed: list[object] = [kind, anna.id, boost.id, quantity]
        changes = {"seq": seq, "kind": kind, "quantity": quantity, "quantity_after": left}
        assert row == journal_row(row, hashed=hashed, **common, **changes)
    assert await journal_of(sound.services, anna) == rows
    assert (given.item and given.item.quantity, taken.item and taken.item.quantity) == (5, 2)
    [item] = await sound.services.inventory.inventory_of(SERVER, str(anna.id))
    assert (item.product_id, item.quantity) == (boost.id, 2)
    async with nothing_changes(sound):
        for ask, quantity, first in ((sound.grant, 5, given), (sound.revoke, 3, taken)):
            again = await ask(anna, boost, quantity=quantity, idempotency_key="k")
            assert (again.transaction, again.item) == (first.transaction, first.item)
            assert again.replayed
            error = await error_of(ask(anna, boost, quantity=quantity + 1, idempotency_key="k"))
            assert type(error) is IdempotencyKeyReused
    assert (await sound.use(anna, boost)).user.balance == 0  # given is as good as bought
    legs = await sound.sql("SELECT DISTINCT amount FROM ledger_entry")
    assert [leg.amount for leg in legs] == [0]


async def test_a_permanent_product_is_given_once_and_can_be_taken(sound: World) -> None:
    anna, premium = sound.anna, sound.premium
    for _ in range(2):
        await sound.grant(anna, premium)
        async with one_decline(sound, anna):
            error = await error_of(sound.grant(anna, premium))
        assert told(error)[:2] == (
            AlreadyOwned,
            {"replayed": False, "product_id": str(premium.id)},
        )
        await sound.revoke(anna, premium)
        async with one_decline(sound, anna):
            error = await error_of(sound.revoke(anna, premium))
        assert told(error)[:2] == (
            NotEnoughItems,
            {"replayed": False, "product_id": str(premium.id), "held": 0},
        )
    await sound.credit(anna, 500)
    assert (await sound.buy(anna, premium)).user.balance == 0
    assert type(await error_of(sound.grant(anna, premium))) is AlreadyOwned


async def test_holding_limit(world: World) -> None:
    """No billion is reached by a thousand at once: the rest is written behind the back."""
    anna, boost = world.anna, world.boost
    await world.grant(anna, boost, quantity=1_000)
    await world.sql("UPDATE inventory SET quantity = :most", most=HOLDING_LIMIT - 10)
    async with one_decline(world, anna):
        error = await error_of(world.grant(anna, boost, quantity=11))
    assert told(error)[:2] == (
        HoldingLimit,
        {
            "replayed": False,
            "product_id": str(boost.id),
            "held": HOLDING_LIMIT - 10,
            "limit": HOLDING_LIMIT,
        },
    )
    assert (await world.grant(anna, boost, quantity=10)).transaction.quantity_after == HOLDING_LIMIT


async def test_what_is_refused(sound: World) -> None:
    await sound.grant(sound.anna, sound.boost)
    without = Actor.server("s", ALL_SCOPES - {Scope.ITEMS_WRITE})
    cases: list[tuple[Actor | None, dict[str, Any], type[EconomyError]]] = [
        (None, {}, Unauthenticated),
        (Actor.player(sound.anna.id), {}, Forbidden),
        (without, {}, Forbidden),
        (SERVER, {"quantity": 0}, InvalidInput),
        (SERVER, {"quantity": 1_001}, InvalidInput),
        (SERVER, {"idempotency_key": None}, IdempotencyKeyMissing),
        (SERVER, {"idempotency_key": "ключ"}, IdempotencyKeyMissing),
        (SERVER, {"user_id": "abc"}, UserNotFound),
        (SERVER, {"user_id": "999"}, UserNotFound),
        (SERVER, {"product_id": "abc"}, ProductNotFound),
        (SERVER, {"product_id": "999"}, ProductNotFound),
    ]
    grants = sound.services.grants
    async with nothing_changes(sound):
        for actor, changes, refusal in cases:
            asked: dict[str, Any] = {"user_id": str(sound.anna.id), "idempotency_key": "k"}
            asked |= {"product_id": str(sound.boost.id), "quantity": 1} | changes
            assert type(await error_of(grants.grant(actor, **asked))) is refusal
            assert type(await error_of(grants.revoke(actor, **asked))) is refusal
        error = await error_of(sound.grant(sound.anna, sound.premium, quantity=2))
        assert type(error) is InvalidInput
    right = Actor.server("loot", frozenset({Scope.ITEMS_WRITE}))
    booking = await grants.revoke(
        right, user_id="1", product_id="1", quantity=1, idempotency_key="k"
    )
    assert booking.transaction.actor == "server:loot"
