"""Posting under load: batches, order and fairness, on both databases."""

import asyncio
from collections import Counter

import pytest

from economy.bootstrap import open_services
from economy.errors import AlreadyOwned, InsufficientFunds, NotEnoughItems
from economy.models.user import UserRow
from economy.services.operations import Booking
from economy.settings import Settings
from tests.journal import journal_of, nothing_changes
from tests.sql_counter import recorded_sql
from tests.world import SERVER, World


async def crowd(world: World, size: int) -> list[UserRow]:
    """Users with 1,000 coins each."""
    create = world.services.users.create_user
    users = [
        await create(SERVER, username=f"user{number}", email=f"{number}@example.com")
        for number in range(size)
    ]
    await asyncio.gather(*(world.credit(user, 1_000) for user in users))
    return users


async def test_forty_purchases_of_a_hundred_with_a_thousand(world: World) -> None:
    await world.credit(world.anna, 1_000)
    answers = await asyncio.gather(
        *(world.buy(world.anna, world.boost) for _ in range(40)), return_exceptions=True
    )
    assert Counter(map(type, answers)) == {Booking: 10, InsufficientFunds: 30}
    assert {vars(answer)["balance"] for answer in answers if isinstance(answer, Exception)} == {0}
    rows = await journal_of(world.services, world.anna)
    assert [(row.seq, row.status, row.balance_after, row.quantity_after) for row in rows] == [
        (1, "completed", 1_000, None),
        *((1 + n, "completed", 1_000 - 100 * n, n) for n in range(1, 11)),
        *((1 + n, "failed", 0, 10) for n in range(11, 41)),
    ]
    # answered in the order in which they were asked
    assert [answer.transaction for answer in answers[:10] if isinstance(answer, Booking)] == rows[
        1:11
    ]
    state = await world.state()
    assert state["user"] == [(world.anna.id, 0, 41), (world.boris.id, 0, 0)]
    assert state["inventory"] == [(world.anna.id, world.boost.id, 10)]


async def test_twenty_purchases_of_one_permanent(world: World) -> None:
    await world.credit(world.anna, 1_000_000)
    answers = await asyncio.gather(
        *(world.buy(world.anna, world.premium) for _ in range(20)), return_exceptions=True
    )
    assert Counter(map(type, answers)) == {Booking: 1, AlreadyOwned: 19}
    state = await world.state()
    assert state["user"][0] == (world.anna.id, 999_500, 21)
    assert state["inventory"] == [(world.anna.id, world.premium.id, 1)]


async def test_each_operation_of_a_batch_sees_those_before_it(world: World) -> None:
    """One user and product: bought and used up in turns, twice more than is there."""
    anna, boost = world.anna, world.boost
    asked = [
        world.use(anna, boost),
        world.buy(anna, boost),
        world.credit(anna, 250),
        world.buy(anna, boost, quantity=2),
        world.use(anna, boost, quantity=2),
        world.buy(anna, boost),
        world.use(anna, boost),
    ]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(answer) for answer in answers] == [
        *(NotEnoughItems, InsufficientFunds, Booking),
        *(Booking, Booking, InsufficientFunds, NotEnoughItems),
    ]
    rows = await journal_of(world.services, anna)
    assert [(row.kind, row.balance_after, row.quantity_after) for row in rows] == [
        ("use", 0, 0),
        ("purchase", 0, 0),
        ("top_up", 250, None),
        ("purchase", 50, 2),
        ("use", 50, 0),
        ("purchase", 50, 0),
        ("use", 50, 0),
    ]
    bought, used = answers[3], answers[4]
    assert isinstance(bought, Booking)
    assert isinstance(used, Booking)
    assert bought.item is not None
    assert used.item == bought.item._replace(quantity=0)
    assert (await world.state())["inventory"] == [(anna.id, boost.id, 0)]
    assert bought.user.balance == 50


async def test_two_processes_cross(postgres_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Users in opposite order from two pools: nobody is told of a deadlock."""
    settings = Settings(database_url=postgres_url)
    async with open_services(settings) as one, open_services(settings) as other:
        world = await World.create(one)
        theirs = World(other, world.anna, world.boris, world.boost, world.premium)
        users = await crowd(world, 6)
        for _ in range(10):
            bookings = await asyncio.gather(
                *(world.buy(user, world.boost) for user in users),
                *(theirs.credit(user, 100) for user in reversed(users)),
            )
            assert not any(booking.replayed for booking in bookings)
        for user in users:
            rows = await journal_of(one, user)
            assert [row.seq for row in rows] == list(range(1, 22))
            assert rows[-1].balance_after == 1_000
        assert caplog.messages == []  # the locks kept them apart: no batch had to be done again
        assert [tuple(row)[1:] for row in (await world.state())["user"][2:]] == [(1_000, 21)] * 6


async def test_a_hot_user_does_not_hold_up_another(database_url: str) -> None:
    settings = Settings(database_url=database_url, posting_lanes=1, posting_batch_size=20)
    async with open_services(settings) as services:
        world = await World.create(services)
        done: list[str] = []

        async def credit(user: UserRow, name: str) -> None:
            await world.credit(user, 1)
            done.append(name)

        await asyncio.gather(
            *(credit(world.anna, "anna") for _ in range(500)), credit(world.boris, "boris")
        )
        # the last that asked heads the second batch of 26
        assert done.index("boris") == 20
        assert len(done) == 501
        rows = await journal_of(services, world.anna)
        assert [(row.seq, row.balance_after) for row in rows] == [(n, n) for n in range(1, 501)]


@pytest.mark.parametrize("ticks", [1, 3])  # of the event loop: it waits; it is in a batch
async def test_a_cancelled_caller_undoes_nothing(world: World, ticks: int) -> None:
    """Its operation was accepted, as was that of every other caller of the batch."""
    tasks = [
        asyncio.create_task(world.credit(user, 5, idempotency_key=f"k{number}"))
        for number in range(4)
        for user in (world.anna, world.boris)
    ]
    for _ in range(ticks):
        await asyncio.sleep(0)
    for task in tasks[2:6]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [
        *[Booking] * 2,
        *[asyncio.CancelledError] * 4,
        *[Booking] * 2,
    ]
    for user in (world.anna, world.boris):
        rows = await journal_of(world.services, user)
        assert [(row.idempotency_key, row.balance_after) for row in rows] == [
            (f"k{number}", 5 * number + 5) for number in range(4)
        ]
    async with nothing_changes(world):
        assert (await world.credit(world.anna, 5, idempotency_key="k1")).replayed


async def test_statements_of_a_batch_are_constant(world: World) -> None:
    users = await crowd(world, 50)
    recorded = []
    for size in (1, 50):
        with recorded_sql(world.services.database) as statements:
            await asyncio.gather(
                *(world.buy(user, world.boost, idempotency_key=f"{size}") for user in users[:size])
            )
        recorded.append(statements)
    assert recorded[0] == recorded[1]
    if world.services.database.dialect == "postgresql":
        assert len(recorded[0]) == 2  # find; write
    else:
        assert len(recorded[0]) == 8  # BEGIN; users, products, items, keys; users, items, journal


async def test_statements_of_references_are_constant(postgres_url: str) -> None:
    async with open_services(Settings(database_url=postgres_url)) as services:
        world = await World.create(services)
        users = await crowd(world, 50)
        recorded = []
        for size in (1, 50):
            with recorded_sql(services.database) as statements:
                await asyncio.gather(
                    *(
                        world.credit(user, 1, external_reference=f"{size}-{user.id}")
                        for user in users[:size]
                    )
                )
            recorded.append(statements)
        assert recorded[0] == recorded[1]
        # BEGIN; lock and find; claims; write; COMMIT
        assert len(recorded[0]) == 5
