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
from tests.cache_source import figures, lifetimes
from tests.journal import error_of
from tests.servers import redis_server
from tests.shop import Shop
from tests.sql_counter import recorded_sql
from tests.world import SERVER, World


@pytest.fixture(params=["memory", "redis"])
def settings(database_url: str, request: pytest.FixtureRequest) -> Settings:
    """Each test runs with both caches, on both databases."""
    url = request.getfixturevalue("own_redis_url") if request.param == "redis" else None
    return settings_of(database_url, url)


def settings_of(database_url: str, redis_url: str | None) -> Settings:
    return Settings(
        database_url=database_url,
        redis_url=redis_url,
        redis_timeout_seconds=10,  # on a noisy machine a slow answer must not look like a failure
        jobs_in_server=False,  # they would ask the database while a test counts statements
    )


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


async def read_over(shop: Shop, transport: str, user: UserRow) -> list[tuple[str, int, int]]:
    """Name, price and quantity of what the user holds, asked by the player itself."""
    who = shop.player(user)
    if transport == "REST":
        response = await shop.client.get(f"/users/{user.id}/inventory", headers=who)
        found = response.json()["items"]
    else:
        document = "{ inventory { id product { name price } quantity } }"
        found = (await shop.graphql(document, who))["data"]["inventory"]
    return [(one["product"]["name"], one["product"]["price"], one["quantity"]) for one in found]


@pytest.mark.parametrize(("first", "second"), [("REST", "GraphQL"), ("GraphQL", "REST")])
async def test_a_hit_over_http_asks_the_database_nothing(
    shop: Shop, first: str, second: str
) -> None:
    """What one transport has had loaded serves both; who holds nothing is a hit, too."""
    world = shop.world
    await world.credit(world.anna, 1_000)
    await world.buy(world.anna, world.boost, quantity=3)
    await world.buy(world.anna, world.premium)
    held = [("Буст на день", 100, 3), ("Премиум-статус", 500, 1)]
    for user, expected in ((world.anna, held), (world.boris, [])):
        with recorded_sql(shop.services.database) as statements:
            assert await read_over(shop, first, user) == expected
        assert len([one for one in statements if "FROM inventory" in one]) == 1
        with recorded_sql(shop.services.database) as statements:
            for transport in (second, first, second):
                assert await read_over(shop, transport, user) == expected
        assert statements == []
    await world.use(world.anna, world.boost)
    for transport in (second, first):
        assert await read_over(shop, transport, world.anna) == [("Буст на день", 100, 2), held[1]]


async def test_hits_and_misses_are_counted(shop: Shop) -> None:
    for _ in range(3):
        await read_over(shop, "REST", shop.world.anna)
    found = figures((await shop.client.get("/metrics")).text)
    assert found['economy_cache_reads_total{cache="inventory",outcome="miss"}'] == 1
    assert found['economy_cache_reads_total{cache="inventory",outcome="hit"}'] == 2


async def test_many_inventories_are_two_statements(stocked: World) -> None:
    """The second one asks whether those that hold nothing exist."""
    users = [stocked.anna.id, stocked.boris.id]
    with recorded_sql(stocked.services.database) as statements:
        both = await stocked.services.inventory.inventories(users)
        assert len(statements) == 2
        assert await stocked.services.inventory.inventories(users) == both
        assert len(statements) == 2
        await stocked.credit(stocked.anna, 1)
        statements.clear()
        assert await stocked.services.inventory.inventories(users) == both
        assert len(statements) == 1  # of the one that was forgotten
    assert [item.quantity for item in both[stocked.anna.id]] == [3]
    assert both[stocked.boris.id] == []


async def test_a_user_that_does_not_exist_is_not_cached_as_one(world: World) -> None:
    for _ in range(2):
        with recorded_sql(world.services.database) as statements:
            missing = items_of(world.services, world.anna._replace(id=3))
            assert type(await error_of(missing)) is UserNotFound
        assert len([one for one in statements if "FROM inventory" in one]) == 1
    vera = await world.services.users.create_user(SERVER, username="vera", email="v@example.com")
    assert vera.id == 3
    assert await items_of(world.services, vera) == []
    await world.credit(vera, 100)
    bought = await world.buy(vera, world.boost)
    assert await items_of(world.services, vera) == [bought.item]
    with recorded_sql(world.services.database) as statements:
        assert await items_of(world.services, vera) == [bought.item]
    assert statements == []


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
    settings = settings_of(database_url, own_redis_url)
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
    async with (
        open_services(settings_of(database_url, own_redis_url)) as services,
        Redis.from_url(own_redis_url, decode_responses=True) as raw,
    ):
        world = await World.create(services)
        await services.inventory.inventories([world.anna.id, world.boris.id])
        await services.products.products([world.boost.id])
        await services.products.list_products(SERVER, type_=None, first=5, after=None)
        await services.analytics.popular_products(SERVER, limit=5)
        await world.credit(world.boris, 1)
        left = await lifetimes(raw)
    most = {
        f"economy:2:inventory:{{{world.anna.id}}}": 300,
        f"economy:2:catalogue:{{{world.boost.id}}}": 60,
        "economy:2:catalogue:{page:any:all:5:0}": 60,
        "economy:2:{popular_products}": 25 * 3600,
        "economy:2:{popular_products}:fresh": 3600,
        "economy:2:inventory:generation": 30 * 24 * 3600,
        "economy:2:catalogue:generation": 30 * 24 * 3600,
    }
    assert left.keys() == most.keys()
    assert all(most[name] - 50 < left[name] <= most[name] for name in most)


async def test_without_redis_all_goes_on(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEST_REDIS_URL", raising=False)
    with ExitStack() as running:
        url = running.enter_context(redis_server())
        async with open_services(settings_of(database_url, url)) as services:
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
        assert len(statements) == 2
        assert await analytics.popular_products(SERVER, limit=1) == ranking[:1]
        await stocked.buy(anna, boost)
        statements.clear()
        assert await analytics.popular_products(SERVER, limit=100) == ranking  # an hour old
        assert statements == []
