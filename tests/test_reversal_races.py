"""Reversals under races: of two processes that ask for the same one, and with what uses it up."""

import asyncio
import random
from typing import Any

import pytest

from economy.bootstrap import open_services
from economy.errors import AlreadyReversed, InsufficientFunds, NotEnoughItems
from economy.models.transaction import TransactionRow
from economy.services.operations import Booking, IfSpent
from economy.settings import Settings
from tests.journal import journal_of
from tests.world import World

TAKE: dict[str, Any] = {"if_spent": IfSpent.TAKE_WHAT_IS_LEFT}
MANY = 20


async def test_twice_in_one_batch(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The second is told so by the rules: the batch does not first run into the unique index."""
    await world.credit(world.anna, 100)
    bought = (await world.buy(world.anna, world.boost)).transaction
    answers = await asyncio.gather(
        *(world.reverse(bought) for _ in range(3)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [Booking, AlreadyReversed, AlreadyReversed]
    assert (await world.worth(world.anna), await world.held(world.anna, world.boost)) == (
        (100, 0),
        0,
    )
    assert caplog.messages == []
    assert await world.broken() == {}


async def test_two_processes_reverse_each_once(postgres_url: str) -> None:
    """Under keys of their own, so that it is no replay."""
    settings = Settings(database_url=postgres_url)
    async with open_services(settings) as one, open_services(settings) as other:
        mine = await World.create(one)
        theirs = World(other, mine.anna, mine.boris, mine.boost, mine.premium)
        anna, boost = mine.anna, mine.boost
        await mine.credit(anna, 100 * MANY)
        rows = [(await mine.buy(anna, boost)).transaction for _ in range(MANY)]
        rows += [(await mine.credit(anna, 5)).transaction for _ in range(MANY)]
        answers = await asyncio.gather(
            *(mine.reverse(row) for row in rows),
            *(theirs.reverse(row, **TAKE) for row in reversed(rows)),
            return_exceptions=True,
        )
        half = len(rows)
        for pair in zip(answers[:half], answers[half:][::-1], strict=True):
            assert {type(answer) for answer in pair} == {Booking, AlreadyReversed}
        # in both ends of the line each has begun with what is the last of the other
        assert await mine.worth(anna) == (100 * MANY, 0)
        assert await mine.held(anna, boost) == 0
        assert await mine.broken() == {}


async def test_reversals_among_uses_and_purchases(postgres_url: str) -> None:
    """Whatever comes first, coins and items add up, and each answer fits what it found."""
    settings, dice = Settings(database_url=postgres_url), random.Random(5)
    async with open_services(settings) as one, open_services(settings) as other:
        mine = await World.create(one)
        theirs = World(other, mine.anna, mine.boris, mine.boost, mine.premium)
        anna, boost = mine.anna, mine.boost
        paid = (await mine.credit(anna, 3_000)).transaction
        rows = [(await mine.buy(anna, boost, quantity=2)).transaction for _ in range(10)]
        asks: list[Any] = [dice.choice([mine, theirs]).reverse(row) for row in rows]
        asks += [dice.choice([mine, theirs]).use(anna, boost) for _ in range(8)]
        asks += [dice.choice([mine, theirs]).buy(anna, boost, quantity=9) for _ in range(3)]
        asks += [theirs.reverse(paid, **TAKE), mine.credit(anna, 70)]
        dice.shuffle(asks)
        answers = await asyncio.gather(*asks, return_exceptions=True)
        allowed = {Booking, NotEnoughItems, InsufficientFunds}
        assert {type(answer) for answer in answers} <= allowed
        done = [answer for answer in answers if isinstance(answer, Booking)]
        journal = await journal_of(one, anna)
        completed = [row for row in journal if row.status == "completed"]
        assert len(completed) == 11 + len(done)
        worth = sum(row.amount * sign_of(row) for row in completed)
        assert await mine.worth(anna) == (max(worth, 0), max(-worth, 0))
        assert await mine.broken() == {}


def sign_of(row: TransactionRow) -> int:
    """Of the coins that it has moved."""
    if row.kind == "reversal":
        return -1 if row.product_id is None else 1
    return {"top_up": 1, "purchase": -1, "use": 0}[row.kind]
