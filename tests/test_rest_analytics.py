"""What sells best, over REST: the whole ranking, who may ask, and each refusal."""

from economy.models.product import ProductType
from tests.rest import BOOST, PREMIUM, assert_json, assert_problem, malformed
from tests.shop import Headers, Shop
from tests.world import SERVER

PATH = "/analytics/popular-products"


async def sell(shop: Shop) -> None:
    """The boost once, 5 of it at once; premium twice; both declined once more."""
    world = shop.world
    await world.credit(world.anna, 1_000)
    await world.credit(world.boris, 500)
    anna = shop.player(world.anna)
    for headers, product_id, quantity, status in [
        (anna, 1, 5, 200),
        (anna, 2, 1, 200),
        (shop.player(world.boris), 2, 1, 200),
        (anna, 1, 1, 402),
        (anna, 2, 1, 409),
    ]:
        response = await shop.client.post(
            f"/products/{product_id}/purchase", headers=headers, json={"quantity": quantity}
        )
        assert response.status_code == status


async def test_popular_products(shop: Shop) -> None:
    await sell(shop)
    ranking = [
        {"rank": 1, "product": PREMIUM, "purchases": 2},
        {"rank": 2, "product": BOOST, "purchases": 1},
    ]
    askers: list[Headers] = [
        shop.player(shop.world.anna),
        shop.server,
        await shop.key_with(),  # any valid credential
    ]
    for headers in askers:
        assert_json(await shop.client.get(PATH, headers=headers), {"items": ranking})
        for limit, shown in [(1, ranking[:1]), (2, ranking), (100, ranking)]:
            response = await shop.client.get(PATH, headers=headers, params={"limit": limit})
            assert_json(response, {"items": shown})


async def test_five_at_most_without_a_limit(shop: Shop) -> None:
    world = shop.world
    await world.credit(world.anna, 1_000)
    for number in range(6):
        product = await shop.services.products.create_product(
            SERVER,
            name=f"Free {number}",
            description="",
            price=0,
            type_=ProductType.CONSUMABLE,
            is_active=True,
        )
        await world.buy(world.anna, product)
    body = (await shop.client.get(PATH, headers=shop.server)).json()
    assert [(row["rank"], row["product"]["name"], row["purchases"]) for row in body["items"]] == [
        (1, "Free 0", 1),
        (2, "Free 1", 1),
        (3, "Free 2", 1),
        (4, "Free 3", 1),
        (5, "Free 4", 1),
    ]


async def test_nothing_was_sold(shop: Shop) -> None:
    assert_json(await shop.client.get(PATH, headers=shop.server), {"items": []})


async def test_products_are_shown_as_they_are_now(shop: Shop) -> None:
    await sell(shop)
    assert (await shop.client.get(PATH, headers=shop.server)).status_code == 200  # fills the cache
    await shop.services.products.update_product(SERVER, "2", {"is_active": False, "price": 7})
    response = await shop.client.get(PATH, headers=shop.server, params={"limit": 1})
    product = PREMIUM | {"is_active": False, "price": 7}
    assert_json(response, {"items": [{"rank": 1, "product": product, "purchases": 2}]})


INTEGER = "Input should be a valid integer, unable to parse string as an integer"
LESS, GREATER = "Input should be less than or equal to", "Input should be greater than or equal to"


async def test_wrong_limits(shop: Shop) -> None:
    for text, detail in [
        *((text, INTEGER) for text in ("abc", "", "true", "1.5", "1e2", "null")),
        *((text, f"{GREATER} 1") for text in ("0", "-1")),
        *((text, f"{LESS} 100") for text in ("101", str(2**70))),
    ]:
        response = await shop.client.get(PATH, headers=shop.server, params={"limit": text})
        assert_problem(response, malformed("limit", detail))
