"""Refusals over GraphQL: every member of every union whole, and nothing has changed."""

from typing import Any

import pytest

from economy.models.inventory import HOLDING_LIMIT
from economy.models.product import ProductType
from economy.models.user import BALANCE_LIMIT
from tests.catalogue import add_products
from tests.graphql_mutations import invalid_input, mutate, refusal
from tests.journal import nothing_changes, one_decline
from tests.shop import Shop


@pytest.fixture
async def stocked(shop: Shop) -> Shop:
    """Anna has 300 coins, two boosts and premium; product 3 is not on sale, 4 is permanent."""
    world, anna = shop.world, shop.world.anna
    await world.credit(anna, 1_000, external_reference="taken", idempotency_key="used")
    await world.buy(anna, world.premium, idempotency_key="used")
    await world.buy(anna, world.boost, quantity=2)
    await add_products(world, 1, is_active=False)
    await add_products(world, 1, type_=ProductType.PERMANENT)
    return shop


def no_user(user_id: str) -> dict[str, Any]:
    return refusal("UserNotFoundError", "USER_NOT_FOUND", "There is no such user.", userId=user_id)


def no_product(product_id: str) -> dict[str, Any]:
    return refusal(
        "ProductNotFoundError",
        "PRODUCT_NOT_FOUND",
        "There is no such product.",
        productId=product_id,
    )


def reused(key: str) -> dict[str, Any]:
    message = "This idempotency key was used before with other input."
    return refusal("IdempotencyError", "IDEMPOTENCY_KEY_REUSED", message, idempotencyKey=key)


WRONG_KEY = invalid_input(
    "idempotencyKey", "An idempotency key of 1 to 255 visible ASCII characters is needed."
)
WRONG_QUANTITY = invalid_input("quantity", "quantity must be 1 to 1000.")
NAMELESS = invalid_input("userId", "A server key must name the user.")


PURCHASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"productId": "999"}, no_product("999")),
    ({"productId": "abc"}, no_product("abc")),
    ({"productId": str(2**70)}, no_product(str(2**70))),
    ({"quantity": 0}, WRONG_QUANTITY),
    ({"quantity": -1}, WRONG_QUANTITY),
    ({"quantity": 1_001}, WRONG_QUANTITY),
    (
        {"productId": "4", "quantity": 2},
        invalid_input("quantity", "A permanent product is bought one at a time."),
    ),
    ({"idempotencyKey": ""}, WRONG_KEY),
    ({"idempotencyKey": "a b"}, WRONG_KEY),
    ({"idempotencyKey": "ключ"}, WRONG_KEY),
    ({"idempotencyKey": "x" * 256}, WRONG_KEY),
    ({"idempotencyKey": "used"}, reused("used")),
]
USES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"productId": "999"}, no_product("999")),
    ({"productId": "abc"}, no_product("abc")),
    ({"quantity": 0}, WRONG_QUANTITY),
    ({"quantity": 1_001}, WRONG_QUANTITY),
    ({"idempotencyKey": "tab\t"}, WRONG_KEY),
    ({"quantity": 2, "idempotencyKey": "used"}, reused("used")),
]
TOP_UPS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"userId": "999"}, no_user("999")),
    ({"userId": "abc"}, no_user("abc")),
    ({"amount": 0}, invalid_input("amount", "amount must be 1 to 1000000.")),
    ({"amount": 1_000_001}, invalid_input("amount", "amount must be 1 to 1000000.")),
    (
        {"externalReference": ""},
        invalid_input("externalReference", "external_reference must have 1 to 255 characters."),
    ),
    (
        {"externalReference": "a\u0000b"},
        invalid_input("externalReference", "external_reference must not hold control characters."),
    ),
    ({"idempotencyKey": ""}, WRONG_KEY),
    ({"idempotencyKey": "used"}, reused("used")),
]


async def test_purchases_that_never_happen(stocked: Shop) -> None:
    player, server = stocked.player(stocked.world.anna), stocked.server
    new = {"productId": "1", "idempotencyKey": "new"}
    async with nothing_changes(stocked.world):
        for values, expected in PURCHASES:
            assert await mutate(stocked, "purchase", player, **new | values) == expected
        for id_ in ("999", "abc", str(2**70)):
            assert await mutate(stocked, "purchase", server, **new, userId=id_) == no_user(id_)
        assert await mutate(stocked, "purchase", server, **new) == NAMELESS


async def test_uses_that_never_happen(stocked: Shop) -> None:
    player, server = stocked.player(stocked.world.anna), stocked.server
    await stocked.world.use(stocked.world.anna, stocked.world.boost, idempotency_key="used")
    new = {"productId": "1", "idempotencyKey": "new"}
    async with nothing_changes(stocked.world):
        for values, expected in USES:
            assert await mutate(stocked, "useItem", player, **new | values) == expected
        for id_ in ("999", "abc", str(2**70)):
            assert await mutate(stocked, "useItem", server, **new, userId=id_) == no_user(id_)
        assert await mutate(stocked, "useItem", server, **new) == NAMELESS


async def test_top_ups_that_never_happen(stocked: Shop) -> None:
    new = {"userId": "1", "amount": 1, "idempotencyKey": "new"}
    async with nothing_changes(stocked.world):
        for values, expected in TOP_UPS:
            assert await mutate(stocked, "addFunds", stocked.server, **new | values) == expected


DECLINES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "purchase",
        {"productId": "1", "quantity": 4},
        refusal(
            "InsufficientFundsError",
            "INSUFFICIENT_FUNDS",
            "The balance is 300, this needs 400.",
            balance=300,
            required=400,
        ),
    ),
    (
        "purchase",
        {"productId": "2"},
        refusal(
            "AlreadyOwnedError",
            "ALREADY_OWNED",
            "This product is permanent and already owned.",
            productId="2",
        ),
    ),
    (
        "purchase",
        {"productId": "3"},
        refusal(
            "ProductUnavailableError",
            "PRODUCT_UNAVAILABLE",
            "This product is not on sale.",
            productId="3",
        ),
    ),
    (
        "purchase",
        {"productId": "1", "expectedPrice": 99},
        refusal("PriceChangedError", "PRICE_CHANGED", "The price is 100 now.", price=100),
    ),
    (
        "useItem",
        {"productId": "2"},
        refusal(
            "ProductNotConsumableError",
            "PRODUCT_NOT_CONSUMABLE",
            "This product is permanent: it is owned, not used up.",
            productId="2",
        ),
    ),
    (
        "useItem",
        {"productId": "1", "quantity": 3},
        refusal(
            "NotEnoughItemsError", "NOT_ENOUGH_ITEMS", "Only 2 are held.", productId="1", held=2
        ),
    ),
    (
        "addFunds",
        {"userId": "1", "amount": 1, "externalReference": "taken"},
        refusal(
            "AlreadyTakenError",
            "ALREADY_TAKEN",
            "Already taken: external_reference.",
            field=["externalReference"],
        ),
    ),
]


@pytest.mark.parametrize(("field", "values", "expected"), DECLINES)
async def test_declines(
    stocked: Shop, field: str, values: dict[str, Any], expected: dict[str, Any]
) -> None:
    """One failed row in the journal; the same key tells it again, whatever has changed since."""
    world, anna = stocked.world, stocked.world.anna
    who = stocked.server if field == "addFunds" else stocked.player(anna)
    values = values | {"idempotencyKey": "new"}
    async with one_decline(world, anna):
        assert await mutate(stocked, field, who, **values) == expected
    await world.credit(anna, 10_000)
    await world.buy(anna, world.boost)
    async with nothing_changes(world):
        assert await mutate(stocked, field, who, **values) == expected


async def test_limits(stocked: Shop) -> None:
    world, anna = stocked.world, stocked.world.anna
    await world.sql(f"UPDATE inventory SET quantity = {HOLDING_LIMIT - 1} WHERE product_id = 1")
    values: dict[str, Any] = {"productId": "1", "quantity": 2, "idempotencyKey": "new"}
    async with one_decline(world, anna):
        assert await mutate(stocked, "purchase", stocked.player(anna), **values) == refusal(
            "HoldingLimitError",
            "HOLDING_LIMIT",
            "999999999 are held, the limit is 1000000000.",
            productId="1",
            held=HOLDING_LIMIT - 1,
            limit=HOLDING_LIMIT,
        )
    await world.sql(f'UPDATE "user" SET balance = {BALANCE_LIMIT} WHERE id = 1')
    values = {"userId": "1", "amount": 1, "idempotencyKey": "new"}
    async with one_decline(world, anna):
        assert await mutate(stocked, "addFunds", stocked.server, **values) == refusal(
            "BalanceLimitError",
            "BALANCE_LIMIT",
            "The balance is 9007199254740991, the limit is 9007199254740991.",
            balance=BALANCE_LIMIT,
            limit=BALANCE_LIMIT,
        )
