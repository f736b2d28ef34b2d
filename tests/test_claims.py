"""Tests of the values that one user alone may hold, and of the race for them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from economy.database import Database
from economy.models.claim import ClaimKind
from economy.repositories.user import claim_values, insert_user
from economy.settings import Settings

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ANNA, BORIS, CLARA = 1, 2, 3
BOTH = {ClaimKind.USERNAME: "anna", ClaimKind.EMAIL: "anna@example.com"}


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(Settings(database_url=database_url))
    yield database
    await database.close()


async def test_what_is_claimed_stays_so(database: Database) -> None:
    async with database.unit_of_work() as session:
        assert await claim_values(session, ANNA, BOTH) == set(BOTH)
        assert await claim_values(session, ANNA, BOTH) == set()
        other_mail = BOTH | {ClaimKind.EMAIL: "other@example.com"}
        assert await claim_values(session, BORIS, other_mail) == {ClaimKind.EMAIL}
        # one value may be claimed once for each kind
        assert await claim_values(session, CLARA, {ClaimKind.EMAIL: "anna"}) == {ClaimKind.EMAIL}


@pytest.mark.parametrize("is_rolled_back", [False, True])
async def test_who_claims_the_same_waits_for_the_outcome(
    database: Database, is_rolled_back: bool
) -> None:
    async def claim_later() -> set[ClaimKind]:
        async with database.unit_of_work() as session:
            return await claim_values(session, BORIS, dict(reversed(BOTH.items())))

    async with database.unit_of_work() as session:
        assert await claim_values(session, ANNA, BOTH) == set(BOTH)
        later = asyncio.create_task(claim_later())
        await asyncio.sleep(0.1)
        assert not later.done()
        if is_rolled_back:
            await session.rollback()
    assert await later == (set(BOTH) if is_rolled_back else set())


async def test_claims_in_any_order_have_one_winner_and_no_deadlock(database: Database) -> None:
    claims = {ClaimKind.USERNAME: "zoe", ClaimKind.EMAIL: "a@example.com"}
    orders = (claims, dict(reversed(claims.items())))

    async def claim(number: int, round_: int) -> set[ClaimKind]:
        mine = {kind: f"{value}{round_}" for kind, value in orders[number % 2].items()}
        async with database.unit_of_work() as session:
            await insert_user(session, username="zoe", email="a@example.com", created_at=NOW)
            return await claim_values(session, number, mine)

    for round_ in range(25):
        outcomes = await asyncio.gather(*(claim(number, round_) for number in range(4)))
        assert sorted(map(len, outcomes)) == [0, 0, 0, 2]
