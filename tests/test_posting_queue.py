"""The queue in front of posting: its limit, its end, and that nothing is left behind in it."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import asyncpg
import pytest

from economy.bootstrap import open_services
from economy.errors import AlreadyTaken, InsufficientFunds, Unavailable, UserNotFound
from economy.metrics import Metrics
from economy.services.operations import Booking, Operation, Purchase, TopUp
from economy.services.posting import Posting
from economy.services.posting_queue import PostingQueue
from economy.settings import Settings
from tests.journal import journal_of, nothing_changes
from tests.rival import open_rival
from tests.world import World


def top_up(user_id: int, key: str | None = None, reference: str | None = None) -> TopUp:
    return TopUp(
        user_id=user_id,
        amount=5,
        external_reference=reference,
        actor="server:test",
        idempotency_key=key,
    )


class Watched:
    """A queue, and the users it told of before it answered."""

    def __init__(self, world: World, *, lanes: int = 1, limit: int = 1_000) -> None:
        self.told: list[set[int]] = []
        self.fails = False
        self.queue = PostingQueue(
            Posting(world.services.database),
            self._before_answer,
            batch_size=4,
            lanes=lanes,
            limit=limit,
            metrics=Metrics(),
        )

    async def _before_answer(self, user_ids: Collection[int]) -> None:
        self.told.append(set(user_ids))
        if self.fails:
            raise RuntimeError("the cache is broken in a way that nobody thought of")

    def ask(self, *operations: Operation) -> list[asyncio.Task[Booking]]:
        return [asyncio.create_task(self.queue.post(operation)) for operation in operations]

    def assert_empty(self) -> None:
        queue = self.queue
        assert (queue._waiting, list(queue._ready), queue._length) == ({}, [], 0)
        assert queue._batches == set()


@asynccontextmanager
async def watched(world: World, *, lanes: int = 1, limit: int = 1_000) -> AsyncIterator[Watched]:
    """Whatever happens within, the queue is empty when it is drained."""
    watched = Watched(world, lanes=lanes, limit=limit)
    yield watched
    await watched.queue.drain()
    watched.assert_empty()


async def test_everything_that_was_accepted_is_answered(world: World) -> None:
    async with watched(world, lanes=3) as queue:
        tasks = queue.ask(*(top_up(user.id) for user in (world.anna, world.boris) * 25))
        await asyncio.sleep(0)  # all are accepted
        await queue.queue.drain()
        queue.assert_empty()
        rows = await journal_of(world.services, world.boris)
        assert [row.balance_after for row in rows] == list(range(5, 130, 5))
        assert all(task.done() for task in tasks)
        assert len(await asyncio.gather(*tasks)) == 50
        await queue.queue.drain()  # of nothing


async def test_the_end_of_the_services_waits_for_their_operations(database_url: str) -> None:
    settings = Settings(database_url=database_url)
    async with open_services(settings) as services:
        world = await World.create(services)
        tasks = [asyncio.create_task(world.credit(world.anna, 5)) for _ in range(30)]
        await asyncio.sleep(0)
    answers = await asyncio.gather(*tasks)
    assert [answer.user.balance for answer in answers] == list(range(5, 155, 5))


async def test_beyond_the_limit_callers_are_turned_away_at_once(world: World) -> None:
    async with watched(world, limit=3) as queue:
        tasks = queue.ask(*(top_up(world.anna.id, f"k{number}") for number in range(10)))
        await asyncio.sleep(0)
        assert [task.done() for task in tasks] == [False] * 3 + [True] * 7
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(answer) for answer in answers] == [Booking] * 3 + [Unavailable] * 7
        rows = await journal_of(world.services, world.anna)
        assert [row.idempotency_key for row in rows] == ["k0", "k1", "k2"]
        assert not (await queue.queue.post(top_up(world.anna.id, "k5"))).replayed  # room again


async def test_what_runs_does_not_count_as_waiting(postgres_url: str) -> None:
    async with (
        open_services(Settings(database_url=postgres_url)) as services,
        open_rival(postgres_url) as rival,
    ):
        world = await World.create(services)
        async with watched(world, limit=2) as queue:
            async with rival.holding_user(world.anna.id):
                running = queue.ask(top_up(world.anna.id), top_up(world.anna.id))
                await rival.until_waiting()
                waiting = queue.ask(top_up(world.boris.id), top_up(world.anna.id))
                await asyncio.sleep(0)
                async with nothing_changes(world):
                    refused = queue.ask(top_up(world.boris.id))
                    await asyncio.wait(refused)
                    assert type(refused[0].exception()) is Unavailable
            bookings = await asyncio.gather(*running, *waiting)
            assert [booking.user.balance for booking in bookings] == [5, 10, 5, 15]


async def test_the_users_of_a_batch_are_told_of_before_it_is_answered(world: World) -> None:
    """Of declines, replays and refusals too."""
    anna, boris = world.anna.id, world.boris.id
    async with watched(world) as queue:
        await queue.queue.post(top_up(anna, "k"))
        await queue.queue.post(top_up(anna, "k"))
        poor = Purchase(
            user_id=boris,
            product_id=world.boost.id,
            quantity=1,
            expected_price=None,
            actor="player:2",
            idempotency_key=None,
        )
        with pytest.raises(InsufficientFunds):
            await queue.queue.post(poor)
        with pytest.raises(UserNotFound):
            await queue.queue.post(top_up(999_999))
        await asyncio.gather(*queue.ask(*(top_up(user) for user in (anna, boris))))
        assert queue.told == [{anna}, {anna}, {boris}, {999_999}, {anna, boris}]


async def test_a_failure_to_tell_does_not_keep_the_answer_back(world: World) -> None:
    """What is committed is answered, whatever else breaks; and the lane goes on."""
    async with watched(world) as queue:
        queue.fails = True
        for balance in (5, 10):
            task = asyncio.create_task(queue.queue.post(top_up(world.anna.id)))
            done, _ = await asyncio.wait([task], timeout=20)
            assert done == {task}
            assert task.result().user.balance == balance


async def test_a_batch_of_cancelled_callers(world: World) -> None:
    async with watched(world, lanes=2) as queue:
        tasks = queue.ask(*(top_up(world.anna.id) for _ in range(9)))
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await queue.queue.drain()
        assert (await world.state())["user"][0] == (world.anna.id, 45, 9)


async def test_one_reference_of_many_users_leaves_nobody_behind(world: World) -> None:
    """A user whose turn it is, but whose reference is in the batch already, comes next time."""
    async with watched(world, lanes=3) as queue:
        users = [world.anna.id, world.boris.id] * 6
        tasks = queue.ask(
            *(top_up(user, reference="r") for user in users), *(top_up(user) for user in users)
        )
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        kinds = [type(answer) for answer in answers]
        assert (kinds[:12].count(Booking), kinds[:12].count(AlreadyTaken)) == (1, 11)
        assert kinds[12:] == [Booking] * 12


async def test_an_unknown_user_leaves_nothing_behind(world: World) -> None:
    async with watched(world) as queue, nothing_changes(world):
        tasks = queue.ask(*(top_up(user_id, reference="r") for user_id in range(90, 99)))
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [(type(answer), vars(answer)) for answer in answers] == [
            (UserNotFound, {"user_id": str(user_id)}) for user_id in range(90, 99)
        ]


async def test_a_database_that_fails_leaves_nothing_behind(postgres_url: str) -> None:
    """Each is tried once more by itself, and told why it failed."""
    async with open_services(Settings(database_url=postgres_url)) as services:
        world = await World.create(services)
        async with watched(world, lanes=2) as queue:
            await world.sql("ALTER TABLE transaction RENAME TO hidden")
            tasks = queue.ask(*(top_up(user.id) for user in (world.anna, world.boris) * 5))
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(answer) for answer in answers] == [asyncpg.UndefinedTableError] * 10
            await world.sql("ALTER TABLE hidden RENAME TO transaction")
            assert (await queue.queue.post(top_up(world.anna.id))).user.balance == 5
