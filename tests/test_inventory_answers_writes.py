"""No answer is older than what its reader could know: after writes, edits, and Redis' bad days."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.asyncio import Redis

from economy.cache import open_inventory_caches
from economy.cache_store import MemoryStore
from economy.metrics import Metrics
from economy.redis_client import MOST_COMMANDS, ROUND_TRIPS
from economy.settings import Settings
from tests.cache_source import open_client
from tests.redis_client import GENERATIONS, until
from tests.redis_wire import open_wire
from tests.servers import RedisServer
from tests.shop import Headers
from tests.twins import Process, Twins, open_twins, twin_settings

PLAIN = "{ inventory { quantity product { name price } } }"
BOOST, PREMIUM = ("Буст на день", 100), ("Премиум-статус", 500)

Item = tuple[int, str, int]  # quantity, name, price


@pytest.fixture(autouse=True)
def nothing_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process has of the catalogue would be new after a second without being told."""
    monkeypatch.setattr("economy.bootstrap.CATALOGUE_IN_PROCESS_SECONDS", 600.0)


@pytest.fixture
async def twins(postgres_url: str, own_redis_url: str) -> AsyncIterator[Twins]:
    async with open_twins(twin_settings(postgres_url, own_redis_url)) as twins:
        await make_known(twins)
        yield twins


async def make_known(twins: Twins) -> None:
    """What is asked for the first time goes another way."""
    for process in (twins.one, twins.other):
        await process.answer(twins.anna, PLAIN)


async def shown(process: Process, who: Headers) -> list[Item]:
    body = (await process.ask(who, PLAIN)).json()
    assert body.keys() == {"data"}
    return [
        (item["quantity"], item["product"]["name"], item["product"]["price"])
        for item in body["data"]["inventory"]
    ]


async def assert_shown(twins: Twins, who: Headers, *expected: Item) -> None:
    """In both processes, and again, as the first time fills."""
    for process in (twins.other, twins.one, twins.other, twins.one):
        assert await shown(process, who) == list(expected)


async def test_writes_of_either_process(twins: Twins) -> None:
    anna, boost = twins.world.anna, twins.world.boost
    await assert_shown(twins, twins.anna, (2, *BOOST), (1, *PREMIUM))
    for process in (twins.one, twins.other):
        world = twins.world_in(process)
        bought = (await world.buy(anna, boost, quantity=3)).transaction
        await assert_shown(twins, twins.anna, (5, *BOOST), (1, *PREMIUM))
        await world.use(anna, boost, quantity=2)
        await assert_shown(twins, twins.anna, (3, *BOOST), (1, *PREMIUM))
        await world.grant(anna, boost, quantity=4)
        await assert_shown(twins, twins.anna, (7, *BOOST), (1, *PREMIUM))
        await world.revoke(anna, boost, quantity=2)
        await assert_shown(twins, twins.anna, (5, *BOOST), (1, *PREMIUM))
        await world.reverse(bought)
        await assert_shown(twins, twins.anna, (2, *BOOST), (1, *PREMIUM))
        await world.use(anna, boost, quantity=2)
        await assert_shown(twins, twins.anna, (1, *PREMIUM))
        await world.revoke(anna, world.premium)
        await assert_shown(twins, twins.anna)
        await world.buy(anna, boost, quantity=2)
        await world.grant(anna, world.premium)
        await assert_shown(twins, twins.anna, (2, *BOOST), (1, *PREMIUM))
        await assert_shown(twins, twins.boris, (1, *BOOST))
    assert twins.one.kept[0] > 10
    assert twins.other.kept[0] > 10


async def edit(process: Process, twins: Twins, **changes: object) -> None:
    document = "mutation ($input: UpdateProductInput!) { updateProduct(input: $input) {"
    document += " __typename } }"
    answer = await process.answer(twins.server, document, input={"id": "1", **changes})
    assert answer == b'{"data":{"updateProduct":{"__typename":"UpdateProductSuccess"}}}'


async def have_catalogue(twins: Twins, price: int) -> None:
    """Each process has the products of its own, as they are."""
    for process in (twins.one, twins.other):
        found = await process.services.products.products([1, 2])
        assert [found[id_].price for id_ in (1, 2)] == [price, 500]


@pytest.mark.parametrize("is_kept", [True, False])
async def test_edits_of_either_process(twins: Twins, is_kept: bool) -> None:
    """At once in both, of an inventory whose answer is kept and of one whose answer is not."""
    price = 100
    for number, process in enumerate(2 * [twins.one, twins.other]):
        await have_catalogue(twins, price)
        await assert_shown(twins, twins.anna, (2, BOOST[0], price), (1, *PREMIUM))
        if not is_kept:
            await twins.world.credit(twins.world.anna, 1)
        price += 1
        await edit(process, twins, price=price)
        reader = (twins.one, twins.other)[number // 2]
        assert (await shown(reader, twins.anna))[0] == (2, BOOST[0], price)
        await assert_shown(twins, twins.anna, (2, BOOST[0], price), (1, *PREMIUM))
        await assert_shown(twins, twins.boris, (1, BOOST[0], price))
    await edit(twins.other, twins, name="«Ещё»", isActive=False)
    await assert_shown(twins, twins.anna, (2, "«Ещё»", price), (1, *PREMIUM))


async def test_an_edit_and_another_document(twins: Twins) -> None:
    """What lies in the place is of the other, so nothing is filled: the catalogue is new still."""
    documents = [f"{{ inventory {{ {one} product {{ price }} }} }}" for one in ("id", "id a: id")]
    documents += ["{ inventory { product { price id } } }"]
    for document in [*documents, *documents]:
        for process in (twins.one, twins.other):
            assert b'"price":100' in await process.answer(twins.anna, document)
    price = 100
    for document in [*documents, *reversed(documents)]:
        await have_catalogue(twins, price)
        price += 1
        await edit(twins.one, twins, price=price)
        for one in (document, *documents):
            assert b'"price":%d' % price in await twins.other.answer(twins.anna, one)


async def test_a_redis_that_forgets(twins: Twins, raw: Redis) -> None:
    """All, or a generation alone; before a write, or behind it."""
    quantity = 2

    async def flush() -> None:
        await raw.flushdb()

    async def forget_inventories() -> None:
        assert await raw.delete(GENERATIONS[0]) == 1

    async def forget_catalogue() -> None:
        assert await raw.delete(GENERATIONS[1]) == 1

    for forget in (flush, forget_inventories, forget_catalogue):
        for process in (twins.one, twins.other):
            for comes_first in (True, False):
                await assert_shown(twins, twins.anna, (quantity, *BOOST), (1, *PREMIUM))
                if comes_first:
                    await forget()
                await twins.world_in(process).buy(twins.world.anna, twins.world.boost)
                quantity += 1
                if not comes_first:
                    await forget()
                await assert_shown(twins, twins.anna, (quantity, *BOOST), (1, *PREMIUM))


async def trusted(twins: Twins, *, expected: bool) -> None:
    clients = [process.services.redis for process in (twins.one, twins.other)]
    await until(lambda: all(one is not None and one.is_trusted is expected for one in clients))


async def test_a_redis_that_stops_and_starts(
    postgres_url: str, breakable_redis: RedisServer, admin: redis.Redis
) -> None:
    """From a snapshot: what was kept then is there again."""
    async with open_twins(twin_settings(postgres_url, breakable_redis.url)) as twins:
        await make_known(twins)
        world = twins.world_in(twins.other)
        await assert_shown(twins, twins.anna, (2, *BOOST), (1, *PREMIUM))
        admin.save()
        breakable_redis.kill()
        await world.buy(twins.world.anna, twins.world.boost)
        await assert_shown(twins, twins.anna, (3, *BOOST), (1, *PREMIUM))
        await trusted(twins, expected=False)
        await edit(twins.one, twins, price=7)
        breakable_redis.start()
        await trusted(twins, expected=True)
        await assert_shown(twins, twins.anna, (3, BOOST[0], 7), (1, *PREMIUM))
        hits = twins.one.kept[0]
        await assert_shown(twins, twins.anna, (3, BOOST[0], 7), (1, *PREMIUM))
        assert twins.one.kept[0] == hits + 2
        await world.use(twins.world.anna, twins.world.boost)
        await assert_shown(twins, twins.anna, (2, BOOST[0], 7), (1, *PREMIUM))


async def test_an_edit_while_redis_is_full(
    postgres_url: str, breakable_redis: RedisServer, admin: redis.Redis
) -> None:
    """The other process reads hits only, and never learns that memory is out."""
    async with open_twins(twin_settings(postgres_url, breakable_redis.url)) as twins:
        await make_known(twins)
        await assert_shown(twins, twins.anna, (2, *BOOST), (1, *PREMIUM))
        admin.config_set("maxmemory", 1)
        await edit(twins.one, twins, price=7)
        assert await shown(twins.other, twins.anna) == [(2, BOOST[0], 7), (1, *PREMIUM)]


async def test_what_is_made_of_items_is_not_forgotten_before_them(
    own_redis_url: str, raw: Redis, tmp_path: Path
) -> None:
    """Who then makes an answer of old items could keep it: in one round trip they have an order,
    however much else there is to tell."""
    async with open_wire(own_redis_url, tmp_path) as wire, open_client(wire.url) as client:
        products = MemoryStore[Any](1.0)
        caches = open_inventory_caches(Settings(), client, Metrics(), catalogue_in_process=products)
        busy = []
        for number in range(1, ROUND_TRIPS + 1):  # until they are answered all others wait
            busy.append(asyncio.create_task(client.execute("BLPOP", "busy", 30)))
            await until(lambda: wire.sent.count(["BLPOP"]) == number)  # noqa: B023
        others = asyncio.create_task(client.execute_all((MOST_COMMANDS - 1) * [("TIME",)]))
        told = asyncio.create_task(caches.items.forget([1]))
        for _ in range(10):
            await asyncio.sleep(0)
        await raw.rpush("busy", *ROUND_TRIPS * ["no more"])
        await asyncio.gather(*busy, others, told)
    assert len([names for names in wire.sent if "UNLINK" in names]) == 1
