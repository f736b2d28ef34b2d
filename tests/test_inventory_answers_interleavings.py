"""Every interleaving of readers of kept answers with who writes what they show.

Once a writer or an editor is answered, nobody ever reads what was before, from whichever process.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import NamedTuple

import orjson
import pytest
from redis.asyncio import Redis

from economy.bootstrap import open_services
from economy.repositories.inventory import items_held
from economy.services import Services
from economy.services.inventory import FORM_BYTES
from economy.settings import Settings
from tests.interleaving import (
    Actor,
    Order,
    in_every_order,
    pause_at_database,
    pause_at_redis,
    pause_before,
    pause_before_answers,
)
from tests.redis_client import GENERATIONS
from tests.world import SERVER, World

FORM = bytes(FORM_BYTES)


class Shown(NamedTuple):
    """Of Anna's boosts, as an answer tells."""

    quantity: int
    price: int


async def read(process: Services, world: World, *, through_cache: bool = False) -> Shown:
    """`through_cache`: the items may have been read by somebody else."""
    anna, boost = world.anna.id, world.boost.id

    async def make() -> bytes:
        if through_cache:
            items = (await process.inventory.inventories([anna]))[anna]
        else:
            items = await process.database.read_often(items_held, [anna])
        price = (await process.products.products([boost]))[boost].price
        return orjson.dumps((sum(item.quantity for item in items), price))

    answer = await process.inventory.answer_of(anna, FORM, make)
    assert answer is not None
    return Shown._make(orjson.loads(answer))


@dataclass
class Race:
    """The writer is in the first process."""

    world: World
    processes: list[Services]
    through_cache: bool = False

    async def read(self, process: Services) -> Shown:
        return await read(process, self.world, through_cache=self.through_cache)

    def reader_in(self, process: Services, name: str = "reader") -> Actor:
        return Actor(name, lambda: self.read(process))

    def buyer(self) -> Actor:
        return Actor("writer", lambda: self.world.buy(self.world.anna, self.world.boost))

    def editor(self, price: int) -> Actor:
        products, boost = self.processes[0].products, str(self.world.boost.id)
        return Actor("writer", lambda: products.update_product(SERVER, boost, {"price": price}))

    async def forget(self, *, is_cold: bool) -> None:
        """The answers, as a write does that changes no item, but items that readers share are
        there. The products, as an edit does that changes nothing; or else each process has them."""
        await self.world.credit(self.world.anna, 1)
        if self.through_cache:
            await self.processes[0].inventory.inventories([self.world.anna.id])
        boost = self.world.boost.id
        for process in self.processes:
            row = (await process.products.products([boost]))[boost]
        if is_cold:
            products = self.processes[0].products
            await products.update_product(SERVER, str(boost), {"price": row.price})

    async def assert_read_everywhere(self, expected: Shown, order: Order) -> None:
        for process in [*self.processes, *self.processes]:  # again: the first might fill
            assert await self.read(process) == expected, order.steps

    async def play(
        self,
        order: Order,
        actors: list[Actor],
        writer: Actor,
        *,
        after: Shown,
        is_asked_at_once: bool = False,
        is_cold: bool = False,
    ) -> None:
        """Who reads at any time, and what is read behind the writer's answer."""
        before = await self.read(self.processes[0])
        await self.forget(is_cold=is_cold)
        late = set[str]()
        async for actor in order.play(*actors, writer):
            if actor is writer and writer.is_done:
                late = {one.name for one in actors if not has_asked(one, order)}
                if is_asked_at_once:
                    await self.assert_read_everywhere(after, order)
        for one in actors:
            if one.result is not None:
                assert one.result in ((after,) if one.name in late else (before, after)), (
                    order.steps
                )
        await self.assert_read_everywhere(after, order)


def has_asked(actor: Actor, order: Order) -> bool:
    return f"{actor.name}: look up" in order.steps


@pytest.fixture
async def race(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    postgres_url: str,
    own_redis_url: str,
) -> AsyncIterator[Race]:
    """Two processes: pauses at each command and statement; all but coarse ones before leases, too;
    fine ones also before a buyer is answered.

    What they have of the catalogue by themselves does not end while an order is played.
    """
    monkeypatch.setattr("economy.bootstrap.CATALOGUE_IN_PROCESS_SECONDS", 600.0)
    settings = Settings(
        database_url=postgres_url, redis_url=own_redis_url, redis_timeout_seconds=10
    )
    kind = getattr(request, "param", "fine")
    async with AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(open_services(settings)) for _ in range(2)]
        world = await World.create(processes[0])
        await world.credit(world.anna, 1_000_000)
        await world.buy(world.anna, world.boost)
        for process in processes:
            assert process.redis is not None
            pause_at_database(monkeypatch, process.database)
            pause_at_redis(monkeypatch, process.redis, leases=kind != "coarse")
        if kind == "fine":
            pause_before_answers(monkeypatch, processes[0].purchases._queue, "_before_answer")
        yield Race(world, processes)


async def count_orders(race: Race, process: Services, *, edits: bool, is_cold: bool = False) -> int:
    """Of one reader in that process; each order twice: those who ask as soon as the writer is
    answered may fill before the reader does, so others ask only once both are done."""
    counts = []
    for at_once in (False, True):

        async def play(order: Order) -> None:
            now = await race.read(process)
            change = (0, 1) if edits else (1, 0)
            after = Shown(now.quantity + change[0], now.price + change[1])
            writer = race.editor(after.price) if edits else race.buyer()
            await race.play(
                order,
                [race.reader_in(process)],
                writer,
                after=after,
                is_asked_at_once=at_once,  # noqa: B023
                is_cold=is_cold,
            )

        counts.append(len(await in_every_order(play)))
    assert counts[0] == counts[1]
    return counts[0]


async def test_a_reader_and_a_buyer(race: Race) -> None:
    """The reader looks up, leases, reads and fills, and has the product already; the buyer
    commits, forgets the items and the answers, and is answered: four steps each."""
    for process in race.processes:
        assert await count_orders(race, process, edits=False) == 35


async def test_a_reader_through_both_caches_and_a_buyer(race: Race) -> None:
    """It finds the items until they are forgotten, and then makes the steps for them, too. No old
    items get into an answer that counts behind the purchase."""
    race.through_cache = True
    for process in race.processes:
        assert await count_orders(race, process, edits=False) == 53


async def test_a_reader_and_an_editor(race: Race) -> None:
    """The editor commits and begins a new generation. The reader makes the same four steps, or,
    where it has no product of its own, the same four again for that."""
    for process in race.processes:
        assert await count_orders(race, process, edits=True) == 15
        assert await count_orders(race, process, edits=True, is_cold=True) == 45


@pytest.mark.parametrize("race", ["coarse"], indirect=True)
async def test_two_readers_and_a_buyer(race: Race) -> None:
    """One in the buyer's process and one in the other."""

    async def play(order: Order) -> None:
        now = await race.read(race.processes[0])
        readers = [
            race.reader_in(process, f"reader {number}")
            for number, process in enumerate(race.processes, start=1)
        ]
        after = Shown(now.quantity + 1, now.price)
        await race.play(order, readers, race.buyer(), after=after)

    assert len(await in_every_order(play)) == 262


@pytest.mark.parametrize("race", ["with leases"], indirect=True)
@pytest.mark.parametrize("key", GENERATIONS)
async def test_a_generation_is_evicted(race: Race, raw: Redis, key: str) -> None:
    """At any moment between the steps of a reader in the other process and of a buyer."""

    async def evict() -> None:
        await pause_before("evict")
        assert await raw.delete(key) == 1

    async def play(order: Order) -> None:
        await raw.flushdb()  # leases that are left of the order before would stand in the way
        now, _ = [await race.read(process) for process in race.processes]
        actors = [race.reader_in(race.processes[1]), Actor("Redis", evict)]
        after = Shown(now.quantity + 1, now.price)
        await race.play(order, actors, race.buyer(), after=after)

    # whoever sees that it is gone reads the product, too
    assert len(await in_every_order(play)) == {GENERATIONS[0]: 112, GENERATIONS[1]: 163}[key]
