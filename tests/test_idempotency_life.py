"""The declines of settlements, reversals, grants and debits are told again, on both databases."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from economy.errors import Decline, ErrorCode, TransactionDecline
from economy.jobs import Job
from economy.models.transaction import TransactionRow
from economy.services.operations import Booking
from tests.journal import journal_of
from tests.pending_top_ups import pending_since
from tests.test_idempotency import DECLINED
from tests.told_again import Scenario, told_twice
from tests.world import World

Settle = Callable[[TransactionRow], Awaitable[Booking]]


async def row_of(world: World, key: str) -> TransactionRow:
    """Anna's transaction with this key."""
    rows = await journal_of(world.services, world.anna)
    return next(row for row in rows if row.idempotency_key == key)


async def reverse(world: World, key: str, **changes: Any) -> Booking:
    values: dict[str, Any] = {"idempotency_key": "k"} | changes
    return await world.reverse(await row_of(world, key), **values)


async def settle(world: World, how: Settle) -> Booking:
    return await how(await row_of(world, "b"))


async def begin_and(world: World, how: Settle) -> None:
    await how((await world.begin(world.anna, 5, idempotency_key="b")).transaction)


async def begin_and_expire(world: World) -> None:
    await pending_since(world, world.anna, idempotency_key="b")
    await world.services.jobs.run(Job.EXPIRE_TOP_UPS)


async def free(world: World) -> None:
    """Boris' payment fails: the reference could be had now."""
    [begun] = await journal_of(world.services, world.boris)
    await world.fail(begun)


# Anna has 900 coins and one boost.
SCENARIOS: list[tuple[ErrorCode, Scenario]] = [
    (
        ErrorCode.NOT_REVERSIBLE,
        Scenario(
            before=lambda world: world.begin(world.anna, 5, idempotency_key="b"),
            ask=lambda world: reverse(world, "b"),
            then=lambda world: settle(world, world.complete),
        ),
    ),
    (
        ErrorCode.ALREADY_REVERSED,
        Scenario(
            before=lambda world: reverse(world, "bought", idempotency_key="first"),
            ask=lambda world: reverse(world, "bought"),
            then=lambda world: world.credit(world.anna, 1),
        ),
    ),
    (
        ErrorCode.PAYMENT_FAILED,
        Scenario(
            before=lambda world: begin_and(world, world.fail),
            ask=lambda world: settle(world, world.complete),
            then=lambda world: world.credit(world.anna, 5),
        ),
    ),
    (
        ErrorCode.TOP_UP_EXPIRED,
        Scenario(
            before=begin_and_expire,
            ask=lambda world: settle(world, world.complete),
            then=lambda world: world.credit(world.anna, 5),
        ),
    ),
    (
        ErrorCode.TOP_UP_COMPLETED,
        Scenario(
            before=lambda world: begin_and(world, world.complete),
            ask=lambda world: settle(world, world.fail),
            then=lambda world: reverse(world, "b", idempotency_key="undone"),
        ),
    ),
    (
        ErrorCode.INSUFFICIENT_FUNDS,
        Scenario(
            before=lambda world: world.debit(world.anna, 900),
            ask=lambda world: world.debit(world.anna, 1, idempotency_key="k"),
            then=lambda world: world.credit(world.anna, 5_000),
        ),
    ),
    (
        ErrorCode.INSUFFICIENT_FUNDS,
        Scenario(
            before=lambda world: world.debit(world.anna, 900),
            ask=lambda world: reverse(world, "paid"),
            then=lambda world: world.credit(world.anna, 5_000),
        ),
    ),
    (
        ErrorCode.NOT_ENOUGH_ITEMS,
        Scenario(
            before=lambda world: world.use(world.anna, world.boost),
            ask=lambda world: reverse(world, "bought"),
            then=lambda world: world.grant(world.anna, world.boost),
        ),
    ),
    (
        ErrorCode.NOT_ENOUGH_ITEMS,
        Scenario(
            before=lambda world: world.credit(world.anna, 1),
            ask=lambda world: world.revoke(
                world.anna, world.boost, quantity=2, idempotency_key="k"
            ),
            then=lambda world: world.grant(world.anna, world.boost),
        ),
    ),
    (
        ErrorCode.ALREADY_OWNED,
        Scenario(
            before=lambda world: world.grant(world.anna, world.premium),
            ask=lambda world: world.grant(world.anna, world.premium, idempotency_key="k"),
            then=lambda world: world.revoke(world.anna, world.premium),
        ),
    ),
    (
        ErrorCode.ALREADY_TAKEN,
        Scenario(
            before=lambda world: world.begin(
                world.boris, 1, external_reference="r", idempotency_key="b"
            ),
            ask=lambda world: world.begin(
                world.anna, 1, external_reference="r", idempotency_key="k"
            ),
            then=free,
        ),
    ),
]


@pytest.mark.parametrize(("code", "scenario"), SCENARIOS)
async def test_a_decline_is_told_again(world: World, code: ErrorCode, scenario: Scenario) -> None:
    await world.credit(world.anna, 1_000, idempotency_key="paid")
    await world.buy(world.anna, world.boost, idempotency_key="bought")
    assert await told_twice(world, scenario) == code
    assert await world.broken() == {}


def test_there_is_no_other_decline() -> None:
    leaves = {*Decline.__subclasses__(), *TransactionDecline.__subclasses__()}
    told = DECLINED.keys() | {code for code, _ in SCENARIOS}
    assert {leaf.code for leaf in leaves - {TransactionDecline}} == told
