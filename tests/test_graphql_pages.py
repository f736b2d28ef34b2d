"""Lists over GraphQL: page by page through the catalogue, a history and what sells best."""

import base64
from typing import Any

import pytest

from economy.errors import AlreadyOwned, InsufficientFunds
from economy.services.access import ALL_SCOPES, Scope
from tests.catalogue import add_products
from tests.graphql_answers import BOOST, PRODUCT, TRANSACTION, errors_of, invalid
from tests.shop import Shop


@pytest.mark.parametrize("first", [1, 2, 3, 7, 8, 100])
async def test_products_page_by_page(shop: Shop, first: int) -> None:
    await add_products(shop.world, 5)
    player = shop.player(shop.world.anna)
    document = f"""query ($first: Int!, $after: String) {{ products(first: $first, after: $after) {{
        nodes {{ {PRODUCT} }} edges {{ cursor node {{ {PRODUCT} }} }}
        pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }}"""
    ids, after = [], None
    for number in range(-(-7 // first)):
        body = await shop.graphql(document, player, first=first, after=after)
        page = body["data"]["products"]
        cursors = [edge["cursor"] for edge in page["edges"]]
        assert [edge["node"] for edge in page["edges"]] == page["nodes"]
        assert page["pageInfo"] == {
            "hasNextPage": (number + 1) * first < 7,
            "hasPreviousPage": number > 0,
            "startCursor": cursors[0],
            "endCursor": cursors[-1],
        }
        ids += [node["id"] for node in page["nodes"]]
        after = cursors[-1]
    assert ids == ["1", "2", "3", "4", "5", "6", "7"]
    body = await shop.graphql(document, player, first=first, after=after)
    none = {"hasNextPage": False, "hasPreviousPage": True, "startCursor": None, "endCursor": None}
    assert body == {"data": {"products": {"nodes": [], "edges": [], "pageInfo": none}}}


async def test_which_products_are_listed(shop: Shop) -> None:
    await add_products(shop.world, 1, is_active=False)
    document = "query ($type: ProductType) { products(type: $type) { nodes { id } } }"
    player, editor = shop.player(shop.world.anna), await shop.key_with(Scope.CATALOG_WRITE)
    no_editor = await shop.key_with(*(ALL_SCOPES - {Scope.CATALOG_WRITE}))
    for who, type_, expected in (
        (player, None, ["1", "2"]),
        (player, "CONSUMABLE", ["1"]),
        (player, "PERMANENT", ["2"]),
        (no_editor, None, ["1", "2"]),
        (editor, None, ["1", "2", "3"]),
        (editor, "CONSUMABLE", ["1", "3"]),
    ):
        body = await shop.graphql(document, who, type=type_)
        assert [node["id"] for node in body["data"]["products"]["nodes"]] == expected


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"first": 0}, "first"),
        ({"first": -1}, "first"),
        ({"first": 101}, "first"),
        ({"after": ""}, "after"),
        ({"after": "1"}, "after"),
        ({"after": "не курсор"}, "after"),
        ({"after": "\u0000"}, "after"),
        ({"after": encoded("after:0")}, "after"),
        ({"after": encoded("after:-1")}, "after"),
        ({"after": encoded("after:1 OR 1=1")}, "after"),
        ({"after": encoded(f"after:{2**63}")}, "after"),
        ({"after": encoded("1")}, "after"),
    ],
)
async def test_a_page_that_cannot_be(shop: Shop, arguments: dict[str, Any], field: str) -> None:
    """The list is null, its siblings stand."""
    document = """query ($first: Int! = 50, $after: String) {
        products(first: $first, after: $after) { nodes { id } }
        me { username transactions(first: $first, after: $after) { nodes { id } } } }"""
    body = await shop.graphql(document, shop.player(shop.world.anna), **arguments)
    assert body["data"] == {"products": None, "me": {"username": "anna", "transactions": None}}
    assert errors_of(body) == [
        (["me", "transactions"], invalid(field)),
        (["products"], invalid(field)),
    ]


async def test_a_history_is_told_whole_newest_first(shop: Shop) -> None:
    world, anna = shop.world, shop.world.anna
    top_up = (await world.credit(anna, 250)).transaction
    bought = (await world.buy(anna, world.boost, quantity=2)).transaction
    with pytest.raises(InsufficientFunds):
        await world.buy(anna, world.boost, quantity=3)
    used = (await world.use(anna, world.boost)).transaction
    document = f"{{ me {{ transactions {{ nodes {{ {TRANSACTION} }} }} }} }}"
    body = await shop.graphql(document, shop.player(anna))
    nodes = body["data"]["me"]["transactions"]["nodes"]
    common = {"status": "COMPLETED", "product": BOOST, "failureCode": None}
    assert nodes == [
        common
        | {
            "id": str(used.id),
            "kind": "USE",
            "quantity": 1,
            "amount": 0,
            "balanceAfter": 50,
            "createdAt": used.created_at.isoformat(),
        },
        common
        | {
            "id": nodes[1]["id"],
            "kind": "PURCHASE",
            "status": "FAILED",
            "quantity": 3,
            "amount": 300,
            "balanceAfter": 50,
            "failureCode": "INSUFFICIENT_FUNDS",
            "createdAt": nodes[1]["createdAt"],
        },
        common
        | {
            "id": str(bought.id),
            "kind": "PURCHASE",
            "quantity": 2,
            "amount": 200,
            "balanceAfter": 50,
            "createdAt": bought.created_at.isoformat(),
        },
        common
        | {
            "id": str(top_up.id),
            "kind": "TOP_UP",
            "product": None,
            "quantity": None,
            "amount": 250,
            "balanceAfter": 250,
            "createdAt": top_up.created_at.isoformat(),
        },
    ]


@pytest.mark.parametrize("first", [1, 2, 4, 5, 100])
async def test_a_history_page_by_page(shop: Shop, first: int) -> None:
    world, anna = shop.world, shop.world.anna
    await world.credit(anna, 1_000)
    for _ in range(4):
        await world.buy(anna, world.boost)
        await world.use(anna, world.boost)
    await world.credit(world.boris, 1)  # another's history is not in it
    document = """query ($first: Int!, $after: String, $kind: TransactionKind) { user(id: 1) {
        transactions(first: $first, after: $after, kind: $kind) {
            nodes { kind balanceAfter } edges { cursor node { kind balanceAfter } }
            pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }"""
    bought = [("PURCHASE", balance) for balance in (600, 700, 800, 900)]
    used = [("USE", balance) for balance in (600, 700, 800, 900)]
    both = [one for pair in zip(used, bought, strict=True) for one in pair]
    for kind, expected in (
        (None, [*both, ("TOP_UP", 1_000)]),
        ("PURCHASE", bought),
        ("USE", used),
        ("TOP_UP", [("TOP_UP", 1_000)]),
    ):
        found, after, has_next = [], None, True
        while has_next:
            arguments = {"first": first, "after": after, "kind": kind}
            body = await shop.graphql(document, shop.player(anna), **arguments)
            page = body["data"]["user"]["transactions"]
            cursors = [edge["cursor"] for edge in page["edges"]]
            assert [edge["node"] for edge in page["edges"]] == page["nodes"]
            found += [(node["kind"], node["balanceAfter"]) for node in page["nodes"]]
            has_next = len(found) < len(expected)
            assert len(page["nodes"]) == first or not has_next
            assert page["pageInfo"] == {
                "hasNextPage": has_next,
                "hasPreviousPage": after is not None,
                "startCursor": cursors[0],
                "endCursor": cursors[-1],
            }
            after = cursors[-1]
        assert found == expected


async def test_popular_products(shop: Shop) -> None:
    """By purchases, not units, not failed ones; of equals the older product."""
    world = shop.world
    others = await add_products(world, 5)
    for user in (world.anna, world.boris):
        await world.credit(user, 2_000)
    await world.buy(world.anna, others[4], quantity=100)
    for product in (others[2], world.boost, others[2], others[3], world.boost, others[2]):
        await world.buy(world.anna, product)
    await world.buy(world.boris, world.premium)
    for _ in range(2):
        with pytest.raises(AlreadyOwned):
            await world.buy(world.boris, world.premium)
    await world.buy(world.boris, others[1])
    document = f"""query ($limit: Int! = 5) {{
        popularProducts(limit: $limit) {{ rank purchases product {{ {PRODUCT} }} }} }}"""
    # by id and purchases: others[2], boost, premium, others[1], others[3], others[4]
    expected = [("5", 3), ("1", 2), ("2", 1), ("4", 1), ("6", 1), ("7", 1)]
    for arguments, length in (({}, 5), ({"limit": 100}, 6), ({"limit": 1}, 1), ({"limit": 2}, 2)):
        body = await shop.graphql(document, shop.player(world.anna), **arguments)
        ranking = body["data"]["popularProducts"]
        assert [(row["product"]["id"], row["purchases"]) for row in ranking] == expected[:length]
        assert [row["rank"] for row in ranking] == list(range(1, length + 1))
        assert [row["product"] for row in ranking if row["rank"] == 2] == [BOOST][: length - 1]
    for limit in (0, -1, 101):
        body = await shop.graphql(document, shop.server, limit=limit)
        assert body["data"] == {"popularProducts": None}
        assert errors_of(body) == [(["popularProducts"], invalid("limit"))]
