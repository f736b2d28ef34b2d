"""Idempotency, on both databases: one outcome per (user, kind, key), told again word for word."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from economy.bootstrap import open_services
from economy.errors import (
    EconomyError,
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
from economy.settings import Settings
from tests.journal import error_of, journal_of, nothing_changes, one_decline
from tests.world import SERVER, World

Step = Callable[[], Awaitable[object]]


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
    user = first.user._replace(last_seq=3)
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


async def decline(world: World, code: ErrorCode) -> tuple[Step, Step]:
    """What will be declined with that code, and what happens before it is asked again."""
    anna, boost, premium = world.anna, world.boost, world.premium

    async def edit(**changes: Any) -> Any:
        return await world.services.products.update_product(SERVER, str(boost.id), changes)

    async def hold(quantity: int) -> Any:
        await world.sql("UPDATE inventory SET quantity = :quantity", quantity=quantity)

    async def have(balance: int) -> Any:
        await world.sql('UPDATE "user" SET balance = :balance', balance=balance)

    keyed = {"idempotency_key": "k"}
    match code:
        case ErrorCode.INSUFFICIENT_FUNDS:
            ask = partial(world.buy, anna, boost, quantity=11, **keyed)
            return ask, partial(world.credit, anna, 5_000)
        case ErrorCode.ALREADY_OWNED:
            await world.buy(anna, premium)
            return partial(world.buy, anna, premium, **keyed), partial(hold, 0)
        case ErrorCode.PRODUCT_UNAVAILABLE:
            await edit(is_active=False)
            return partial(world.buy, anna, boost, **keyed), partial(edit, is_active=True)
        case ErrorCode.PRICE_CHANGED:
            ask = partial(world.buy, anna, boost, expected_price=99, **keyed)
            return ask, partial(edit, price=99)
        case ErrorCode.HOLDING_LIMIT:
            await world.buy(anna, boost)
            await hold(HOLDING_LIMIT)
            return partial(world.buy, anna, boost, **keyed), partial(hold, 1)
        case ErrorCode.NOT_ENOUGH_ITEMS:
            return partial(world.use, anna, boost, **keyed), partial(world.buy, anna, boost)
        case ErrorCode.PRODUCT_NOT_CONSUMABLE:
            return partial(world.use, anna, premium, **keyed), partial(world.buy, anna, premium)
        case ErrorCode.BALANCE_LIMIT:
            await have(BALANCE_LIMIT)
            ask = partial(world.credit, anna, 1, external_reference="r", **keyed)
            return ask, partial(have, 1)
        case _:
            await world.credit(world.boris, 1, external_reference="r")
            ask = partial(world.credit, anna, 1, external_reference="r", **keyed)
            return ask, partial(world.credit, anna, 1)


@pytest.mark.parametrize(
    "code",
    [
        ErrorCode.INSUFFICIENT_FUNDS,
        ErrorCode.ALREADY_OWNED,
        ErrorCode.PRODUCT_UNAVAILABLE,
        ErrorCode.PRICE_CHANGED,
        ErrorCode.HOLDING_LIMIT,
        ErrorCode.NOT_ENOUGH_ITEMS,
        ErrorCode.PRODUCT_NOT_CONSUMABLE,
        ErrorCode.BALANCE_LIMIT,
        ErrorCode.ALREADY_TAKEN,
    ],
)
async def test_a_decline_is_told_again(rich: World, code: ErrorCode) -> None:
    ask, relent = await decline(rich, code)
    async with one_decline(rich, rich.anna):
        first = await error_of(ask())
    assert (first.code, vars(first)["replayed"]) == (code, False)
    await relent()
    async with nothing_changes(rich):
        again = await error_of(ask())
    assert (type(again), str(again)) == (type(first), str(first))
    assert vars(again) == vars(first) | {"replayed": True}


@pytest.mark.parametrize(
    ("kind", "other"),
    [
        ("buy", {"quantity": 2}),
        ("buy", {"expected_price": 100}),
        ("buy", {"product_id": "2"}),
        ("buy", {"product_id": "999999"}),  # the key is looked at before the product
        ("use", {"quantity": 2}),
        ("use", {"product_id": "2"}),
        ("credit", {"user_id": "1", "amount": 2}),
        ("credit", {"external_reference": "r"}),
    ],
)
async def test_a_key_with_other_input(rich: World, kind: str, other: dict[str, Any]) -> None:
    asks: dict[str, Callable[..., Awaitable[Booking]]] = {
        "buy": partial(rich.buy, rich.anna, rich.boost),
        "use": partial(rich.use, rich.anna, rich.boost),
        "credit": partial(rich.credit, rich.anna, 1),
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


async def test_without_a_key_every_request_counts(rich: World) -> None:
    assert (await rich.buy(rich.anna, rich.boost)).user.balance == 900
    assert (await rich.buy(rich.anna, rich.boost)).user.balance == 800


@pytest.mark.parametrize("key", ["", "a b", "ключ", "x" * 256, "\n"])
async def test_a_key_of_the_wrong_form(rich: World, key: str) -> None:
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


async def told_by(*asked: Awaitable[Booking]) -> list[Booking | EconomyError]:
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(answer, Booking | EconomyError) for answer in answers)
    return answers  # type: ignore[return-value]


async def test_twice_in_one_batch(rich: World) -> None:
    first, again, other = await told_by(
        rich.buy(rich.anna, rich.boost, idempotency_key="k"),
        rich.buy(rich.anna, rich.boost, idempotency_key="k"),
        rich.buy(rich.anna, rich.boost, idempotency_key="k", quantity=2),
    )
    assert isinstance(first, Booking)
    assert again == first._replace(replayed=True)
    assert type(other) is IdempotencyKeyReused
    assert [row.seq for row in await journal_of(rich.services, rich.anna)] == [1, 2]


async def test_a_decline_twice_in_one_batch(rich: World) -> None:
    async with one_decline(rich, rich.boris):
        answers = await told_by(
            *(rich.buy(rich.boris, rich.boost, idempotency_key="k") for _ in range(3))
        )
    assert [vars(answer) for answer in answers] == [
        {"replayed": replayed, "balance": 0, "required": 100} for replayed in (False, True, True)
    ]


async def test_twenty_at_once_credit_once(rich: World) -> None:
    answers = await asyncio.gather(
        *(rich.credit(rich.boris, 5, idempotency_key="k") for _ in range(20))
    )
    assert sorted(answer.replayed for answer in answers) == [False] + [True] * 19
    assert {answer._replace(replayed=False) for answer in answers} == {
        answers[0]._replace(replayed=False)
    }
    assert answers[0].user.balance == 5
    assert await journal_of(rich.services, rich.boris) == [answers[0].transaction]


async def test_two_processes_race_for_one_key(postgres_url: str) -> None:
    settings = Settings(database_url=postgres_url)
    async with open_services(settings) as one, open_services(settings) as other:
        mine = await World.create(one)
        theirs = World(other, mine.anna, mine.boris, mine.boost, mine.premium)
        answers = await asyncio.gather(
            *(
                world.credit(mine.anna, 5, idempotency_key=f"k{number}")
                for number in range(20)
                for world in (mine, theirs)
            )
        )
        assert sum(answer.replayed for answer in answers) == 20
        by_key = {answer.transaction.idempotency_key: answer.transaction for answer in answers}
        assert {answer.transaction.id for answer in answers} == {row.id for row in by_key.values()}
        rows = await journal_of(one, mine.anna)
        assert [(row.seq, row.balance_after) for row in rows] == [
            (number, number * 5) for number in range(1, 21)
        ]
