"""The catalogue through its caches: no SQL on a hit, right after an edit, in every process."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from economy.bootstrap import open_services
from economy.cache import CATALOGUE_IN_PROCESS_SECONDS
from economy.errors import (
    CommitOutcomeUnknown,
    InvalidInput,
    PriceChanged,
    ProductNotFound,
    ProductUnavailable,
)
from economy.models.product import ProductRow, ProductType
from economy.services import Services
from economy.services.access import Actor
from economy.settings import Settings
from tests.graphql_answers import BOOST, PREMIUM, PRODUCT
from tests.graphql_mutations import mutate
from tests.journal import error_of
from tests.proxy import Break, open_proxy
from tests.shop import Headers, Shop
from tests.sql_counter import recorded_sql
from tests.world import SERVER, World

PLAYER = Actor.player(1)


def settings_of(database_url: str, redis_url: str | None = None, workers: int = 1) -> Settings:
    return Settings(
        database_url=database_url,
        redis_url=redis_url,
        redis_timeout_seconds=10,  # on a noisy machine a slow answer must not look like a failure
        workers=workers,
        jobs_in_server=False,  # they would ask the database while a test counts statements
    )


@pytest.fixture(params=["redis", "memory", "in process only"])
def settings(request: pytest.FixtureRequest) -> Settings:
    """Production, development, and several processes without Redis."""
    match request.param:
        case "redis":
            urls = [request.getfixturevalue(name) for name in ("postgres_url", "own_redis_url")]
            return settings_of(*urls)
        case "memory":
            return settings_of(request.getfixturevalue("sqlite_url"))
    return settings_of(request.getfixturevalue("sqlite_url"), workers=2)


@pytest.fixture(params=["redis", "in process only"])
async def processes(
    request: pytest.FixtureRequest, postgres_url: str
) -> AsyncIterator[tuple[Services, Services]]:
    """Two on one database: with one Redis, or with none."""
    if request.param == "redis":
        settings = settings_of(postgres_url, request.getfixturevalue("own_redis_url"))
    else:
        settings = settings_of(postgres_url, workers=2)
    async with open_services(settings) as one, open_services(settings) as other:
        yield one, other


async def walked(services: Services, actor: Actor, type_: str | None, first: int) -> Any:
    """All pages, one behind the other."""
    rows: list[ProductRow] = []
    after = None
    while True:
        page = await services.products.list_products(actor, type_=type_, first=first, after=after)
        rows += page.rows
        after = page.next_cursor
        if after is None:
            return rows


async def assert_right(world: World, services: Services) -> None:
    """All that is shown is what the database has: to players what is on sale, to servers all."""
    columns = ", ".join(ProductRow._fields)
    rows = [ProductRow(*row) for row in await world.sql(f"SELECT {columns} FROM product")]
    rows = sorted(row._replace(is_active=bool(row.is_active)) for row in rows)
    ids = {row.id for row in rows}
    assert await services.products.products(ids | {10_000}) == {row.id: row for row in rows}
    for actor, on_sale in ((SERVER, {True, False}), (PLAYER, {True})):
        for type_ in (None, "consumable", "permanent"):
            mine = [row for row in rows if row.is_active in on_sale and type_ in (None, row.type)]
            for first in (1, 50):
                assert await walked(services, actor, type_, first) == mine


EDITS: list[dict[str, Any]] = [
    {"price": 101},
    {"is_active": False},
    {"price": 10**12, "name": "«Ещё»", "description": "'\"\\"},
    {"is_active": True},
]


async def test_every_page_is_right_after_each_edit(world: World) -> None:
    products = world.services.products
    await assert_right(world, world.services)
    for type_, is_active in ((ProductType.CONSUMABLE, True), (ProductType.PERMANENT, False)):
        await products.create_product(
            SERVER, name="new", description="", price=1, type_=type_, is_active=is_active
        )
        await assert_right(world, world.services)
    row = world.premium
    for changes in EDITS:
        row = row._replace(**changes)
        assert await products.update_product(SERVER, str(row.id), changes) == row
        await assert_right(world, world.services)


REFUSED: list[dict[str, Any]] = [
    {"price": -1},
    {"price": 10**12 + 1},
    {"name": ""},
    {"name": "a\u0000"},
    {"price": 7, "description": None},
]


async def test_a_refused_edit_changes_nothing(world: World) -> None:
    """What is cached stays cached, too."""
    products = world.services.products
    await assert_right(world, world.services)
    before = await world.sql("SELECT * FROM product ORDER BY id")
    page = await products.list_products(PLAYER, type_=None, first=50, after=None)
    new: dict[str, Any] = {"description": "", "type_": ProductType.CONSUMABLE, "is_active": True}
    with recorded_sql(world.services.database) as statements:
        for changes in REFUSED:
            edit = products.update_product(SERVER, str(world.boost.id), changes)
            assert type(await error_of(edit)) is InvalidInput
        assert type(await error_of(products.create_product(SERVER, name="", price=1, **new))) is (
            InvalidInput
        )
        impossible = products.update_product(SERVER, "01", {"price": 1})
        assert type(await error_of(impossible)) is ProductNotFound
    assert statements == []
    assert type(await error_of(products.update_product(SERVER, "99", {"price": 1}))) is (
        ProductNotFound
    )
    assert await world.sql("SELECT * FROM product ORDER BY id") == before
    assert await products.list_products(PLAYER, type_=None, first=50, after=None) == page
    await assert_right(world, world.services)


@pytest.mark.parametrize("settings", ["redis", "memory"], indirect=True)
async def test_a_hit_asks_the_database_nothing(shop: Shop) -> None:
    """A player that has never asked gets what another one has had loaded, over either transport."""
    anna, boris = shop.player(shop.world.anna), shop.player(shop.world.boris)
    with recorded_sql(shop.services.database) as first:
        expected = await answers(shop, anna)
    assert len([statement for statement in first if "FROM product" in statement]) == 4
    with recorded_sql(shop.services.database) as second:
        assert await answers(shop, boris) == expected
    assert second == []


async def answers(shop: Shop, who: Headers) -> list[Any]:
    """The catalogue over both transports: one product, and three pages of which two are shared."""
    document = f"{{ product(id: 1) {{ {PRODUCT} }} products {{ nodes {{ {PRODUCT} }} }} }}"
    found = [(await shop.graphql(document, who))["data"]]
    for query in ("", "?first=1", "?type=permanent"):
        response = await shop.client.get(f"/products{query}", headers=who)
        found.append(response.json()["items"])
    return found


async def test_an_edit_over_either_transport_is_seen_over_both(shop: Shop) -> None:
    anna = shop.player(shop.world.anna)
    rest = {"id": 2, "name": "Премиум-статус", "description": "", "price": 500}
    rest |= {"type": "permanent", "is_active": True}
    boost = rest | {"id": 1, "name": "Буст на день", "price": 100, "type": "consumable"}
    nodes = {"product": BOOST, "products": {"nodes": [BOOST, PREMIUM]}}
    assert await answers(shop, anna) == [nodes, [boost, rest], [boost], [rest]]
    await mutate(shop, "updateProduct", shop.server, id="1", price=7, isActive=False)
    nodes = {"product": BOOST | {"price": 7, "isActive": False}, "products": {"nodes": [PREMIUM]}}
    assert await answers(shop, anna) == [nodes, [rest], [rest], [rest]]


async def test_an_edit_whose_outcome_is_unknown(postgres_url: str, own_redis_url: str) -> None:
    """It was committed, and only the answer was lost."""
    async with (
        open_proxy(postgres_url) as proxy,
        open_services(settings_of(proxy.url, own_redis_url)) as services,
    ):
        world = await World.create(services)
        await assert_right(world, services)
        proxy.next_commit = Break.AFTER_COMMIT
        edit = services.products.update_product(SERVER, str(world.boost.id), {"price": 7})
        assert type(await error_of(edit)) is CommitOutcomeUnknown
        assert proxy.broken == [Break.AFTER_COMMIT]
        found = await services.products.products([world.boost.id])
        assert found == {world.boost.id: world.boost._replace(price=7)}
        await assert_right(world, services)


async def test_other_processes_see_an_edit_within_a_second(
    processes: tuple[Services, Services],
) -> None:
    one, other = processes
    world = await World.create(one)
    for services in processes:
        await assert_right(world, services)
    await one.products.update_product(SERVER, str(world.boost.id), {"price": 7})
    answered_at = time.monotonic()
    await assert_right(world, one)
    while True:
        asked_at = time.monotonic()
        price = (await other.products.products([world.boost.id]))[world.boost.id].price
        if asked_at >= answered_at + CATALOGUE_IN_PROCESS_SECONDS:
            break
        assert price in (100, 7)
        await asyncio.sleep(0.02)
    assert price == 7
    await assert_right(world, other)


async def test_a_decision_never_reads_the_cache(processes: tuple[Services, Services]) -> None:
    """A process that shows the old price charges the new one, or refuses."""
    one, other = processes
    world, buyer = await World.create(one), other.purchases
    await world.credit(world.anna, 1_000)
    await assert_right(world, other)
    asked: dict[str, Any] = {"product_id": str(world.boost.id), "quantity": 1, "user_id": None}
    asked |= {"idempotency_key": None}
    await one.products.update_product(SERVER, str(world.boost.id), {"price": 30})
    wrong = await error_of(buyer.purchase(PLAYER, expected_price=100, **asked))
    assert type(wrong) is PriceChanged
    bought = await buyer.purchase(PLAYER, expected_price=None, **asked)
    assert (bought.transaction.amount, bought.user.balance) == (30, 970)
    await one.products.update_product(SERVER, str(world.boost.id), {"is_active": False})
    refused = await error_of(buyer.purchase(PLAYER, expected_price=None, **asked))
    assert type(refused) is ProductUnavailable
    assert await world.sql('SELECT balance FROM "user" WHERE id = 1') == [(970,)]
