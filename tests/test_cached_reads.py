"""What services read through the cache: no SQL on a hit, fresh after every answer."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import pytest
from redis.asyncio import Redis

from economy.bootstrap import open_services
from economy.errors import InsufficientFunds, NotEnoughItems, UserNotFound
from economy.models.inventory import InventoryRow
from economy.models.user import UserRow
from economy.services import Services
from economy.services.access import Actor
from economy.services.analytics import PopularProduct
from economy.services.operations import Booking
from economy.settings import Settings
from tests.journal import error_of
from tests.redis_database import empty_database
from tests.servers import redis_server
from tests.sql_counter import recorded_sql
from tests.world import SERVER, World


@pytest.fixture
def own_redis_url(redis_url: str, worker_id: str) -> str:
    return empty_database(redis_url, worker_id)


@pytest.fixture(params=["memory", "redis"])
def settings(database_url: str, request: pytest.FixtureRequest) -> Settings:
    """Each test runs with both caches, on both databases."""
    url = request.getfixturevalue("own_redis_url") if request.param == "redis" else None
    return Settings(database_url=database_url, redis_url=url, redis_timeout_seconds=10)


async def items_of(services: Services, user: UserRow) -> list[InventoryRow]:
    return await services.inventory.inventory_of(SERVER, str(user.id))


async def quantities(world: World) -> list[int]:
    return [item.quantity for item in await items_of(world.services, world.anna)]


@pytest.fixture
async def stocked(world: World) -> World:
    """Anna holds three boosts, bought under the key `k`, and has 700 coins left."""
    await world.credit(world.anna, 1_000, idempotency_key="k")
    await world.buy(world.anna, world.boost, quantity=3, idempotency_key="k")
    return world


async def test_the_second_read_asks_the_database_nothing(stocked: World) -> None:
    await stocked.buy(stocked.anna, stocked.premium)
    with recorded_sql(stocked.services.database) as first:
        items = await items_of(stocked.services, stocked.anna)
    assert len(first) == 1
    with recorded_sql(stocked.services.database) as second:
        assert await items_of(stocked.services, stocked.anna) == items
        boosts = await stocked.services.inventory.inventory_of(
            Actor.player(stocked.anna.id), str(stocked.anna.id), type_="consumable"
        )
        assert boosts == items[:1]
    assert second == []
    assert [(item.product_id, item.quantity, item.product_type) for item in items] == [
        (stocked.boost.id, 3, "consumable"),
        (stocked.premium.id, 1, "permanent"),
    ]


async def test_many_inventories_are_one_statement(stocked: World) -> None:
    users = [stocked.anna.id, stocked.boris.id]
    with recorded_sql(stocked.services.database) as statements:
        both = await stocked.services.inventory.inventories(users)
        assert len(statements) == 1
        assert await stocked.services.inventory.inventories(users) == both
        assert len(statements) == 1
        await stocked.credit(stocked.anna, 1)
        statements.clear()
        assert await stocked.services.inventory.inventories(users) == both
        assert len(statements) == 1  # of the one that was forgotten
    assert [item.quantity for item in both[stocked.anna.id]] == [3]
    assert both[stocked.boris.id] == []


async def test_a_user_that_does_not_exist_is_not_cached_as_one(world: World) -> None:
    for _ in range(2):
        assert type(await error_of(items_of(world.services, world.anna._replace(id=3)))) is (
            UserNotFound
        )
    vera = await world.services.users.create_user(SERVER, username="vera", email="v@example.com")
    assert vera.id == 3
    assert await items_of(world.services, vera) == []


CHANGES: list[tuple[Callable[[World], Awaitable[Booking]], list[int]]] = [
    (lambda world: world.buy(world.anna, world.boost, quantity=2), [5]),
    (lambda world: world.buy(world.anna, world.premium), [3, 1]),
    (lambda world: world.use(world.anna, world.boost), [2]),
    (lambda world: world.use(world.anna, world.boost, quantity=3), []),
]


@pytest.mark.parametrize(("change", "expected"), CHANGES)
async def test_a_read_after_a_change_is_fresh(
    stocked: World, change: Callable[[World], Awaitable[Booking]], expected: list[int]
) -> None:
    assert await quantities(stocked) == [3]
    await change(stocked)
    assert await quantities(stocked) == expected


async def test_a_read_after_a_replay_or_a_decline_is_fresh(stocked: World) -> None:
    """Whoever was answered sees what is: an invalidation may have been lost before."""
    anna, boost = stocked.anna, stocked.boost
    assert await quantities(stocked) == [3]

    async def change_unseen(quantity: int) -> None:
        await stocked.sql("UPDATE inventory SET quantity = :quantity", quantity=quantity)

    await change_unseen(10)
    assert await quantities(stocked) == [3]
    again = await stocked.buy(anna, boost, quantity=3, idempotency_key="k")
    assert again.replayed
    assert await quantities(stocked) == [10]

    await change_unseen(11)
    error = await error_of(stocked.buy(anna, boost, quantity=8))
    assert type(error) is InsufficientFunds
    assert await quantities(stocked) == [11]

    await change_unseen(12)
    assert type(await error_of(stocked.use(anna, boost, quantity=13))) is NotEnoughItems
    assert await quantities(stocked) == [12]


async def test_readers_and_buyers_at_once(stocked: World) -> None:
    """However they interleave, the last read sees the last purchase."""

    async def read_often() -> None:
        for _ in range(30):
            await quantities(stocked)

    for expected in range(4, 9):
        await asyncio.gather(read_often(), read_often(), stocked.buy(stocked.anna, stocked.boost))
        assert await quantities(stocked) == [expected]


async def test_another_process_reads_what_is_new(database_url: str, own_redis_url: str) -> None:
    settings = Settings(
        database_url=database_url, redis_url=own_redis_url, redis_timeout_seconds=10
    )
    async with open_services(settings) as one, open_services(settings) as other:
        world = await World.create(one)
        await world.credit(world.anna, 1_000)
        assert await items_of(other, world.anna) == []
        booking = await world.buy(world.anna, world.boost)
        assert await items_of(other, world.anna) == [booking.item]
        with recorded_sql(one.database) as statements:
            assert await items_of(one, world.anna) == [booking.item]
        assert statements == []


async def test_the_keys_in_redis(database_url: str, own_redis_url: str) -> None:
    settings = Settings(
        database_url=database_url, redis_url=own_redis_url, redis_timeout_seconds=10
    )
    async with (
        open_services(settings) as services,
        Redis.from_url(own_redis_url, decode_responses=True) as client,
    ):
        world = await World.create(services)
        await services.inventory.inventories([world.anna.id, world.boris.id])
        await services.analytics.popular_products(SERVER, limit=5)
        await world.credit(world.boris, 1)
        lifetimes = {str(key): await client.ttl(key) for key in await client.keys("*")}
        assert lifetimes.keys() == {f"economy:1:inventory:{{{world.anna.id}}}", "economy:1:popular"}
        assert 0 < lifetimes[f"economy:1:inventory:{{{world.anna.id}}}"] <= 300
        assert 300 < lifetimes["economy:1:popular"] <= 3_600


async def test_without_redis_all_goes_on(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEST_REDIS_URL", raising=False)
    with ExitStack() as running:
        url = running.enter_context(redis_server())
        settings = Settings(database_url=database_url, redis_url=url, redis_timeout_seconds=10)
        async with open_services(settings) as services:
            world = await World.create(services)
            await world.credit(world.anna, 1_000)
            assert await quantities(world) == []
            running.close()
            await world.buy(world.anna, world.boost)
            assert await quantities(world) == [1]
            ranking = await services.analytics.popular_products(SERVER, limit=5)
            assert ranking == [PopularProduct(1, world.boost.id, 1)]


async def test_popular_products_are_cached(stocked: World) -> None:
    anna, boost, premium = stocked.anna, stocked.boost, stocked.premium
    analytics = stocked.services.analytics
    await stocked.buy(anna, premium)
    await stocked.buy(anna, boost)
    await error_of(stocked.buy(anna, premium))  # a decline is no purchase
    ranking = [PopularProduct(1, boost.id, 2), PopularProduct(2, premium.id, 1)]
    with recorded_sql(stocked.services.database) as statements:
        assert await analytics.popular_products(Actor.player(anna.id), limit=5) == ranking
        assert len(statements) == 1
        assert await analytics.popular_products(SERVER, limit=1) == ranking[:1]
        await stocked.buy(anna, boost)
        statements.clear()
        assert await analytics.popular_products(SERVER, limit=100) == ranking  # an hour old
        assert statements == []
