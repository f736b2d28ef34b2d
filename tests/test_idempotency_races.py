"""Idempotency under pressure: the same key at once, in one batch and from two processes."""

import asyncio
from collections.abc import Awaitable

import pytest

from economy.bootstrap import open_services
from economy.errors import EconomyError, IdempotencyKeyReused
from economy.services.operations import Booking
from economy.settings import Settings
from tests.journal import journal_of, one_decline
from tests.rival import open_rival
from tests.sql_counter import recorded_sql
from tests.world import World


@pytest.fixture
async def rich(world: World) -> World:
    """Anna has 1,000 coins, Boris none."""
    await world.credit(world.anna, 1_000)
    return world


async def told_by(*asked: Awaitable[Booking]) -> list[Booking | EconomyError]:
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(answer, Booking | EconomyError) for answer in answers)
    return answers  # type: ignore[return-value]


def units_of_work(statements: list[str]) -> int:
    """What writes without locks is one by itself."""
    return sum(
        statement.startswith("BEGIN") or statement.endswith("FROM seen\n")
        for statement in statements
    )


async def test_twice_in_one_batch(rich: World) -> None:
    with recorded_sql(rich.services.database) as statements:
        first, again, other = await told_by(
            rich.buy(rich.anna, rich.boost, idempotency_key="k"),
            rich.buy(rich.anna, rich.boost, idempotency_key="k"),
            rich.buy(rich.anna, rich.boost, idempotency_key="k", quantity=2),
        )
    assert units_of_work(statements) == 1
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
    with recorded_sql(rich.services.database) as statements:
        answers = await asyncio.gather(
            *(rich.credit(rich.boris, 5, idempotency_key="k") for _ in range(20))
        )
    assert units_of_work(statements) == 1
    assert sorted(answer.replayed for answer in answers) == [False] + [True] * 19
    assert {answer._replace(replayed=False) for answer in answers} == {
        answers[0]._replace(replayed=False)
    }
    assert answers[0].user.balance == 5
    assert await journal_of(rich.services, rich.boris) == [answers[0].transaction]


async def test_two_processes_race_for_one_key(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Both stand before the user's lock when it is let go."""
    settings = Settings(database_url=postgres_url)
    async with (
        open_services(settings) as one,
        open_services(settings) as other,
        open_rival(postgres_url) as rival,
    ):
        mine = await World.create(one)
        theirs = World(other, mine.anna, mine.boris, mine.boost, mine.premium)
        async with rival.holding_user(mine.anna.id):
            tasks = [
                asyncio.create_task(world.credit(mine.anna, 5, idempotency_key=f"k{number}"))
                for world in (mine, theirs)
                for number in range(20)
            ]
            await rival.until_waiting(2)
        answers = await asyncio.gather(*tasks)
        rows = await journal_of(one, mine.anna)
        assert [(row.seq, row.balance_after) for row in rows] == [(n, 5 * n) for n in range(1, 21)]
        assert sum(answer.replayed for answer in answers) == 20
        # each key in the order of the journal, from both processes
        assert [answer.transaction for answer in answers] == rows * 2
        assert caplog.messages == []  # the lock kept them apart: no batch had to be done again
