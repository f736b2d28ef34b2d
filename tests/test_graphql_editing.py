"""Creating users and editing the catalogue over GraphQL: successes and refusals, whole."""

from typing import Any

import pytest

from tests.graphql_answers import BOOST, PREMIUM, PRODUCT, USER
from tests.graphql_mutations import invalid_input, mutate, refusal
from tests.journal import nothing_changes
from tests.shop import Shop

PRODUCTS = "SELECT id, name, description, price, type, is_active FROM product ORDER BY id"
NEW = {"name": "Sword", "price": 7, "type": "PERMANENT"}


async def test_create_user(shop: Shop) -> None:
    before = await shop.world.state()
    values = {"username": "Vera.K-1_", "email": "Vera@Example.com"}
    answer = await mutate(shop, "createUser", shop.server, **values)
    created_at = answer["user"]["createdAt"]
    user = {"id": "3", **values, "balance": 0, "createdAt": created_at}
    assert answer == {"__typename": "CreateUserSuccess", "user": user}
    state = await shop.world.state()
    assert state["user"] == [*before["user"], (3, 0, 0)]
    assert set(state["claim"]) - set(before["claim"]) == {
        ("vera.k-1_", "username", 3),
        ("vera@example.com", "email", 3),
    }
    body = await shop.graphql(f"{{ user(id: 3) {{ {USER} }} }}", shop.server)
    assert body == {"data": {"user": user}}


BAD_NAME = "A username has 3 to 32 letters, digits, dots, dashes or underscores."
BAD_EMAIL = "This is not an e-mail address."


@pytest.mark.parametrize(
    ("username", "email", "expected"),
    [
        ("ANNA", "new@example.com", ["username"]),
        ("new", "Boris@Example.com", ["email"]),
        ("boris", "anna@example.com", ["username", "email"]),
        ("vera!", "vera@example.com", invalid_input("username", BAD_NAME)),
        ("ab", "vera@example.com", invalid_input("username", BAD_NAME)),
        ("a" * 33, "vera@example.com", invalid_input("username", BAD_NAME)),
        ("вера", "vera@example.com", invalid_input("username", BAD_NAME)),
        ("vera\u0000", "vera@example.com", invalid_input("username", BAD_NAME)),
        ("vera", "vera", invalid_input("email", BAD_EMAIL)),
        ("vera", "vera@example.com\u0000", invalid_input("email", BAD_EMAIL)),
        ("v", "vera", invalid_input("username", f"{BAD_NAME} {BAD_EMAIL}")),
    ],
)
async def test_a_user_that_is_not_created(
    shop: Shop, username: str, email: str, expected: list[str] | dict[str, Any]
) -> None:
    if isinstance(expected, list):
        message = f"Already taken: {', '.join(expected)}."
        expected = refusal("AlreadyTakenError", "ALREADY_TAKEN", message, field=expected)
    async with nothing_changes(shop.world):
        answer = await mutate(shop, "createUser", shop.server, username=username, email=email)
    assert answer == expected


async def test_create_product(shop: Shop) -> None:
    answer = await mutate(shop, "createProduct", shop.server, **NEW)
    defaults = {"id": "3", "description": "", "isActive": True}
    assert answer == {"__typename": "CreateProductSuccess", "product": NEW | defaults}
    values = {"name": "☕" * 100, "description": "x" * 2_000, "price": 10**12}
    values |= {"type": "CONSUMABLE", "isActive": False}
    answer = await mutate(shop, "createProduct", shop.server, **values)
    assert answer == {"__typename": "CreateProductSuccess", "product": values | {"id": "4"}}
    body = await shop.graphql(f"{{ products {{ nodes {{ {PRODUCT} }} }} }}", shop.server)
    assert body["data"]["products"]["nodes"] == [
        BOOST,
        PREMIUM,
        NEW | defaults,
        values | {"id": "4"},
    ]


WRONG: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"name": ""}, invalid_input("name", "name must have 1 to 100 characters.")),
    ({"name": "x" * 101}, invalid_input("name", "name must have 1 to 100 characters.")),
    ({"name": " "}, invalid_input("name", "name must not be blank.")),
    ({"name": "a\u0000"}, invalid_input("name", "name must not hold control characters.")),
    (
        {"description": "x" * 2_001},
        invalid_input("description", "description must have 0 to 2000 characters."),
    ),
    (
        {"description": "\u0000"},
        invalid_input("description", "description must not hold control characters."),
    ),
    ({"price": 10**12 + 1}, invalid_input("price", "price must be 0 to 1000000000000.")),
]


@pytest.mark.parametrize(("values", "expected"), WRONG)
async def test_a_product_that_is_neither_created_nor_changed(
    shop: Shop, values: dict[str, Any], expected: dict[str, Any]
) -> None:
    before = await shop.world.sql(PRODUCTS)
    assert await mutate(shop, "createProduct", shop.server, **NEW | values) == expected
    assert await mutate(shop, "updateProduct", shop.server, id="1", **values) == expected
    assert await shop.world.sql(PRODUCTS) == before


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, BOOST),
        ({"name": "Boost"}, BOOST | {"name": "Boost"}),
        ({"description": "For a day"}, BOOST | {"description": "For a day"}),
        ({"price": 0}, BOOST | {"price": 0}),
        ({"isActive": False}, BOOST | {"isActive": False}),
        (
            {"name": "B", "description": "", "price": 1, "isActive": True},
            BOOST | {"name": "B", "price": 1},
        ),
    ],
)
async def test_update_product(
    shop: Shop, changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    """What is absent stays as it is; the change is seen at once."""
    document = f"{{ products {{ nodes {{ {PRODUCT} }} }} }}"
    body = await shop.graphql(document, shop.server)
    assert body["data"]["products"]["nodes"] == [BOOST, PREMIUM]
    answer = await mutate(shop, "updateProduct", shop.server, id="1", **changes)
    assert answer == {"__typename": "UpdateProductSuccess", "product": expected}
    body = await shop.graphql(document, shop.server)
    assert body["data"]["products"]["nodes"] == [expected, PREMIUM]


@pytest.mark.parametrize("field", ["name", "description", "price", "isActive"])
async def test_null_is_not_absent(shop: Shop, field: str) -> None:
    before = await shop.world.sql(PRODUCTS)
    spelt = "is_active" if field == "isActive" else field
    message = f"{spelt} cannot be null: leave it out to keep it as it is."
    answer = await mutate(shop, "updateProduct", shop.server, id="1", **{field: None})
    assert answer == invalid_input(field, message)
    assert await shop.world.sql(PRODUCTS) == before


@pytest.mark.parametrize("id_", ["999", "abc", str(2**70)])
async def test_an_unknown_product_is_not_changed(shop: Shop, id_: str) -> None:
    before = await shop.world.sql(PRODUCTS)
    for changes in ({"price": 1}, {}):
        answer = await mutate(shop, "updateProduct", shop.server, id=id_, **changes)
        assert answer == refusal(
            "ProductNotFoundError", "PRODUCT_NOT_FOUND", "There is no such product.", productId=id_
        )
    assert await shop.world.sql(PRODUCTS) == before


async def test_an_edit_is_seen_within_its_document(shop: Shop) -> None:
    """What was loaded before a mutation is not told after it."""
    await shop.world.credit(shop.world.anna, 200)
    await shop.world.buy(shop.world.anna, shop.world.boost)
    held = "user { inventory { product { price } } }"
    document = f"""mutation {{
        one: addFunds(input: {{userId: 1, amount: 1, idempotencyKey: "1"}}) {{
            ... on AddFundsSuccess {{ {held} }} }}
        two: updateProduct(input: {{id: 1, price: 5}}) {{
            ... on UpdateProductSuccess {{ product {{ price }} }} }}
        three: addFunds(input: {{userId: 1, amount: 1, idempotencyKey: "3"}}) {{
            ... on AddFundsSuccess {{ {held} }} }} }}"""
    assert await shop.graphql(document, shop.server) == {
        "data": {
            "one": {"user": {"inventory": [{"product": {"price": 100}}]}},
            "two": {"product": {"price": 5}},
            "three": {"user": {"inventory": [{"product": {"price": 5}}]}},
        }
    }
