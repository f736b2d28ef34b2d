"""Reading and using up what is held, over REST: whole answers, each refusal, and who may."""

from typing import Any
from urllib.parse import quote

from economy.services.access import ALL_SCOPES, Scope
from tests.journal import nothing_changes, one_decline
from tests.rest import (
    BOOST,
    NO_IDS,
    NOT_INTEGERS,
    PREMIUM,
    assert_json,
    assert_problem,
    invalid,
    item_of,
    items,
    last_row,
    malformed,
    post_text,
    problem,
    transaction_of,
    user_of,
)
from tests.shop import Headers, Shop
from tests.world import SERVER

READ, USE = "/users/1/inventory", "/products/1/use"


async def stock(shop: Shop) -> None:
    """Anna holds 3 of the boost, 1 premium and 400 coins."""
    world = shop.world
    await world.credit(world.anna, 1_200)
    await world.buy(world.anna, world.boost, quantity=3)
    await world.buy(world.anna, world.premium)


async def test_inventory(shop: Shop) -> None:
    await stock(shop)
    boost, premium = await items(shop, shop.world.anna)
    expected = [item_of(boost, BOOST, quantity=3), item_of(premium, PREMIUM, quantity=1)]
    readers: list[Headers] = [
        shop.player(shop.world.anna),
        shop.server,
        await shop.key_with(Scope.READ_ANY),
    ]
    for headers in readers:
        response = await shop.client.get(READ, headers=headers)
        assert_json(response, {"items": expected})
        for type_, shown in (("consumable", expected[:1]), ("permanent", expected[1:])):
            response = await shop.client.get(READ, headers=headers, params={"type": type_})
            assert_json(response, {"items": shown})


async def test_product_that_is_held_but_no_longer_on_sale(shop: Shop) -> None:
    await stock(shop)
    await shop.services.products.update_product(SERVER, "1", {"is_active": False, "price": 7})
    boost, premium = await items(shop, shop.world.anna)
    changed = BOOST | {"is_active": False, "price": 7}
    expected = [item_of(boost, changed, quantity=3), item_of(premium, PREMIUM, quantity=1)]
    assert_json(await shop.client.get(READ, headers=shop.server), {"items": expected})


async def test_inventory_of_who_holds_nothing(shop: Shop) -> None:
    response = await shop.client.get(READ, headers=shop.player(shop.world.anna))
    assert_json(response, {"items": []})


async def test_inventory_is_current_after_each_change(shop: Shop) -> None:
    anna = shop.player(shop.world.anna)
    await shop.world.credit(shop.world.anna, 1_000)
    quantities = []
    for action in ["purchase", "purchase", "use", "use"]:
        response = await shop.client.post(f"/products/1/{action}", headers=anna)
        assert response.status_code == 200
        body = (await shop.client.get(READ, headers=anna)).json()
        quantities.append([item["quantity"] for item in body["items"]])
    assert quantities == [[1], [2], [1], []]


async def test_unknown_type(shop: Shop) -> None:
    response = await shop.client.get(READ, headers=shop.server, params={"type": "other"})
    assert_problem(response, malformed("type", "Input should be 'consumable' or 'permanent'"))


async def test_users_that_do_not_exist(shop: Shop) -> None:
    for id_ in [*NO_IDS, "999"]:
        response = await shop.client.get(f"/users/{quote(id_)}/inventory", headers=shop.server)
        shown = 999 if id_ == "999" else id_
        detail = "There is no such user."
        assert_problem(response, problem(404, "USER_NOT_FOUND", detail, user_id=shown))


async def test_others_are_not_readable(shop: Shop) -> None:
    """Whether they exist or not: ids cannot be probed."""
    askers: list[Headers] = [
        shop.player(shop.world.anna),
        await shop.key_with(*(ALL_SCOPES - {Scope.READ_ANY})),
    ]
    for headers in askers:
        for id_ in ["2", *NO_IDS, "999"]:
            response = await shop.client.get(f"/users/{quote(id_)}/inventory", headers=headers)
            detail = "This credential may not read that user."
            assert_problem(response, problem(403, "FORBIDDEN", detail))


async def test_use(shop: Shop) -> None:
    await stock(shop)
    anna = shop.world.anna
    first_purchase = (await items(shop, anna))[0]
    for body, used, left in [({"quantity": 2}, 2, 1), (None, 1, 0)]:
        response = await shop.client.post(USE, headers=shop.player(anna), json=body)
        row = await last_row(shop, anna)
        transaction = transaction_of(
            row, kind="use", product=BOOST, quantity=used, amount=0, balance_after=400
        )
        assert_json(
            response,
            {
                "transaction": transaction,
                "user": user_of(anna, balance=400),
                "item": item_of(first_purchase, BOOST, quantity=left),
                "replayed": False,
            },
        )
        assert "idempotent-replayed" not in response.headers
    assert [item.product_id for item in await items(shop, anna)] == [2]


async def test_server_uses_for_a_user(shop: Shop) -> None:
    await stock(shop)
    anna = shop.world.anna
    headers = await shop.key_with(Scope.ITEMS_WRITE)
    response = await shop.client.post(USE, headers=headers, json={"user_id": anna.id})
    assert response.json()["user"] == user_of(anna, balance=400) | {"email": None}
    assert response.json()["item"]["quantity"] == 2


async def test_not_enough_items(shop: Shop) -> None:
    await stock(shop)
    async with one_decline(shop.world, shop.world.anna):
        response = await shop.client.post(
            USE, headers=shop.player(shop.world.anna), json={"quantity": 4}
        )
    detail = "Only 3 are held."
    assert_problem(response, problem(409, "NOT_ENOUGH_ITEMS", detail, product_id=1, held=3))


async def test_permanent_product_is_not_used_up(shop: Shop) -> None:
    await stock(shop)
    async with one_decline(shop.world, shop.world.anna):
        response = await shop.client.post("/products/2/use", headers=shop.player(shop.world.anna))
    detail = "This product is permanent: it is owned, not used up."
    assert_problem(response, problem(409, "PRODUCT_NOT_CONSUMABLE", detail, product_id=2))


INTEGER = "Input should be a valid integer"
LESS, GREATER = "Input should be less than or equal to", "Input should be greater than or equal to"
WRONG_NUMBERS = [
    *(("quantity", text, INTEGER) for text in (*NOT_INTEGERS, "null")),
    *(("quantity", text, f"{LESS} 1000") for text in ("1001", str(2**70))),
    *(("quantity", text, f"{GREATER} 1") for text in ("0", "-1")),
    *(("user_id", text, INTEGER) for text in NOT_INTEGERS),
    ("expected_price", "100", "Extra inputs are not permitted"),
]


async def test_wrong_fields(shop: Shop) -> None:
    await stock(shop)
    headers = shop.player(shop.world.anna)
    async with nothing_changes(shop.world):
        for name, text, detail in WRONG_NUMBERS:
            response = await post_text(shop, USE, headers, f'{{"{name}": {text}}}')
            assert_problem(response, malformed(f"#/{name}", detail))


async def test_products_that_do_not_exist(shop: Shop) -> None:
    async with nothing_changes(shop.world):
        for id_ in [*NO_IDS, "999"]:
            response = await shop.client.post(
                f"/products/{quote(id_)}/use", headers=shop.player(shop.world.anna)
            )
            shown = 999 if id_ == "999" else id_
            detail = "There is no such product."
            assert_problem(response, problem(404, "PRODUCT_NOT_FOUND", detail, product_id=shown))


async def test_who_may_not_use(shop: Shop) -> None:
    await stock(shop)
    boris = shop.player(shop.world.boris)
    key = await shop.key_with(*(ALL_SCOPES - {Scope.ITEMS_WRITE}))
    itself = problem(403, "FORBIDDEN", "A player acts for itself only.")
    detail = "This needs a server key with the scope items:write."
    cases: list[tuple[Headers, Any, Any]] = [
        (boris, {"user_id": 1}, itself),
        (boris, {"user_id": 999}, itself),
        (key, {"user_id": 1}, problem(403, "FORBIDDEN", detail)),
        (shop.server, {}, invalid("#/user_id", "A server key must name the user.")),
        (shop.server, None, invalid("#/user_id", "A server key must name the user.")),
        (
            shop.server,
            {"user_id": 999},
            problem(404, "USER_NOT_FOUND", "There is no such user.", user_id=999),
        ),
    ]
    async with nothing_changes(shop.world):
        for headers, body, expected in cases:
            assert_problem(await shop.client.post(USE, headers=headers, json=body), expected)
