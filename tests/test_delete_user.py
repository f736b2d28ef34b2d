"""Deleting a user, on both databases: who it was is forgotten, the history stays."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from economy.bootstrap import open_services
from economy.errors import (
    AlreadyTaken,
    Forbidden,
    InsufficientFunds,
    NotEnoughItems,
    Unauthenticated,
    UserNotFound,
)
from economy.jobs import Job
from economy.models.user import UserRow
from economy.services.access import ALL_SCOPES, Actor, Scope
from economy.services.operations import Booking
from economy.services.user import HistoryPage
from economy.settings import Settings
from tests.journal import error_of, journal_of, nothing_changes, one_decline
from tests.pending_top_ups import pending_since
from tests.world import SERVER, World

ROUNDS = 15


@pytest.fixture
async def rich(world: World) -> AsyncIterator[World]:
    """Anna has 1,000 coins and a boost; every invariant holds before and after."""
    await world.credit(world.anna, 1_100, idempotency_key="credit", external_reference="r")
    await world.buy(world.anna, world.boost, idempotency_key="buy")
    yield world
    assert await world.broken() == {}


async def test_a_name_is_forgotten_and_free(rich: World) -> None:
    anna = rich.anna
    before = await journal_of(rich.services, anna)
    [user] = (await rich.services.users.users([anna.id])).values()
    started_at = datetime.now(UTC)
    deleted = await rich.delete(anna)
    assert deleted.deleted_at is not None
    assert started_at <= deleted.deleted_at <= datetime.now(UTC)
    nobody = f"deleted:{anna.id}"
    assert deleted == user._replace(username=nobody, email=nobody, deleted_at=deleted.deleted_at)
    async with nothing_changes(rich):
        assert await rich.delete(anna) == deleted
        assert await rich.services.users.users([anna.id]) == {anna.id: deleted}
    create = rich.services.users.create_user
    new = await create(SERVER, username="ANNA", email="Anna@example.com")
    assert (new.id > rich.boris.id, new.balance, new.last_seq) == (True, 0, 0)
    async with nothing_changes(rich):
        error = await error_of(create(SERVER, username="anna", email="ANNA@example.com"))
        assert isinstance(error, AlreadyTaken)
        assert error.fields == ("username", "email")
    # reads go on, under the id alone
    page = HistoryPage(first=10, after=None, kind=None)
    history = (await rich.services.users.histories({anna.id: None}, page))[anna.id]
    assert [row.seq for row in history.rows] == [2, 1]
    [item] = await rich.services.inventory.inventory_of(SERVER, str(anna.id))
    assert item.quantity == 1
    assert await rich.services.inventory.inventory_of(Actor.player(anna.id), str(anna.id)) == [item]
    assert await journal_of(rich.services, anna) == before


async def test_nothing_new_is_done_for_the_deleted(rich: World) -> None:
    anna, boost = rich.anna, rich.boost
    before = await rich.sql('SELECT * FROM "transaction" ORDER BY user_id, seq')
    await rich.delete(anna)
    async with nothing_changes(rich):
        for asked in (
            rich.buy(anna, boost),
            rich.use(anna, boost),
            rich.credit(anna, 5, external_reference="new"),
            rich.begin(anna, 5, external_reference="new"),
            rich.grant(anna, boost),
            rich.buy(anna, boost, idempotency_key="new"),
        ):
            error = await error_of(asked)
            assert (type(error), vars(error)) == (UserNotFound, {"user_id": str(anna.id)})
        # what was done before is told again
        bought = await rich.buy(anna, boost, idempotency_key="buy")
        credited = await rich.credit(anna, 1_100, idempotency_key="credit", external_reference="r")
    assert [(one.user.balance, one.replayed) for one in (credited, bought)] == [
        (1_100, True),
        (1_000, True),
    ]
    assert bought.user.username == f"deleted:{anna.id}"
    after = await rich.sql('SELECT * FROM "transaction" ORDER BY user_id, seq')
    assert list(map(tuple, after)) == list(map(tuple, before))


async def test_the_books_of_the_deleted_are_put_in_order(rich: World) -> None:
    """What was under way comes to its end; servers take and undo."""
    anna, boost = rich.anna, rich.boost
    paid, bought = await journal_of(rich.services, anna)
    begun = [(await rich.begin(anna, 10)).transaction for _ in range(2)]
    [old] = await pending_since(rich, anna)
    await rich.delete(anna)
    assert (await rich.complete(begun[0])).user.balance == 1_010
    failed = await rich.fail(begun[1])
    assert failed.transaction.failure_code == "PAYMENT_FAILED"
    assert await rich.services.jobs.run(Job.EXPIRE_TOP_UPS) is True
    expired = (await journal_of(rich.services, anna))[old.seq - 1]
    assert (expired.id, expired.failure_code) == (old.id, "TOP_UP_EXPIRED")
    assert (await rich.reverse(bought)).user.balance == 1_110
    async with one_decline(rich, anna):
        assert type(await error_of(rich.revoke(anna, boost))) is NotEnoughItems
    async with one_decline(rich, anna):
        assert type(await error_of(rich.debit(anna, 1_111))) is InsufficientFunds
    assert (await rich.debit(anna, 10)).user.balance == 1_100
    assert (await rich.reverse(paid)).user.balance == 0
    assert await rich.worth(anna) == (0, 0)


async def test_who_may_delete_whom(rich: World) -> None:
    delete = rich.services.users.delete_user
    without = Actor.server("s", ALL_SCOPES - {Scope.USERS_WRITE})
    async with nothing_changes(rich):
        assert type(await error_of(delete(None, "1"))) is Unauthenticated
        assert type(await error_of(delete(Actor.player(1), "1"))) is Forbidden
        assert type(await error_of(delete(without, "1"))) is Forbidden
        for user_id in ("999", "abc", "01", str(2**70)):
            error = await error_of(delete(SERVER, user_id))
            assert (type(error), vars(error)) == (UserNotFound, {"user_id": user_id})
    right = Actor.server("s", frozenset({Scope.USERS_WRITE}))
    assert (await delete(right, "1")).username == "deleted:1"


async def test_deleting_races_with_those_who_want_the_name(postgres_url: str) -> None:
    """From two processes: deleted once, the name is one user's, and no half of it is."""
    settings = Settings(database_url=postgres_url)
    async with open_services(settings) as one, open_services(settings) as other:
        world = await World.create(one)
        holder = world.anna
        for _ in range(ROUNDS):
            deleted, again, *created = await asyncio.gather(
                one.users.delete_user(SERVER, str(holder.id)),
                other.users.delete_user(SERVER, str(holder.id)),
                *(
                    services.users.create_user(SERVER, username="anna", email="anna@example.com")
                    for services in (one, other, one, other)
                ),
                return_exceptions=True,
            )
            assert isinstance(deleted, UserRow)
            assert deleted == again
            new = [answer for answer in created if isinstance(answer, UserRow)]
            assert len(new) <= 1
            assert {type(answer) for answer in created if answer not in new} == {AlreadyTaken}
            create = one.users.create_user
            [holder] = new or [
                await create(SERVER, username="anna", email="anna@example.com"),
            ]
        assert await world.broken() == {}


async def test_deleting_races_with_purchases(postgres_url: str) -> None:
    """Each purchase is before it, and booked, or after it, and refused."""
    settings = Settings(database_url=postgres_url)
    async with open_services(settings) as one, open_services(settings) as other:
        mine = await World.create(one)
        theirs = World(other, mine.anna, mine.boris, mine.boost, mine.premium)
        anna: Any = mine.anna
        await mine.credit(anna, 10_000)
        asks: list[Any] = [world.buy(anna, mine.boost) for world in (mine, theirs) * 20]
        asks.insert(10, mine.delete(anna))
        answers = await asyncio.gather(*asks, return_exceptions=True)
        del answers[10]
        booked = [answer for answer in answers if isinstance(answer, Booking)]
        refused = [answer for answer in answers if type(answer) is UserNotFound]
        assert len(booked) + len(refused) == 40
        assert await mine.worth(anna) == (10_000 - 100 * len(booked), 0)
        assert await mine.held(anna, mine.boost) == len(booked)
        assert await mine.broken() == {}
