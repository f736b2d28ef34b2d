"""Every interleaving of readers of an inventory with a writer, through the services.

Once the writer is answered, nobody ever reads what was before, from whichever process.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from economy.bootstrap import open_services
from economy.cache_store import MemoryStore
from economy.services import Services
from economy.services.access import Actor as Who
from economy.settings import Settings
from tests.interleaving import (
    Actor,
    Order,
    in_every_order,
    pause_at_database,
    pause_at_memory,
    pause_at_redis,
    pause_before_answers,
)
from tests.redis_database import empty_database
from tests.world import World


@dataclass
class Race:
    """Anna buys in the first process; everybody reads her inventory, in all of them."""

    world: World
    processes: list[Services]

    async def quantity_in(self, process: Services) -> int:
        anna = self.world.anna
        items = await process.inventory.inventory_of(Who.player(anna.id), str(anna.id))
        assert [item.product_id for item in items] in ([], [self.world.boost.id])
        return sum(item.quantity for item in items)

    def reader_in(self, process: Services, name: str = "reader") -> Actor:
        return Actor(name, lambda: self.quantity_in(process))

    def writer(self) -> Actor:
        return Actor("writer", lambda: self.world.buy(self.world.anna, self.world.boost))

    async def assert_read_everywhere(self, quantity: int, order: Order) -> None:
        for process in [*self.processes, *self.processes]:  # again: the first might fill
            assert await self.quantity_in(process) == quantity, order.steps

    async def play(
        self, order: Order, readers: list[Actor], *, is_first: bool, is_asked_at_once: bool
    ) -> None:
        before = await self.quantity_in(self.processes[0])
        if is_first and before:
            await self.world.use(self.world.anna, self.world.boost, quantity=before)
            before = 0
        await self.processes[0].inventory._cache.forget([self.world.anna.id])
        writer, late = self.writer(), list[Actor]()
        async for actor in order.play(*readers, writer):
            if actor is writer and writer.is_done:
                late = [one for one in readers if f"{one.name}: look up" not in order.steps]
                if is_asked_at_once:
                    await self.assert_read_everywhere(before + 1, order)
        for reader in readers:
            expected = [before + 1] if reader in late else [before, before + 1]
            assert reader.result in expected, order.steps
        await self.assert_read_everywhere(before + 1, order)


Prepare = Callable[[Services], None]


@asynccontextmanager
async def open_race(settings: Settings, count: int, *prepare: Prepare) -> AsyncIterator[Race]:
    """In so many processes, each of which gets its pause points; Anna holds one already."""
    async with AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(open_services(settings)) for _ in range(count)]
        world = await World.create(processes[0])
        await world.credit(world.anna, 1_000_000)
        await world.buy(world.anna, world.boost)
        for process in processes:
            for pause_at in prepare:
                pause_at(process)
        yield Race(world, processes)


@pytest.fixture
def redis_settings(postgres_url: str, redis_url: str, worker_id: str) -> Settings:
    own_redis_url = empty_database(redis_url, worker_id)
    return Settings(database_url=postgres_url, redis_url=own_redis_url, redis_timeout_seconds=10)


@pytest.fixture
async def redis_race(
    redis_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Race]:
    """Two processes: pauses at each command and statement, and before the answer."""

    def prepare(process: Services) -> None:
        assert process.redis is not None
        pause_at_database(monkeypatch, process.database)
        pause_at_redis(monkeypatch, process.redis)
        pause_before_answers(monkeypatch, process.purchases._queue, "_before_answer")

    async with open_race(redis_settings, 2, prepare) as race:
        yield race


@pytest.fixture
async def coarse_redis_race(
    redis_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Race]:
    """The same without a pause before the lease, nor before the answer."""

    def prepare(process: Services) -> None:
        assert process.redis is not None
        pause_at_database(monkeypatch, process.database)
        pause_at_redis(monkeypatch, process.redis, leases=False)

    async with open_race(redis_settings, 2, prepare) as race:
        yield race


@pytest.fixture
async def memory_race(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Race]:
    """One process with a cache of its own, where a look-up takes the lease along."""

    def prepare(process: Services) -> None:
        store = process.inventory._cache._store
        assert isinstance(store, MemoryStore)
        pause_at_database(monkeypatch, process.database)
        pause_at_memory(monkeypatch, store)
        pause_before_answers(monkeypatch, process.purchases._queue, "_before_answer")

    async with open_race(Settings(database_url=postgres_url), 1, prepare) as race:
        yield race


async def count_orders(race: Race, process: Services, *, is_first: bool) -> int:
    """Of one reader in that process and one writer; each order twice: those who ask as soon as the
    writer is answered may fill before the reader does, so others ask only once both are done."""
    counts = []
    for is_asked_at_once in (False, True):

        async def play(order: Order) -> None:
            reader = race.reader_in(process)
            await race.play(order, [reader], is_first=is_first, is_asked_at_once=is_asked_at_once)  # noqa: B023

        counts.append(len(await in_every_order(play)))
    assert counts[0] == counts[1]
    return counts[0]


# Who holds nothing is read in two statements, until the first purchase is committed: hence more
# orders of a first purchase than of others.


async def test_one_reader_and_one_writer_with_redis(redis_race: Race) -> None:
    """The reader looks up, leases, reads and fills; the writer commits, forgets the
    items and what was made of them, and answers."""
    same, other = redis_race.processes
    assert await count_orders(redis_race, same, is_first=True) == 41
    for process in (same, other):
        assert await count_orders(redis_race, process, is_first=False) == 35


async def test_one_reader_and_one_writer_in_one_process(memory_race: Race) -> None:
    [process] = memory_race.processes
    assert await count_orders(memory_race, process, is_first=False) == 20
    assert await count_orders(memory_race, process, is_first=True) == 26


async def test_two_readers_and_one_writer(coarse_redis_race: Race) -> None:
    """One reader in the writer's process and one in the other."""
    race = coarse_redis_race

    async def play(order: Order) -> None:
        readers = [
            race.reader_in(process, f"reader {number}")
            for number, process in enumerate(race.processes, start=1)
        ]
        await race.play(order, readers, is_first=False, is_asked_at_once=False)

    assert len(await in_every_order(play)) == 262
