"""Money over GraphQL: every success whole, replays, and several mutations in one document."""

from typing import Any

import pytest

from economy.models.transaction import TransactionRow
from economy.models.user import UserRow
from economy.services.access import ALL_SCOPES, Scope
from tests.graphql_answers import (
    BOOST,
    FORBIDDEN,
    PREMIUM,
    UNAUTHENTICATED,
    errors_of,
    told,
)
from tests.graphql_mutations import MUTATIONS, mutate
from tests.journal import journal_of, nothing_changes
from tests.shop import Headers, Shop

NEW_PURCHASE = {"productId": "1", "idempotencyKey": "new"}
INPUTS: dict[str, dict[str, Any]] = {
    "purchase": NEW_PURCHASE | {"userId": "1"},
    "useItem": NEW_PURCHASE | {"userId": "1"},
    "addFunds": {"userId": "1", "amount": 1, "idempotencyKey": "new"},
    "createUser": {"username": "vera", "email": "vera@example.com"},
    "createProduct": {"name": "Sword", "price": 1, "type": "PERMANENT"},
    "updateProduct": {"id": "1", "price": 1},
}


@pytest.fixture
async def rich(shop: Shop) -> Shop:
    """Anna has 1,000 coins."""
    await shop.world.credit(shop.world.anna, 1_000)
    return shop


def completed(row: TransactionRow, **expected: Any) -> dict[str, Any]:
    """A completed transaction: its id and time are its own, all else is told by the test."""
    fields = {"id": str(row.id), "status": "COMPLETED", "createdAt": row.created_at.isoformat()}
    return fields | {"failureCode": None} | expected


async def newest(shop: Shop, user: UserRow) -> TransactionRow:
    return (await journal_of(shop.services, user))[-1]


async def item_of(shop: Shop, user: UserRow, **expected: Any) -> dict[str, Any]:
    """The user's only item."""
    [item] = (await shop.services.inventory.inventories([user.id]))[user.id]
    return {"id": str(item.id), "purchasedAt": item.purchased_at.isoformat(), **expected}


async def test_purchase(rich: Shop) -> None:
    anna = rich.world.anna
    values = {"productId": "1", "quantity": 2, "expectedPrice": 100, "idempotencyKey": "new"}
    answer = await mutate(rich, "purchase", rich.player(anna), **values)
    row = await newest(rich, anna)
    assert (row.actor, row.idempotency_key) == ("player:1", "new")
    assert answer == {
        "__typename": "PurchaseSuccess",
        "transaction": completed(
            row, kind="PURCHASE", product=BOOST, quantity=2, amount=200, balanceAfter=800
        ),
        "user": told(anna, balance=800),
        "replayed": False,
        "item": await item_of(rich, anna, product=BOOST, quantity=2),
    }
    state = await rich.world.state()
    assert state["user"] == [(1, 800, 2), (2, 0, 0)]
    assert state["inventory"] == [(1, 1, 2)]


async def test_a_server_buys_for_a_user(rich: Shop) -> None:
    anna = rich.world.anna
    values = {"productId": "2", "idempotencyKey": "new", "userId": "1", "expectedPrice": None}
    answer = await mutate(rich, "purchase", rich.server, **values)
    assert answer == {
        "__typename": "PurchaseSuccess",
        "transaction": completed(
            await newest(rich, anna),
            kind="PURCHASE",
            product=PREMIUM,
            quantity=1,
            amount=500,
            balanceAfter=500,
        ),
        "user": told(anna, balance=500),
        "replayed": False,
        "item": await item_of(rich, anna, product=PREMIUM, quantity=1),
    }


async def test_add_funds(shop: Shop) -> None:
    boris = shop.world.boris
    values = {"userId": "2", "amount": 1_000_000, "idempotencyKey": "~" * 255}
    answer = await mutate(shop, "addFunds", shop.server, **values, externalReference="order 17 ☕")
    row = await newest(shop, boris)
    assert (row.external_reference, row.idempotency_key) == ("order 17 ☕", "~" * 255)
    assert answer == {
        "__typename": "AddFundsSuccess",
        "transaction": completed(
            row,
            kind="TOP_UP",
            product=None,
            quantity=None,
            amount=1_000_000,
            balanceAfter=1_000_000,
        ),
        "user": told(boris, balance=1_000_000),
        "replayed": False,
    }


async def test_use_item(rich: Shop) -> None:
    anna = rich.world.anna
    await rich.world.buy(anna, rich.world.boost, quantity=3)
    item = await item_of(rich, anna, product=BOOST)
    for used, left in ((1, 2), (2, 0)):
        values = {"productId": "1", "quantity": used, "idempotencyKey": f"left-{left}"}
        answer = await mutate(rich, "useItem", rich.player(anna), **values)
        assert answer == {
            "__typename": "UseItemSuccess",
            "transaction": completed(
                await newest(rich, anna),
                kind="USE",
                product=BOOST,
                quantity=used,
                amount=0,
                balanceAfter=700,
            ),
            "user": told(anna, balance=700),
            "replayed": False,
            "item": item | {"quantity": left},
        }


@pytest.mark.parametrize("field", ["purchase", "useItem", "addFunds"])
async def test_a_replay_answers_as_the_first_time(rich: Shop, field: str) -> None:
    """The same transaction, balance and quantity, though both have changed since."""
    world, anna = rich.world, rich.world.anna
    await world.buy(anna, world.boost, quantity=3)
    who = rich.server if field == "addFunds" else rich.player(anna)
    first = await mutate(rich, field, who, **INPUTS[field])
    assert first["replayed"] is False
    await world.buy(anna, world.boost, quantity=2)
    await world.use(anna, world.boost)
    async with nothing_changes(world):
        again = await mutate(rich, field, who, **INPUTS[field])
    assert again == first | {"replayed": True}


async def test_two_mutations_of_one_user_in_one_document(rich: Shop) -> None:
    """Each answers with the balance after it and, deeper, with what is held by then."""
    answer = (
        "user { balance inventory { quantity product { id } } transactions { nodes { kind } } }"
    )
    document = f"""mutation {{
        one: purchase(input: {{productId: 1, quantity: 2, idempotencyKey: "1"}}) {{
            ... on PurchaseSuccess {{ {answer} }} }}
        two: purchase(input: {{productId: 2, idempotencyKey: "2"}}) {{
            ... on PurchaseSuccess {{ {answer} }} }}
        three: useItem(input: {{productId: 1, quantity: 2, idempotencyKey: "3"}}) {{
            ... on UseItemSuccess {{ {answer} }} }} }}"""
    body = await rich.graphql(document, rich.player(rich.world.anna))
    boosts = {"quantity": 2, "product": {"id": "1"}}
    premium = {"quantity": 1, "product": {"id": "2"}}
    top_up, purchase, use = ({"kind": kind} for kind in ("TOP_UP", "PURCHASE", "USE"))
    expected: dict[str, tuple[int, list[Any], list[Any]]] = {
        "one": (800, [boosts], [purchase, top_up]),
        "two": (300, [boosts, premium], [purchase, purchase, top_up]),
        "three": (300, [premium], [use, purchase, purchase, top_up]),
    }
    assert body == {
        "data": {
            alias: {
                "user": {
                    "balance": balance,
                    "inventory": held,
                    "transactions": {"nodes": history},
                }
            }
            for alias, (balance, held, history) in expected.items()
        }
    }


async def test_the_same_key_twice_in_one_document(rich: Shop) -> None:
    fields = "... on PurchaseSuccess { replayed transaction { id } user { balance } }"
    purchase = f'purchase(input: {{productId: 1, idempotencyKey: "k"}}) {{ {fields} }}'
    document = f"mutation {{ one: {purchase} two: {purchase} }}"
    body = await rich.graphql(document, rich.player(rich.world.anna))
    row = await newest(rich, rich.world.anna)
    once = {"replayed": False, "transaction": {"id": str(row.id)}, "user": {"balance": 900}}
    assert body == {"data": {"one": once, "two": once | {"replayed": True}}}
    state = await rich.world.state()
    assert (state["user"][0], state["inventory"]) == ((1, 900, 2), [(1, 1, 1)])


async def test_one_that_fails_leaves_the_others(rich: Shop) -> None:
    def purchase(alias: str, product: str, more: str = "") -> str:
        return f"""{alias}: purchase(
            input: {{productId: "{product}", idempotencyKey: "{alias}" {more}}}) {{
            __typename ... on PurchaseSuccess {{ user {{ balance }} }} }}"""

    document = f"""mutation {{ {purchase("a", "1")} {purchase("b", "1", "quantity: 1000")}
        {purchase("c", "1")} {purchase("d", "1", "userId: 2")} {purchase("e", "2")} }}"""
    body = await rich.graphql(document, rich.player(rich.world.anna))
    assert body["data"] == {
        "a": {"__typename": "PurchaseSuccess", "user": {"balance": 900}},
        "b": {"__typename": "InsufficientFundsError"},
        "c": {"__typename": "PurchaseSuccess", "user": {"balance": 800}},
        "d": None,
        "e": {"__typename": "PurchaseSuccess", "user": {"balance": 300}},
    }
    assert errors_of(body) == [(["d"], FORBIDDEN)]
    state = await rich.world.state()
    assert state["user"] == [(1, 300, 5), (2, 0, 0)]
    assert state["inventory"] == [(1, 1, 2), (1, 2, 1)]


async def assert_refused(
    shop: Shop, field: str, who: Headers | None, extensions: dict[str, Any], **values: Any
) -> None:
    """An error beside the data, and nothing has changed, products included."""
    products = await shop.world.sql("SELECT * FROM product ORDER BY id")
    async with nothing_changes(shop.world):
        body = await shop.graphql(MUTATIONS[field], who, input=INPUTS[field] | values)
    assert body["data"] == {field: None}
    assert errors_of(body) == [([field], extensions)]
    assert await shop.world.sql("SELECT * FROM product ORDER BY id") == products


async def test_scopes(rich: Shop) -> None:
    """Each mutation takes the one scope that is meant for it: all the others do not help."""
    await rich.world.buy(rich.world.anna, rich.world.boost)
    for field, scope in {
        "purchase": Scope.ITEMS_WRITE,
        "useItem": Scope.ITEMS_WRITE,
        "addFunds": Scope.FUNDS_WRITE,
        "createUser": Scope.USERS_WRITE,
        "createProduct": Scope.CATALOG_WRITE,
        "updateProduct": Scope.CATALOG_WRITE,
    }.items():
        others = await rich.key_with(*(ALL_SCOPES - {scope}))
        await assert_refused(rich, field, others, FORBIDDEN)
        await assert_refused(rich, field, None, UNAUTHENTICATED)
        answer = await mutate(rich, field, await rich.key_with(scope), **INPUTS[field])
        assert answer["__typename"] == f"{field[0].upper()}{field[1:]}Success"


async def test_a_player_acts_for_itself_and_never_mints(rich: Shop) -> None:
    player = rich.player(rich.world.anna)
    for field in ("addFunds", "createUser", "createProduct", "updateProduct"):
        await assert_refused(rich, field, player, FORBIDDEN)
    for field in ("purchase", "useItem"):
        for user_id in ("2", "999", "abc", "01", ""):
            await assert_refused(rich, field, player, FORBIDDEN, userId=user_id)
