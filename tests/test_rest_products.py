"""The catalogue over REST: whole pages, what each caller sees, and each refusal."""

import base64
from typing import Any

from economy.models.product import ProductType
from economy.services.access import ALL_SCOPES, Scope
from tests.rest import BOOST, PREMIUM, assert_json, assert_problem, invalid, malformed
from tests.shop import Headers, Shop
from tests.world import SERVER

PATH = "/products"
HIDDEN = {"id": 3, "name": "Скидка 1", "description": "не в продаже", "price": 0}
HIDDEN |= {"type": "permanent", "is_active": False}


async def add_hidden(shop: Shop) -> None:
    await shop.services.products.create_product(
        SERVER,
        name="Скидка 1",
        description="не в продаже",
        price=0,
        type_=ProductType.PERMANENT,
        is_active=False,
    )


async def test_catalogue(shop: Shop) -> None:
    await add_hidden(shop)
    on_sale, editors_see = [BOOST, PREMIUM], [BOOST, PREMIUM, HIDDEN]
    readers: list[tuple[Headers, Any]] = [
        (shop.player(shop.world.anna), on_sale),
        (await shop.key_with(), on_sale),
        (await shop.key_with(*(ALL_SCOPES - {Scope.CATALOG_WRITE})), on_sale),
        (await shop.key_with(Scope.CATALOG_WRITE), editors_see),
        (shop.server, editors_see),
    ]
    for headers, seen in readers:
        response = await shop.client.get(PATH, headers=headers)
        assert_json(response, {"items": seen, "next": None})
        for type_ in ("consumable", "permanent"):
            response = await shop.client.get(PATH, headers=headers, params={"type": type_})
            shown = [product for product in seen if product["type"] == type_]
            assert_json(response, {"items": shown, "next": None})


async def test_pages(shop: Shop) -> None:
    await add_hidden(shop)
    for first, pages in [
        (1, [[BOOST], [PREMIUM], [HIDDEN]]),
        (2, [[BOOST, PREMIUM], [HIDDEN]]),
        (3, [[BOOST, PREMIUM, HIDDEN]]),
        (100, [[BOOST, PREMIUM, HIDDEN]]),
    ]:
        seen: list[Any] = []
        after: dict[str, str] = {}
        while True:
            response = await shop.client.get(
                PATH, headers=shop.server, params={"first": str(first)} | after
            )
            body = response.json()
            assert set(body) == {"items", "next"}
            seen.append(body["items"])
            if body["next"] is None:
                break
            after = {"after": body["next"]}
        assert seen == pages


async def test_page_of_one_type(shop: Shop) -> None:
    await add_hidden(shop)
    page = {"type": "permanent", "first": "1"}
    first = await shop.client.get(PATH, headers=shop.server, params=page)
    cursor = first.json()["next"]
    assert_json(first, {"items": [PREMIUM], "next": cursor})
    second = await shop.client.get(PATH, headers=shop.server, params=page | {"after": cursor})
    assert_json(second, {"items": [HIDDEN], "next": None})


async def test_page_behind_the_end(shop: Shop) -> None:
    first = await shop.client.get(PATH, headers=shop.server, params={"first": "1"})
    page = {"type": "consumable", "after": first.json()["next"]}
    response = await shop.client.get(PATH, headers=shop.server, params=page)
    assert_json(response, {"items": [], "next": None})


async def test_what_is_edited_shows_at_once(shop: Shop) -> None:
    anna = shop.player(shop.world.anna)
    assert_json(
        await shop.client.get(PATH, headers=anna), {"items": [BOOST, PREMIUM], "next": None}
    )
    await shop.services.products.update_product(SERVER, "1", {"price": 120})
    await shop.services.products.update_product(SERVER, "2", {"is_active": False})
    response = await shop.client.get(PATH, headers=anna)
    assert_json(response, {"items": [BOOST | {"price": 120}], "next": None})


INTEGER = "Input should be a valid integer, unable to parse string as an integer"
LESS, GREATER = "Input should be less than or equal to", "Input should be greater than or equal to"
MALFORMED = [
    *(("first", text, INTEGER) for text in ("abc", "", "true", "1.5", "1e2", "null")),
    *(("first", text, f"{GREATER} 1") for text in ("0", "-1")),
    *(("first", text, f"{LESS} 100") for text in ("101", str(2**70))),
    *(
        ("type", text, "Input should be 'consumable' or 'permanent'")
        for text in ("", "CONSUMABLE", "other")
    ),
]


async def test_wrong_parameters(shop: Shop) -> None:
    for name, text, detail in MALFORMED:
        response = await shop.client.get(PATH, headers=shop.server, params={name: text})
        assert_problem(response, malformed(name, detail))


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


async def test_cursors_that_are_not_ours(shop: Shop) -> None:
    forged = ["after:0", "after:-1", "after:01", f"after:{2**63}", "after:", "after:x", "before:1"]
    for cursor in ["", "1", "abc", "ключ", "====", "\x00", *map(encoded, forged)]:
        response = await shop.client.get(PATH, headers=shop.server, params={"after": cursor})
        assert_problem(response, invalid("after", "This is not a cursor of ours."))
