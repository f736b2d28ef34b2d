"""Idempotency, on both databases: one outcome per (user, kind, key), told again word for word."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from economy.errors import (
    ErrorCode,
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
    InvalidInput,
    ProductNotFound,
    UserNotFound,
)
from economy.models.inventory import HOLDING_LIMIT
from economy.models.product import ProductType
from economy.models.user import BALANCE_LIMIT
from economy.services.operations import Booking
from tests.journal import error_of, journal_of, nothing_changes
from tests.told_again import Scenario, told_twice
from tests.world import SERVER, World


@pytest.fixture
async def rich(world: World) -> World:
    """Anna has 1,000 coins, Boris none."""
    await world.credit(world.anna, 1_000)
    return world


async def test_a_credit_is_told_again(rich: World) -> None:
    first = await rich.credit(rich.anna, 50, idempotency_key="k", external_reference="order-1")
    await rich.credit(rich.anna, 7)
    async with nothing_changes(rich):
        again = await rich.credit(rich.anna, 50, idempotency_key="k", external_reference="order-1")
    # the balance of then; the rest of the user is as it is now
    newest = (await journal_of(rich.services, rich.anna))[-1]
    user = first.user._replace(last_seq=3, chain_hash=newest.hash)
    assert again == first._replace(user=user, replayed=True)
    assert (again.user.balance, first.replayed) == (1_050, False)


async def test_a_purchase_is_told_again(rich: World) -> None:
    first = await rich.buy(rich.anna, rich.boost, quantity=2, idempotency_key="k")
    await rich.buy(rich.anna, rich.boost)
    await rich.services.products.update_product(
        SERVER, str(rich.boost.id), {"price": 7, "is_active": False}
    )
    async with nothing_changes(rich):
        again = await rich.buy(rich.anna, rich.boost, quantity=2, idempotency_key="k")
    assert again.transaction == first.transaction
    assert again.item == first.item
    assert (again.user.balance, again.replayed) == (800, True)
    assert again.product == rich.boost._replace(price=7, is_active=False)


async def test_a_use_is_told_again(rich: World) -> None:
    await rich.buy(rich.anna, rich.boost, quantity=3)
    first = await rich.use(rich.anna, rich.boost, idempotency_key="k")
    await rich.use(rich.anna, rich.boost, quantity=2)  # nothing is left
    async with nothing_changes(rich):
        again = await rich.use(rich.anna, rich.boost, idempotency_key="k")
    assert again == first._replace(user=again.user, replayed=True)
    assert first.item is not None
    assert (first.item.quantity, again.user.balance) == (2, 700)


async def edit(world: World, **changes: Any) -> None:
    await world.services.products.update_product(SERVER, str(world.boost.id), changes)


async def hold(world: World, quantity: int) -> None:
    await world.sql("UPDATE inventory SET quantity = :quantity", quantity=quantity)


async def have(world: World, balance: int) -> None:
    await world.sql('UPDATE "user" SET balance = :balance', balance=balance)


# Anna has 900 coins and one boost.
DECLINED = {
    ErrorCode.INSUFFICIENT_FUNDS: Scenario(
        before=lambda world: have(world, 50),
        ask=lambda world: world.buy(world.anna, world.boost, idempotency_key="k"),
        then=lambda world: world.credit(world.anna, 5_000),
    ),
    ErrorCode.ALREADY_OWNED: Scenario(
        before=lambda world: world.buy(world.anna, world.premium),
        ask=lambda world: world.buy(world.anna, world.premium, idempotency_key="k"),
        then=lambda world: hold(world, 0),
    ),
    ErrorCode.PRODUCT_UNAVAILABLE: Scenario(
        before=lambda world: edit(world, is_active=False),
        ask=lambda world: world.buy(world.anna, world.boost, idempotency_key="k"),
        then=lambda world: edit(world, is_active=True),
    ),
    ErrorCode.PRICE_CHANGED: Scenario(
        before=lambda world: edit(world, price=98),
        ask=lambda world: world.buy(
            world.anna, world.boost, expected_price=99, idempotency_key="k"
        ),
        then=lambda world: edit(world, price=99),
    ),
    ErrorCode.HOLDING_LIMIT: Scenario(
        before=lambda world: hold(world, HOLDING_LIMIT),
        ask=lambda world: world.buy(world.anna, world.boost, idempotency_key="k"),
        then=lambda world: hold(world, 1),
    ),
    ErrorCode.NOT_ENOUGH_ITEMS: Scenario(
        before=lambda world: hold(world, 0),
        ask=lambda world: world.use(world.anna, world.boost, idempotency_key="k"),
        then=lambda world: world.buy(world.anna, world.boost),
    ),
    ErrorCode.PRODUCT_NOT_CONSUMABLE: Scenario(
        before=lambda world: world.buy(world.anna, world.premium),
        ask=lambda world: world.use(world.anna, world.premium, idempotency_key="k"),
        then=lambda world: world.credit(world.anna, 1),
    ),
    ErrorCode.BALANCE_LIMIT: Scenario(
        before=lambda world: have(world, BALANCE_LIMIT),
        ask=lambda world: world.credit(world.anna, 1, external_reference="r", idempotency_key="k"),
        then=lambda world: have(world, 1),
    ),
    ErrorCode.ALREADY_TAKEN: Scenario(
        before=lambda world: world.credit(world.boris, 1, external_reference="r"),
        ask=lambda world: world.credit(world.anna, 1, external_reference="r", idempotency_key="k"),
        then=lambda world: world.credit(world.anna, 1),
    ),
}


@pytest.mark.parametrize("code", DECLINED)
async def test_a_decline_is_told_again(rich: World, code: ErrorCode) -> None:
    await rich.buy(rich.anna, rich.boost)
    assert await told_twice(rich, DECLINED[code]) == code


@pytest.mark.parametrize(
    ("kind", "other"),
    [
        ("buy", {"quantity": 2}),
        ("buy", {"expected_price": 100}),
        ("buy", {"product_id": "2"}),
        ("buy", {"product_id": "999999"}),  # the key is looked at before the product
        ("use", {"quantity": 2}),
        ("use", {"product_id": "2"}),
        ("credit", {"amount": 2}),
        ("credit", {"external_reference": "r"}),
    ],
)
async def test_a_key_with_other_input(rich: World, kind: str, other: dict[str, Any]) -> None:
    asks: dict[str, Callable[..., Awaitable[Booking]]] = {
        "buy": partial(rich.buy, rich.anna, rich.boost),
        "use": partial(rich.use, rich.anna, rich.boost),
        "credit": partial(rich.credit, rich.anna, amount=1),
    }
    await rich.buy(rich.anna, rich.boost)
    first = await asks[kind](idempotency_key="k")
    async with nothing_changes(rich):
        error = await error_of(asks[kind](idempotency_key="k", **other))
        assert (type(error), vars(error)) == (IdempotencyKeyReused, {"idempotency_key": "k"})
        again = await asks[kind](idempotency_key="k")
    assert (again.transaction, again.replayed) == (first.transaction, True)


async def test_a_key_is_of_one_user_and_one_kind(rich: World) -> None:
    await rich.credit(rich.boris, 1_000, idempotency_key="k")
    bookings = [
        await rich.buy(rich.anna, rich.boost, idempotency_key="k"),
        await rich.use(rich.anna, rich.boost, idempotency_key="k"),
        await rich.credit(rich.anna, 1, idempotency_key="k"),
        await rich.buy(rich.boris, rich.boost, idempotency_key="k"),
        await rich.buy(rich.anna, rich.boost, idempotency_key="K"),
    ]
    assert [booking.replayed for booking in bookings] == [False] * 5
    assert len({booking.transaction.id for booking in bookings}) == 5


async def test_a_key_may_hold_every_visible_character(rich: World) -> None:
    """Quotes, braces and backslashes reach the database as they are."""
    key = "".join(map(chr, range(0x21, 0x7F)))
    first = await rich.buy(rich.anna, rich.boost, idempotency_key=key)
    async with nothing_changes(rich):
        again = await rich.buy(rich.anna, rich.boost, idempotency_key=key)
    assert (again.transaction, again.replayed) == (first.transaction, True)
    assert first.transaction.idempotency_key == key


async def test_without_a_key_every_request_counts(rich: World) -> None:
    assert (await rich.buy(rich.anna, rich.boost)).user.balance == 900
    assert (await rich.buy(rich.anna, rich.boost)).user.balance == 800


WRONG_KEYS: list[str] = ["", "a b", "ключ", "x" * 256, "\n"]


async def test_a_key_of_the_wrong_form(rich: World, subtests: pytest.Subtests) -> None:
    for key in WRONG_KEYS:
        with subtests.test(key=key):
            await rich.buy(rich.anna, rich.boost)
            async with nothing_changes(rich):
                for asked in (
                    rich.buy(rich.anna, rich.boost, idempotency_key=key),
                    rich.use(rich.anna, rich.boost, idempotency_key=key),
                    rich.credit(rich.anna, 1, idempotency_key=key),
                ):
                    assert type(await error_of(asked)) is IdempotencyKeyMissing


async def test_what_is_never_stored_leaves_the_key_free(rich: World) -> None:
    buy = partial(rich.buy, rich.anna, rich.boost, idempotency_key="k")
    async with nothing_changes(rich):
        assert type(await error_of(buy(quantity=0))) is InvalidInput
        assert type(await error_of(buy(product_id="abc"))) is ProductNotFound
        assert type(await error_of(buy(product_id="3"))) is ProductNotFound
        error = await error_of(buy(product_id=str(rich.premium.id), quantity=2))
        assert type(error) is InvalidInput
        error = await error_of(rich.use(rich.anna, rich.boost, product_id="3", idempotency_key="k"))
        assert type(error) is ProductNotFound
    product = await rich.services.products.create_product(
        SERVER, name="New", description="", price=1, type_=ProductType.CONSUMABLE, is_active=True
    )
    assert product.id == 3
    assert not (await buy(product_id="3")).replayed
    assert not (await rich.use(rich.anna, product, idempotency_key="k")).replayed


async def test_a_user_that_is_made_later_finds_its_key_free(rich: World) -> None:
    nobody = rich.anna._replace(id=3)
    async with nothing_changes(rich):
        asked = rich.credit(nobody, 5, idempotency_key="k", external_reference="r")
        assert type(await error_of(asked)) is UserNotFound
    vera = await rich.services.users.create_user(SERVER, username="vera", email="v@example.com")
    assert vera.id == 3
    booking = await rich.credit(vera, 5, idempotency_key="k", external_reference="r")
    assert (booking.user.balance, booking.replayed) == (5, False)
