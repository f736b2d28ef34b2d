"""Using up, on both databases: every success, decline and refusal, to the last column."""

from typing import Any

import pytest

from economy.errors import (
    EconomyError,
    Forbidden,
    InvalidInput,
    NotEnoughItems,
    ProductNotConsumable,
    ProductNotFound,
    Unauthenticated,
    UserNotFound,
)
from economy.services.access import ALL_SCOPES, Actor, Scope
from economy.services.operations import Booking
from tests.journal import error_of, journal_of, journal_row, nothing_changes, one_decline, told
from tests.world import SERVER, World


@pytest.fixture
async def stocked(world: World) -> World:
    """Anna holds three boosts and the premium status, and has 200 coins left."""
    await world.credit(world.anna, 1_000)
    await world.buy(world.anna, world.boost, quantity=3)
    await world.buy(world.anna, world.premium)
    return world


async def ask(world: World, actor: Actor | None, **changes: Any) -> Booking:
    arguments: dict[str, Any] = {"product_id": str(world.boost.id), "quantity": 1}
    arguments |= {"user_id": None, "idempotency_key": None} | changes
    return await world.services.inventory.use_item(actor, **arguments)


async def listed(world: World) -> list[tuple[int, int]]:
    items = await world.services.inventory.inventory_of(SERVER, str(world.anna.id))
    return [(item.product_id, item.quantity) for item in items]


async def test_use(stocked: World) -> None:
    anna, boost = stocked.anna, stocked.boost
    [held, _] = await stocked.services.inventory.inventory_of(SERVER, str(anna.id))
    booking = await stocked.use(anna, boost, quantity=2, idempotency_key="u")
    row = booking.transaction
    assert row == journal_row(
        row,
        hashed=["use", anna.id, boost.id, 2],
        user_id=anna.id,
        seq=4,
        kind="use",
        status="completed",
        product_id=boost.id,
        quantity=2,
        amount=0,
        balance_after=200,
        quantity_after=1,
        actor=f"player:{anna.id}",
        idempotency_key="u",
    )
    assert (await journal_of(stocked.services, anna))[3:] == [row]
    assert booking.user == anna._replace(balance=200, last_seq=4, chain_hash=row.hash)
    assert booking.product == boost
    assert booking.item == held._replace(quantity=1)
    assert not booking.replayed
    assert await listed(stocked) == [(boost.id, 1), (stocked.premium.id, 1)]


async def test_used_up_the_row_stays_but_is_not_listed(stocked: World) -> None:
    anna, boost, premium = stocked.anna, stocked.boost, stocked.premium
    [held, owned] = await stocked.services.inventory.inventory_of(SERVER, str(anna.id))
    booking = await stocked.use(anna, boost, quantity=3)
    assert booking.item == held._replace(quantity=0)
    rows = (await stocked.state())["inventory"]
    assert rows == [(anna.id, boost.id, 0), (anna.id, premium.id, 1)]
    assert await listed(stocked) == [(premium.id, 1)]

    again = await stocked.buy(anna, boost)  # the same row, first bought when it was first bought
    assert again.item == held._replace(quantity=1)
    items = await stocked.services.inventory.inventory_of(SERVER, str(anna.id))
    assert items == [held._replace(quantity=1), owned]


async def test_what_is_no_longer_sold_can_be_used(stocked: World) -> None:
    await stocked.services.products.update_product(
        SERVER, str(stocked.boost.id), {"is_active": False}
    )
    booking = await stocked.use(stocked.anna, stocked.boost)
    assert booking.transaction.quantity_after == 2
    assert booking.product == stocked.boost._replace(is_active=False)


async def test_a_server_uses_for_a_user(stocked: World) -> None:
    actor = Actor.server("game", frozenset({Scope.ITEMS_WRITE}))
    booking = await ask(stocked, actor, user_id=str(stocked.anna.id))
    assert (booking.transaction.actor, booking.transaction.quantity_after) == ("server:game", 2)


async def test_not_enough_items(stocked: World) -> None:
    anna, boost = stocked.anna, stocked.boost
    async with one_decline(stocked, anna):
        error = await error_of(stocked.use(anna, boost, quantity=4))
    assert told(error) == (
        NotEnoughItems,
        {"replayed": False, "product_id": str(boost.id), "held": 3},
        "Only 3 are held.",
    )
    row = (await journal_of(stocked.services, anna))[-1]
    assert row == journal_row(
        row,
        hashed=["use", anna.id, boost.id, 4],
        user_id=anna.id,
        seq=4,
        kind="use",
        status="failed",
        product_id=boost.id,
        quantity=4,
        amount=0,
        balance_after=200,
        quantity_after=3,
        failure_code="NOT_ENOUGH_ITEMS",
        actor=f"player:{anna.id}",
    )
    assert await listed(stocked) == [(boost.id, 3), (stocked.premium.id, 1)]


async def test_nothing_is_held(stocked: World) -> None:
    """Neither what was never bought nor what was used up can be used."""
    async with one_decline(stocked, stocked.boris):
        error = await error_of(stocked.use(stocked.boris, stocked.boost))
    assert (type(error), vars(error)["held"]) == (NotEnoughItems, 0)
    await stocked.use(stocked.anna, stocked.boost, quantity=3)
    async with one_decline(stocked, stocked.anna):
        error = await error_of(stocked.use(stocked.anna, stocked.boost))
    assert (type(error), vars(error)["held"]) == (NotEnoughItems, 0)


@pytest.mark.parametrize("is_owned", [True, False])
async def test_a_permanent_product_is_not_used_up(stocked: World, is_owned: bool) -> None:
    user = stocked.anna if is_owned else stocked.boris
    async with one_decline(stocked, user):
        error = await error_of(stocked.use(user, stocked.premium))
    assert told(error)[:2] == (
        ProductNotConsumable,
        {"replayed": False, "product_id": str(stocked.premium.id)},
    )
    row = (await journal_of(stocked.services, user))[-1]
    assert (row.failure_code, row.amount) == ("PRODUCT_NOT_CONSUMABLE", 0)
    assert row.quantity_after == int(is_owned)


NO_PRODUCT: list[str] = ["abc", str(2**70), "01", "-1", "0", "", "999999"]


async def test_product_that_does_not_exist(stocked: World, subtests: pytest.Subtests) -> None:
    for product_id in NO_PRODUCT:
        with subtests.test(product_id=product_id):
            async with nothing_changes(stocked):
                error = await error_of(
                    ask(stocked, Actor.player(stocked.anna.id), product_id=product_id)
                )
            assert told(error)[:2] == (ProductNotFound, {"product_id": product_id})


OUT_OF_BOUNDS: list[int] = [0, -1, 1_001, 2**70]


async def test_quantity_out_of_bounds(stocked: World, subtests: pytest.Subtests) -> None:
    for quantity in OUT_OF_BOUNDS:
        with subtests.test(quantity=quantity):
            async with nothing_changes(stocked):
                error = await error_of(stocked.use(stocked.anna, stocked.boost, quantity=quantity))
            assert isinstance(error, InvalidInput)
            assert [problem.path for problem in error.problems] == [("quantity",)]


REFUSED: list[tuple[Actor | None, str | None, type[EconomyError]]] = [
    (None, None, Unauthenticated),
    (None, "1", Unauthenticated),
    (Actor.player(2), "1", Forbidden),
    (Actor.player(1), "999999", Forbidden),  # whether it exists or not
    (Actor.player(1), "abc", Forbidden),
    (Actor.player(1), "01", Forbidden),
    (Actor.server("s", ALL_SCOPES - {Scope.ITEMS_WRITE}), "1", Forbidden),
    (SERVER, None, InvalidInput),
    (SERVER, "abc", UserNotFound),
    (SERVER, str(2**70), UserNotFound),
    (SERVER, "01", UserNotFound),
    (SERVER, "-1", UserNotFound),
    (SERVER, "999999", UserNotFound),
    (Actor.player(999_999), None, UserNotFound),
]


async def test_who_may_not_use(stocked: World, subtests: pytest.Subtests) -> None:
    for actor, user_id, refusal in REFUSED:
        with subtests.test(actor=actor, user_id=user_id, refusal=refusal):
            assert (stocked.anna.id, stocked.boris.id) == (1, 2)
            async with nothing_changes(stocked):
                assert type(await error_of(ask(stocked, actor, user_id=user_id))) is refusal
