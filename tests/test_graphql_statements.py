"""Lists over GraphQL take as many SQL statements as a single row: no N+1, on both databases."""

import re
from typing import Any

import pytest

from economy.models.user import UserRow
from tests.catalogue import add_products
from tests.shop import Headers, Shop
from tests.sql_counter import recorded_sql
from tests.world import SERVER

TABLE = re.compile(r'FROM "?(user|product|inventory|transaction|server_key|claim|job_progress)\b')


async def tables_read(shop: Shop, document: str, who: Headers) -> tuple[list[str], dict[str, Any]]:
    """The table of each statement that the document took, sorted; and its data."""
    with recorded_sql(shop.services.database) as statements:
        body = await shop.graphql(document, who)
    assert body.keys() == {"data"}, body
    # the driver's own, on a new connection, read none of these
    tables = [found[1] for statement in statements if (found := TABLE.search(statement))]
    return sorted(tables), body["data"]


async def forget_catalogue(shop: Shop) -> None:
    """As an edit does, even one that leaves a product as it was."""
    boost = shop.world.boost
    await shop.services.products.update_product(SERVER, str(boost.id), {"price": boost.price})


async def stock(shop: Shop, user: UserRow, number: int) -> None:
    """The user buys one each of so many products."""
    await shop.world.credit(user, 1_000)
    for product in await add_products(shop.world, number):
        await shop.world.buy(user, product)


@pytest.fixture
async def readers(shop: Shop) -> dict[int, Headers]:
    """A player that holds 1 product, and one that holds 50."""
    await stock(shop, shop.world.anna, 1)
    await stock(shop, shop.world.boris, 50)
    return {1: shop.player(shop.world.anna), 50: shop.player(shop.world.boris)}


async def test_an_inventory(shop: Shop, readers: dict[int, Headers]) -> None:
    for number, who in readers.items():
        await forget_catalogue(shop)
        tables, data = await tables_read(shop, "{ inventory { id product { name } } }", who)
        assert tables == ["inventory", "product"]
        assert len({item["product"]["name"] for item in data["inventory"]}) == number


async def test_an_inventory_in_the_cache(shop: Shop, readers: dict[int, Headers]) -> None:
    document = "{ inventory { id quantity purchasedAt } me { inventory { id } } }"
    for number, who in readers.items():
        await forget_catalogue(shop)
        first, data = await tables_read(shop, document, who)
        assert first == ["inventory", "product", "user"]  # asked for or not
        assert len(data["inventory"]) == len(data["me"]["inventory"]) == number
        second, same = await tables_read(shop, document, who)
        assert second == ["user"]
        assert same == data


async def test_a_page_of_transactions(shop: Shop, readers: dict[int, Headers]) -> None:
    document = "{ me { transactions(kind: PURCHASE) { nodes { id product { name } } } } }"
    for number, who in readers.items():
        await forget_catalogue(shop)
        tables, data = await tables_read(shop, document, who)
        assert tables == ["product", "transaction", "user"]
        nodes = data["me"]["transactions"]["nodes"]
        assert len({node["product"]["name"] for node in nodes}) == number
        tables, same = await tables_read(shop, document, who)
        assert (tables, same) == (["transaction", "user"], data)


@pytest.mark.parametrize("limit", [1, 5])
async def test_popular_products(shop: Shop, readers: dict[int, Headers], limit: int) -> None:
    """One look at what is counted already, one at what is not; then all of it from the cache."""
    document = f"{{ popularProducts(limit: {limit}) {{ purchases product {{ name }} }} }}"
    await forget_catalogue(shop)
    tables, data = await tables_read(shop, document, readers[1])
    assert tables == ["job_progress", "product", "transaction"]
    assert len(data["popularProducts"]) == limit
    assert await tables_read(shop, document, readers[50]) == ([], data)


async def test_a_page_of_products(shop: Shop, readers: dict[int, Headers]) -> None:
    for first in (1, 50):
        await forget_catalogue(shop)
        document = f"{{ products(first: {first}) {{ nodes {{ name }} edges {{ cursor }} }} }}"
        tables, data = await tables_read(shop, document, readers[1])
        assert tables == ["product"]
        assert len(data["products"]["nodes"]) == first
        assert await tables_read(shop, document, readers[50]) == ([], data)


async def test_several_users_in_one_document(shop: Shop) -> None:
    """Five aliases with all that is nested take the statements of one."""
    world = shop.world
    users = [world.anna, world.boris] + [
        await shop.services.users.create_user(SERVER, username=name, email=f"{name}@example.com")
        for name in ("vera", "gleb", "dina", "egor")
    ]
    for user in users:
        await world.credit(user, 1_000)
        for product in (world.boost, world.premium):
            await world.buy(user, product)
    fields = """{ username inventory { product { name } }
        transactions { nodes { product { name } } } }"""
    for asked in (users[:1], users[1:]):  # one's inventory is in the cache by then
        await forget_catalogue(shop)
        aliases = " ".join(f"a{user.id}: user(id: {user.id}) {fields}" for user in asked)
        tables, data = await tables_read(shop, f"{{ {aliases} }}", shop.server)
        assert tables == ["inventory", "product", "server_key", "transaction", "user"]
        boost, premium = ({"product": {"name": row.name}} for row in (world.boost, world.premium))
        assert data == {
            f"a{user.id}": {
                "username": user.username,
                "inventory": [boost, premium],
                "transactions": {"nodes": [premium, boost, {"product": None}]},
            }
            for user in asked
        }


async def test_several_products_in_one_document(shop: Shop) -> None:
    await add_products(shop.world, 5)
    for number in (1, 5):
        await forget_catalogue(shop)
        aliases = " ".join(f"a{id_}: product(id: {id_}) {{ id }}" for id_ in range(1, number + 1))
        tables, data = await tables_read(shop, f"{{ {aliases} }}", shop.player(shop.world.anna))
        assert tables == ["product"]
        assert data == {f"a{id_}": {"id": str(id_)} for id_ in range(1, number + 1)}


async def test_several_inventories_in_one_document(shop: Shop) -> None:
    """Empty ones, too: whether the users exist is asked once."""
    await shop.world.credit(shop.world.anna, 100)
    await shop.world.buy(shop.world.anna, shop.world.boost)
    await forget_catalogue(shop)
    document = """{ anna: inventory(userId: 1) { product { id } }
        boris: inventory(userId: 2) { product { id } } }"""
    tables, data = await tables_read(shop, document, shop.server)
    assert tables == ["inventory", "product", "server_key", "user"]
    assert data == {"anna": [{"product": {"id": "1"}}], "boris": []}
