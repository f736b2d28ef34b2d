"""Reads over GraphQL: every answer whole, and who may see what."""

from economy.services.access import ALL_SCOPES, Scope
from tests.catalogue import add_products
from tests.graphql_answers import (
    BOOST,
    FORBIDDEN,
    IMPOSSIBLE_IDS,
    ITEM,
    PREMIUM,
    PRODUCT,
    UNAUTHENTICATED,
    USER,
    errors_of,
    extensions,
    invalid,
    told,
)
from tests.shop import Shop


async def test_me(shop: Shop) -> None:
    anna = shop.world.anna
    document = f"{{ me {{ {USER} }} }}"
    assert await shop.graphql(document, shop.player(anna)) == {"data": {"me": told(anna)}}
    assert await shop.graphql(document, shop.server) == {"data": {"me": None}}
    nobody = shop.player(anna._replace(id=999))
    assert await shop.graphql(document, nobody) == {"data": {"me": None}}


async def test_user(shop: Shop) -> None:
    anna, boris = shop.world.anna, shop.world.boris
    document = f"query ($id: ID!) {{ user(id: $id) {{ {USER} }} }}"
    reader = await shop.key_with(Scope.READ_ANY)
    for user in (anna, boris):
        for who in (shop.player(user), shop.server, reader):
            body = await shop.graphql(document, who, id=str(user.id))
            assert body == {"data": {"user": told(user)}}
    for id_ in ["999", *IMPOSSIBLE_IDS]:
        assert await shop.graphql(document, reader, id=id_) == {"data": {"user": None}}


async def test_who_may_not_read_cannot_tell_which_users_exist(shop: Shop) -> None:
    document = f"query ($id: ID!) {{ user(id: $id) {{ {USER} }} inventory(userId: $id) {{ id }} }}"
    no_reader = await shop.key_with(*(ALL_SCOPES - {Scope.READ_ANY}))
    for who in (shop.player(shop.world.anna), no_reader):
        existing = await shop.graphql(document, who, id=str(shop.world.boris.id))
        assert existing["data"] == {"user": None, "inventory": None}
        assert errors_of(existing) == [(["inventory"], FORBIDDEN), (["user"], FORBIDDEN)]
        for id_ in ["999", *IMPOSSIBLE_IDS]:
            assert await shop.graphql(document, who, id=id_) == existing


async def test_an_email_is_for_who_may_read_the_user(shop: Shop) -> None:
    anna = shop.world.anna
    await shop.world.credit(anna, 500)
    buyer = await shop.key_with(Scope.ITEMS_WRITE)
    document = """mutation ($key: String!) {
        purchase(input: {productId: 1, userId: 1, idempotencyKey: $key}) {
            ... on PurchaseSuccess { user { email balance inventory { id } } } } }"""
    body = await shop.graphql(document, buyer, key="1")
    assert body["data"]["purchase"]["user"] == {"email": None, "balance": 400, "inventory": None}
    assert errors_of(body) == [(["purchase", "user", "inventory"], FORBIDDEN)]
    reader = await shop.key_with(Scope.ITEMS_WRITE, Scope.READ_ANY)
    for balance, who in ((300, reader), (200, shop.player(anna))):
        body = await shop.graphql(document, who, key=str(balance))
        user = body["data"]["purchase"]["user"]
        assert (user["email"], user["balance"]) == (anna.email, balance)


async def test_product(shop: Shop) -> None:
    player = shop.player(shop.world.anna)
    [hidden] = await add_products(shop.world, 1, is_active=False, description="line ☕")
    document = f"query ($id: ID!) {{ product(id: $id) {{ {PRODUCT} }} }}"
    for product in (BOOST, PREMIUM):
        body = await shop.graphql(document, player, id=product["id"])
        assert body == {"data": {"product": product}}
    # who holds one must be able to see what it is
    body = await shop.graphql(document, player, id=str(hidden.id))
    assert body["data"]["product"] == {
        "id": "3",
        "name": "Product 0",
        "description": "line ☕",
        "price": 1,
        "type": "CONSUMABLE",
        "isActive": False,
    }
    for id_ in ["999", *IMPOSSIBLE_IDS]:
        assert await shop.graphql(document, player, id=id_) == {"data": {"product": None}}


async def test_inventory(shop: Shop) -> None:
    world, anna = shop.world, shop.world.anna
    await world.credit(anna, 1_000)
    premium = await world.buy(anna, world.premium)
    boost = await world.buy(anna, world.boost, quantity=3)
    [gone] = await add_products(shop.world, 1)
    await world.buy(anna, gone)
    await world.use(anna, gone)
    await world.use(anna, world.boost)
    assert premium.item is not None
    assert boost.item is not None
    items = [
        {
            "id": str(item.id),
            "product": product,
            "quantity": quantity,
            "purchasedAt": item.purchased_at.isoformat(),
        }
        for item, product, quantity in ((premium.item, PREMIUM, 1), (boost.item, BOOST, 2))
    ]
    document = f"""query ($id: ID, $type: ProductType) {{
        inventory(userId: $id, type: $type) {{ {ITEM} }} }}"""
    player, reader = shop.player(anna), await shop.key_with(Scope.READ_ANY)
    for who, arguments, expected in (
        (player, {}, items),
        (player, {"id": None, "type": None}, items),
        (player, {"id": str(anna.id)}, items),
        (player, {"type": "PERMANENT"}, items[:1]),
        (reader, {"id": str(anna.id), "type": "CONSUMABLE"}, items[1:]),
        (reader, {"id": str(world.boris.id)}, []),
        (shop.player(world.boris), {}, []),
    ):
        for _ in ("from the database", "from the cache"):
            assert await shop.graphql(document, who, **arguments) == {
                "data": {"inventory": expected}
            }
    for id_ in ["999", *IMPOSSIBLE_IDS]:
        body = await shop.graphql(document, reader, id=id_)
        not_found = extensions("USER_NOT_FOUND")
        assert (body["data"], errors_of(body)) == (
            {"inventory": None},
            [(["inventory"], not_found)],
        )
    body = await shop.graphql(document, reader)
    assert (body["data"], errors_of(body)) == (
        {"inventory": None},
        [(["inventory"], invalid("userId"))],
    )


async def test_the_inventory_of_a_user_is_filtered_by_type(shop: Shop) -> None:
    world, anna = shop.world, shop.world.anna
    await world.credit(anna, 1_000)
    await world.buy(anna, world.boost)
    await world.buy(anna, world.premium)
    document = """{ me { all: inventory { product { id } }
        also: inventory(type: null) { product { id } }
        some: inventory(type: CONSUMABLE) { product { id } }
        others: inventory(type: PERMANENT) { product { id } } } }"""
    boost, premium = {"product": {"id": "1"}}, {"product": {"id": "2"}}
    assert await shop.graphql(document, shop.player(anna)) == {
        "data": {
            "me": {
                "all": [boost, premium],
                "also": [boost, premium],
                "some": [boost],
                "others": [premium],
            }
        }
    }


async def test_nobody_reads_without_a_credential(shop: Shop) -> None:
    body = await shop.graphql("""{ __typename me { id } user(id: 1) { id } product(id: 1) { id }
        products { nodes { id } } inventory { id } other: inventory(userId: 999) { id }
        popularProducts { rank } impossible: user(id: "abc") { id } }""")
    fields = ["impossible", "inventory", "me", "other", "popularProducts", "product", "products"]
    fields += ["user"]
    assert body["data"] == {"__typename": "Query"} | dict.fromkeys(fields)
    assert errors_of(body) == [([field], UNAUTHENTICATED) for field in fields]


async def test_what_is_refused_leaves_its_siblings_alone(shop: Shop) -> None:
    body = await shop.graphql(
        """{ me { username } boris: user(id: 2) { id } anna: user(id: 1) { balance }
        product(id: 1) { name } products(first: 0) { nodes { id } } }""",
        shop.player(shop.world.anna),
    )
    assert body["data"] == {
        "me": {"username": "anna"},
        "boris": None,
        "anna": {"balance": 0},
        "product": {"name": "Буст на день"},
        "products": None,
    }
    assert errors_of(body) == [(["boris"], FORBIDDEN), (["products"], invalid("first"))]
