"""Buying, on both databases: every success, decline and refusal, to the last column."""

from datetime import UTC, datetime
from typing import Any

import pytest

from economy.errors import (
    AlreadyOwned,
    EconomyError,
    Forbidden,
    HoldingLimit,
    InsufficientFunds,
    InvalidInput,
    PriceChanged,
    ProductNotFound,
    ProductUnavailable,
    Unauthenticated,
    UserNotFound,
)
from economy.models.inventory import HOLDING_LIMIT, InventoryRow
from economy.models.product import ProductRow
from economy.models.user import UserRow
from economy.services.access import ALL_SCOPES, Actor, Scope
from economy.services.operations import Booking
from tests.journal import error_of, journal_of, journal_row, nothing_changes, one_decline, told
from tests.world import SERVER, World


@pytest.fixture
async def rich(world: World) -> World:
    """Anna has 1,000 coins, Boris none."""
    await world.credit(world.anna, 1_000)
    return world


async def ask(world: World, actor: Actor | None, **changes: Any) -> Booking:
    arguments: dict[str, Any] = {"quantity": 1, "expected_price": None, "user_id": None}
    arguments |= {"product_id": str(world.boost.id), "idempotency_key": None} | changes
    return await world.services.purchases.purchase(actor, **arguments)


async def items_of(world: World, user: UserRow) -> list[InventoryRow]:
    return (await world.services.inventory.inventories([user.id]))[user.id]


async def set_held(world: World, user: UserRow, product: ProductRow, quantity: int) -> None:
    await world.sql(
        "UPDATE inventory SET quantity = :quantity WHERE user_id = :user AND product_id = :product",
        quantity=quantity,
        user=user.id,
        product=product.id,
    )


async def test_first_purchase(rich: World) -> None:
    anna, boost = rich.anna, rich.boost
    before = datetime.now(UTC)
    booking = await rich.buy(anna, boost, quantity=3, idempotency_key="first")
    after = datetime.now(UTC)

    row = booking.transaction
    assert before <= row.created_at <= after
    assert row == journal_row(
        row,
        hashed=["purchase", anna.id, boost.id, 3, None],
        user_id=anna.id,
        seq=2,
        kind="purchase",
        status="completed",
        product_id=boost.id,
        quantity=3,
        amount=300,
        balance_after=700,
        quantity_after=3,
        actor=f"player:{anna.id}",
        idempotency_key="first",
    )
    assert (await journal_of(rich.services, anna))[1:] == [row]
    assert booking.user == anna._replace(balance=700, last_seq=2, chain_hash=row.hash)
    assert booking.product == boost
    assert booking.item is not None
    assert booking.item == InventoryRow(
        anna.id, booking.item.id, boost.id, "consumable", 3, row.created_at
    )
    assert await items_of(rich, anna) == [booking.item]
    assert not booking.replayed


async def test_quantity_grows_and_the_first_purchase_stays(rich: World) -> None:
    anna, boost = rich.anna, rich.boost
    first = await rich.buy(anna, boost)
    second = await rich.buy(anna, boost, quantity=4)
    assert first.item is not None
    assert second.item == first.item._replace(quantity=5)
    assert second.transaction.created_at > first.item.purchased_at
    assert (second.transaction.balance_after, second.transaction.quantity_after) == (500, 5)
    assert await items_of(rich, anna) == [second.item]
    assert (await rich.state())["user"] == [(anna.id, 500, 3), (rich.boris.id, 0, 0)]


async def test_permanent_and_consumable_in_the_order_of_first_purchase(rich: World) -> None:
    premium = await rich.buy(rich.anna, rich.premium)
    boost = await rich.buy(rich.anna, rich.boost)
    assert premium.item is not None
    assert (premium.item.product_type, premium.item.quantity) == ("permanent", 1)
    assert await items_of(rich, rich.anna) == [premium.item, boost.item]
    assert (await rich.state())["user"][0] == (rich.anna.id, 400, 3)


async def test_the_last_coin_buys(rich: World) -> None:
    booking = await rich.buy(rich.anna, rich.boost, quantity=10, expected_price=100)
    assert (booking.user.balance, booking.transaction.amount) == (0, 1_000)


async def test_a_free_product_needs_no_coins(rich: World) -> None:
    await rich.services.products.update_product(SERVER, str(rich.boost.id), {"price": 0})
    booking = await rich.buy(rich.boris, rich.boost, quantity=1_000)
    assert booking.item is not None
    assert (booking.transaction.amount, booking.user.balance, booking.item.quantity) == (0, 0, 1000)


async def test_a_server_buys_for_a_user(rich: World) -> None:
    actor = Actor.server("shop", frozenset({Scope.ITEMS_WRITE}))
    booking = await ask(rich, actor, user_id=str(rich.anna.id))
    assert (booking.transaction.actor, booking.user.balance) == ("server:shop", 900)
    booking = await ask(rich, Actor.player(rich.anna.id), user_id=str(rich.anna.id))
    assert (booking.transaction.actor, booking.user.balance) == (f"player:{rich.anna.id}", 800)


async def test_insufficient_funds(rich: World) -> None:
    async with one_decline(rich, rich.anna):
        error = await error_of(rich.buy(rich.anna, rich.boost, quantity=11, idempotency_key="k"))
    assert told(error) == (
        InsufficientFunds,
        {"replayed": False, "balance": 1_000, "required": 1_100},
        "The balance is 1000, this needs 1100.",
    )
    row = (await journal_of(rich.services, rich.anna))[-1]
    assert row == journal_row(
        row,
        hashed=["purchase", rich.anna.id, rich.boost.id, 11, None],
        user_id=rich.anna.id,
        seq=2,
        kind="purchase",
        status="failed",
        product_id=rich.boost.id,
        quantity=11,
        amount=1_100,
        balance_after=1_000,
        quantity_after=0,
        failure_code="INSUFFICIENT_FUNDS",
        actor=f"player:{rich.anna.id}",
        idempotency_key="k",
    )


async def test_already_owned(rich: World) -> None:
    await rich.buy(rich.anna, rich.premium)
    async with one_decline(rich, rich.anna):
        error = await error_of(rich.buy(rich.anna, rich.premium))
    assert told(error)[:2] == (
        AlreadyOwned,
        {"replayed": False, "product_id": str(rich.premium.id)},
    )
    row = (await journal_of(rich.services, rich.anna))[-1]
    assert (row.failure_code, row.seq, row.amount) == ("ALREADY_OWNED", 3, 500)
    assert (row.balance_after, row.quantity_after, row.idempotency_key) == (500, 1, None)


async def test_product_unavailable(rich: World) -> None:
    await rich.services.products.update_product(SERVER, str(rich.boost.id), {"is_active": False})
    async with one_decline(rich, rich.anna):
        error = await error_of(rich.buy(rich.anna, rich.boost))
    assert told(error)[:2] == (
        ProductUnavailable,
        {"replayed": False, "product_id": str(rich.boost.id)},
    )
    row = (await journal_of(rich.services, rich.anna))[-1]
    assert (row.failure_code, row.seq, row.amount) == ("PRODUCT_UNAVAILABLE", 2, 100)
    assert (row.balance_after, row.quantity_after) == (1_000, 0)


async def test_price_changed(rich: World) -> None:
    await rich.services.products.update_product(SERVER, str(rich.boost.id), {"price": 120})
    async with one_decline(rich, rich.anna):
        error = await error_of(rich.buy(rich.anna, rich.boost, quantity=2, expected_price=100))
    assert told(error)[:2] == (PriceChanged, {"replayed": False, "price": 120})
    row = (await journal_of(rich.services, rich.anna))[-1]
    assert (row.failure_code, row.seq, row.amount) == ("PRICE_CHANGED", 2, 240)
    booking = await rich.buy(rich.anna, rich.boost, quantity=2, expected_price=120)
    assert (booking.user.balance, booking.transaction.amount) == (760, 240)


async def test_holding_limit(rich: World) -> None:
    await rich.buy(rich.anna, rich.boost)
    await set_held(rich, rich.anna, rich.boost, HOLDING_LIMIT - 1)
    async with one_decline(rich, rich.anna):
        error = await error_of(rich.buy(rich.anna, rich.boost, quantity=2))
    assert told(error)[:2] == (
        HoldingLimit,
        {
            "replayed": False,
            "product_id": str(rich.boost.id),
            "held": HOLDING_LIMIT - 1,
            "limit": HOLDING_LIMIT,
        },
    )
    booking = await rich.buy(rich.anna, rich.boost)
    assert booking.item is not None
    assert booking.item.quantity == HOLDING_LIMIT


NO_PRODUCT: list[str] = ["abc", str(2**70), "01", "-1", "0", "", "1 ", "999999"]


async def test_product_that_does_not_exist(rich: World, subtests: pytest.Subtests) -> None:
    for product_id in NO_PRODUCT:
        with subtests.test(product_id=product_id):
            async with nothing_changes(rich):
                error = await error_of(ask(rich, Actor.player(rich.anna.id), product_id=product_id))
            assert told(error)[:2] == (ProductNotFound, {"product_id": product_id})


OUT_OF_BOUNDS: list[tuple[dict[str, Any], str]] = [
    ({"quantity": 0}, "quantity"),
    ({"quantity": -1}, "quantity"),
    ({"quantity": 1_001}, "quantity"),
    ({"quantity": 2**70}, "quantity"),
    ({"expected_price": -1}, "expected_price"),
    ({"expected_price": 2**53}, "expected_price"),
    # bounds come before the product is looked up
    ({"quantity": 0, "product_id": "abc"}, "quantity"),
]


async def test_input_out_of_bounds(rich: World, subtests: pytest.Subtests) -> None:
    for changes, field in OUT_OF_BOUNDS:
        with subtests.test(changes=changes, field=field):
            async with nothing_changes(rich):
                error = await error_of(ask(rich, Actor.player(rich.anna.id), **changes))
            assert isinstance(error, InvalidInput)
            assert [problem.path for problem in error.problems] == [(field,)]


async def test_a_permanent_product_is_bought_one_at_a_time(rich: World) -> None:
    async with nothing_changes(rich):
        error = await error_of(rich.buy(rich.anna, rich.premium, quantity=2))
    assert isinstance(error, InvalidInput)
    assert [problem.path for problem in error.problems] == [("quantity",)]


REFUSED: list[tuple[Actor | None, str | None, type[EconomyError]]] = [
    (None, None, Unauthenticated),
    (None, "1", Unauthenticated),
    (Actor.player(1), "2", Forbidden),
    (Actor.player(1), "999999", Forbidden),  # whether it exists or not
    (Actor.player(1), "abc", Forbidden),
    (Actor.player(1), "01", Forbidden),
    (Actor.server("s", ALL_SCOPES - {Scope.ITEMS_WRITE}), "1", Forbidden),
    (Actor.server("s", frozenset()), None, Forbidden),
    (SERVER, None, InvalidInput),
    (SERVER, "abc", UserNotFound),
    (SERVER, str(2**70), UserNotFound),
    (SERVER, "01", UserNotFound),
    (SERVER, "-1", UserNotFound),
    (SERVER, "999999", UserNotFound),
    (Actor.player(999_999), None, UserNotFound),
]


async def test_who_may_not_buy(rich: World, subtests: pytest.Subtests) -> None:
    for actor, user_id, refusal in REFUSED:
        with subtests.test(actor=actor, user_id=user_id, refusal=refusal):
            assert (rich.anna.id, rich.boris.id) == (1, 2)
            async with nothing_changes(rich):
                assert type(await error_of(ask(rich, actor, user_id=user_id))) is refusal
