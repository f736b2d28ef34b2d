"""Every interleaving of a reader of the catalogue with an editor: no old value stays behind."""

from collections.abc import AsyncIterator

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
)
from tests.world import SERVER, World


def pause_at_catalogue(patch: pytest.MonkeyPatch, process: Services) -> None:
    """Look-ups and fills of both caches, reads, commits, the end of generations."""
    products = process.products
    pause_at_database(patch, process.database)
    own = products._in_process._store
    assert isinstance(own, MemoryStore)
    pause_at_memory(patch, own, "own ")
    shared = products._catalogue._store
    if isinstance(shared, MemoryStore):
        pause_at_memory(patch, shared)
    elif process.redis is not None:
        pause_at_redis(patch, process.redis)


Race = tuple[World, Services]  # the editor is in the world's process; where the reader is


@pytest.fixture
async def race(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> AsyncIterator[Race]:
    """Reader and editor with one Redis, in one process or in two; without Redis in one process,
    which is the only one, or one of several."""
    settings = Settings(
        database_url=postgres_url, workers=2 if request.param == "one of several" else 1
    )
    if request.param.startswith("redis"):
        url = request.getfixturevalue("own_redis_url")
        settings = settings.model_copy(update={"redis_url": url, "redis_timeout_seconds": 10})
    async with open_services(settings) as editing, open_services(settings) as other:
        world = await World.create(editing)
        for process in (editing, other):
            pause_at_catalogue(monkeypatch, process)
        yield world, other if request.param == "redis, two processes" else editing


async def price_in(process: Services, world: World) -> int:
    """As a page shows it; a product by its id must show the same, once nobody edits."""
    page = await process.products.list_products(Who.player(1), type_=None, first=50, after=None)
    return next(row.price for row in page.rows if row.id == world.boost.id)


async def assert_shown(process: Services, world: World, price: int, order: Order) -> None:
    for _ in range(2):  # again: the first might fill
        assert await price_in(process, world) == price, order.steps
    found = await process.products.products([world.boost.id])
    assert found[world.boost.id].price == price, order.steps


async def play(
    order: Order, world: World, reading: Services, *, is_warm: bool, is_asked_at_once: bool
) -> None:
    """The editor is in the world's process. `is_warm`: what they share holds the old price."""
    editing = world.services
    old = (await editing.products.products([world.boost.id]))[world.boost.id].price
    changes = {"price": old + 1}
    await editing.products.update_product(SERVER, str(world.boost.id), {"price": old})
    if is_warm:
        assert await price_in(editing, world) == old
    for process in (editing, reading):
        await process.products._in_process.start_generation()
    reader = Actor("reader", lambda: price_in(reading, world))
    editor = Actor(
        "editor", lambda: editing.products.update_product(SERVER, str(world.boost.id), changes)
    )
    async for actor in order.play(reader, editor):
        if actor is editor and editor.is_done and is_asked_at_once:
            await assert_shown(editing, world, old + 1, order)
    assert reader.result in (old, old + 1), order.steps
    await assert_shown(editing, world, old + 1, order)
    # what another process has of its own ends by itself; behind it is what is right
    await reading.products._in_process.start_generation()
    await assert_shown(reading, world, old + 1, order)


# The reader makes six steps with Redis, five without, and three where nothing is shared or where
# the old price is found in what is shared: before the editor has voided it, the second of its three
# steps, or of its two where nothing is shared.


@pytest.mark.parametrize(
    ("race", "numbers"),
    [
        ("redis, one process", {"cold": 84, "warm": 29}),
        ("redis, two processes", {"cold": 84, "warm": 29}),
        ("the only one", {"cold": 56, "warm": 26}),
        ("one of several", {"cold": 10}),
    ],
    indirect=["race"],
)
async def test_one_reader_and_one_editor(race: Race, numbers: dict[str, int]) -> None:
    """Each order twice: who asks as soon as the editor is answered may fill before the reader."""
    is_same_process = race[0].services is race[1]
    for what, number in numbers.items():
        for is_asked_at_once in (False, True) if is_same_process else (False,):

            async def play_one(order: Order) -> None:
                is_warm = what == "warm"  # noqa: B023
                await play(order, *race, is_warm=is_warm, is_asked_at_once=is_asked_at_once)  # noqa: B023

            assert len(await in_every_order(play_one)) == number
