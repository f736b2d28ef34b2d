"""Buying over REST: whole answers, each refusal, and who may buy for whom."""

from typing import Any
from urllib.parse import quote

import pytest

from economy.models.inventory import HOLDING_LIMIT
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
from tests.shop import Shop
from tests.world import SERVER

BUY, BUY_PREMIUM = "/products/1/purchase", "/products/2/purchase"
FORBIDDEN = problem(403, "FORBIDDEN", "A player acts for itself only.")


async def test_purchase(shop: Shop) -> None:
    anna = shop.world.anna
    await shop.world.credit(anna, 1_000)
    response = await shop.client.post(
        BUY, headers=shop.player(anna), json={"quantity": 3, "expected_price": 100}
    )
    row, [item] = await last_row(shop, anna), await items(shop, anna)
    assert item.purchased_at == row.created_at
    transaction = transaction_of(
        row, kind="purchase", product=BOOST, quantity=3, amount=300, balance_after=700
    )
    assert_json(
        response,
        {
            "transaction": transaction,
            "user": user_of(anna, balance=700),
            "item": item_of(item, BOOST, quantity=3),
            "replayed": False,
        },
    )
    assert "idempotent-replayed" not in response.headers
    assert (await shop.world.state())["user"] == [(anna.id, 700, 2), (shop.world.boris.id, 0, 0)]


@pytest.mark.parametrize("body", [None, "{}", "null", '{"user_id": null, "expected_price": null}'])
async def test_everything_in_the_body_is_optional(shop: Shop, body: str | None) -> None:
    anna = shop.world.anna
    await shop.world.credit(anna, 1_000)
    headers = shop.player(anna)
    if body is None:
        response = await shop.client.post(BUY_PREMIUM, headers=headers)
    else:
        response = await post_text(shop, BUY_PREMIUM, headers, body)
    row, [item] = await last_row(shop, anna), await items(shop, anna)
    transaction = transaction_of(
        row, kind="purchase", product=PREMIUM, quantity=1, amount=500, balance_after=500
    )
    assert_json(
        response,
        {
            "transaction": transaction,
            "user": user_of(anna, balance=500),
            "item": item_of(item, PREMIUM, quantity=1),
            "replayed": False,
        },
    )


async def test_server_buys_for_a_user(shop: Shop) -> None:
    anna = shop.world.anna
    await shop.world.credit(anna, 250)
    response = await shop.client.post(BUY, headers=shop.server, json={"user_id": anna.id})
    row = await last_row(shop, anna)
    assert row.actor.startswith("server:")
    assert response.json()["transaction"] == transaction_of(
        row, kind="purchase", product=BOOST, quantity=1, amount=100, balance_after=150
    )
    assert response.json()["user"] == user_of(anna, balance=150)


async def test_key_without_the_right_to_read_sees_no_address(shop: Shop) -> None:
    anna = shop.world.anna
    await shop.world.credit(anna, 250)
    headers = await shop.key_with(Scope.ITEMS_WRITE)
    response = await shop.client.post(BUY, headers=headers, json={"user_id": anna.id})
    assert response.json()["user"] == user_of(anna, balance=150) | {"email": None}


async def test_insufficient_funds(shop: Shop) -> None:
    anna = shop.world.anna
    await shop.world.credit(anna, 199)
    async with one_decline(shop.world, anna):
        response = await shop.client.post(BUY, headers=shop.player(anna), json={"quantity": 2})
    detail = "The balance is 199, this needs 200."
    assert_problem(response, problem(402, "INSUFFICIENT_FUNDS", detail, balance=199, required=200))


async def test_already_owned(shop: Shop) -> None:
    anna, premium = shop.world.anna, shop.world.premium
    await shop.world.credit(anna, 1_000)
    await shop.world.buy(anna, premium)
    async with one_decline(shop.world, anna):
        response = await shop.client.post(BUY_PREMIUM, headers=shop.player(anna))
    detail = "This product is permanent and already owned."
    assert_problem(response, problem(409, "ALREADY_OWNED", detail, product_id=2))


async def test_product_that_is_not_on_sale(shop: Shop) -> None:
    anna = shop.world.anna
    await shop.world.credit(anna, 1_000)
    await shop.services.products.update_product(SERVER, "1", {"is_active": False})
    async with one_decline(shop.world, anna):
        response = await shop.client.post(BUY, headers=shop.player(anna))
    detail = "This product is not on sale."
    assert_problem(response, problem(409, "PRODUCT_UNAVAILABLE", detail, product_id=1))


async def test_price_that_has_changed(shop: Shop) -> None:
    anna = shop.world.anna
    await shop.world.credit(anna, 1_000)
    async with one_decline(shop.world, anna):
        response = await shop.client.post(
            BUY, headers=shop.player(anna), json={"quantity": 3, "expected_price": 99}
        )
    detail = "The price is 100 now."
    assert_problem(response, problem(409, "PRICE_CHANGED", detail, price=100))


async def test_holding_limit(shop: Shop) -> None:
    anna, boost = shop.world.anna, shop.world.boost
    await shop.world.credit(anna, 1_000)
    await shop.world.buy(anna, boost)
    await shop.world.sql("UPDATE inventory SET quantity = :most", most=HOLDING_LIMIT)
    async with one_decline(shop.world, anna):
        response = await shop.client.post(BUY, headers=shop.player(anna))
    detail = "1000000000 are held, the limit is 1000000000."
    expected = problem(409, "HOLDING_LIMIT", detail, product_id=1)
    assert_problem(response, expected | {"held": 1_000_000_000, "limit": 1_000_000_000})


async def test_permanent_product_is_bought_one_at_a_time(shop: Shop) -> None:
    await shop.world.credit(shop.world.anna, 1_000)
    async with nothing_changes(shop.world):
        response = await shop.client.post(
            BUY_PREMIUM, headers=shop.player(shop.world.anna), json={"quantity": 2}
        )
    detail = "A permanent product is bought one at a time."
    assert_problem(response, invalid("#/quantity", detail))


INTEGER = "Input should be a valid integer"
LESS, GREATER = "Input should be less than or equal to", "Input should be greater than or equal to"
WRONG_NUMBERS = [
    *(("quantity", text, INTEGER) for text in (*NOT_INTEGERS, "null")),
    *(("quantity", text, f"{LESS} 1000") for text in ("1001", str(2**70))),
    *(("quantity", text, f"{GREATER} 1") for text in ("0", "-1", str(-(2**70)))),
    *(("expected_price", text, INTEGER) for text in NOT_INTEGERS),
    *(("expected_price", text, f"{LESS} {2**53 - 1}") for text in (str(2**53), str(2**70))),
    ("expected_price", "-1", f"{GREATER} 0"),
    *(("user_id", text, INTEGER) for text in NOT_INTEGERS),
]


async def test_wrong_numbers(shop: Shop) -> None:
    await shop.world.credit(shop.world.anna, 1_000)
    headers = shop.player(shop.world.anna)
    async with nothing_changes(shop.world):
        for name, text, detail in WRONG_NUMBERS:
            response = await post_text(shop, BUY, headers, f'{{"{name}": {text}}}')
            assert_problem(response, malformed(f"#/{name}", detail))


async def test_every_wrong_field_is_named(shop: Shop) -> None:
    async with nothing_changes(shop.world):
        response = await shop.client.post(
            BUY, headers=shop.player(shop.world.anna), json={"quantity": 0, "a~/b": 1}
        )
    detail = f"#/quantity: {GREATER} 1; #/a~0~1b: Extra inputs are not permitted"
    errors = [
        {"pointer": "#/quantity", "detail": f"{GREATER} 1"},
        {"pointer": "#/a~0~1b", "detail": "Extra inputs are not permitted"},
    ]
    assert_problem(response, problem(422, "INVALID_INPUT", detail, errors=errors))


async def test_products_that_do_not_exist(shop: Shop) -> None:
    await shop.world.credit(shop.world.anna, 1_000)
    async with nothing_changes(shop.world):
        for id_ in [*NO_IDS, "999"]:
            response = await shop.client.post(
                f"/products/{quote(id_)}/purchase", headers=shop.player(shop.world.anna)
            )
            shown = 999 if id_ == "999" else id_
            detail = "There is no such product."
            assert_problem(response, problem(404, "PRODUCT_NOT_FOUND", detail, product_id=shown))


async def test_users_that_do_not_exist(shop: Shop) -> None:
    async with nothing_changes(shop.world):
        for id_ in [0, -1, 999, 2**63, 2**70]:
            response = await shop.client.post(BUY, headers=shop.server, json={"user_id": id_})
            shown = 999 if id_ == 999 else str(id_)
            detail = "There is no such user."
            assert_problem(response, problem(404, "USER_NOT_FOUND", detail, user_id=shown))


async def test_player_names_nobody_or_itself(shop: Shop) -> None:
    anna, boris = shop.world.anna, shop.world.boris
    await shop.world.credit(anna, 1_000)
    await shop.world.credit(boris, 1_000)
    async with nothing_changes(shop.world):
        for id_ in [boris.id, 999, 0, -1, 2**70]:
            response = await shop.client.post(BUY, headers=shop.player(anna), json={"user_id": id_})
            assert_problem(response, FORBIDDEN)
    response = await shop.client.post(BUY, headers=shop.player(anna), json={"user_id": anna.id})
    assert response.json()["user"] == user_of(anna, balance=900)


async def test_server_must_name_the_user(shop: Shop) -> None:
    async with nothing_changes(shop.world):
        for body in [None, {}, {"user_id": None}]:
            response = await shop.client.post(BUY, headers=shop.server, json=body)
            assert_problem(response, invalid("#/user_id", "A server key must name the user."))


async def test_server_needs_the_right_to_buy(shop: Shop) -> None:
    await shop.world.credit(shop.world.anna, 1_000)
    headers = await shop.key_with(*(ALL_SCOPES - {Scope.ITEMS_WRITE}))
    bodies: list[dict[str, Any]] = [{"user_id": 1}, {"user_id": 999}, {}]
    async with nothing_changes(shop.world):
        for body in bodies:
            response = await shop.client.post(BUY, headers=headers, json=body)
            detail = "This needs a server key with the scope items:write."
            assert_problem(response, problem(403, "FORBIDDEN", detail))
