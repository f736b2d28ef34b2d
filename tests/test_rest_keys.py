"""Idempotency keys over REST: their forms, replays, reuse, and retries over the other transport."""

from typing import Any

import pytest

from tests.journal import nothing_changes
from tests.rest import WRITES, assert_json, assert_problem, problem
from tests.shop import Shop
from tests.world import World

MISSING = problem(
    400,
    "IDEMPOTENCY_KEY_MISSING",
    "An idempotency key of 1 to 255 visible ASCII characters is needed.",
)
Write = tuple[str, dict[str, Any]]
every_write = pytest.mark.parametrize("write", WRITES, ids=lambda write: write[0])


async def stock(world: World) -> None:
    """Anna has 900 coins and holds 5 of the boost."""
    await world.credit(world.anna, 1_400)
    await world.buy(world.anna, world.boost, quantity=5)


def keyed(shop: Shop, key: str) -> dict[str, str]:
    return shop.server | {"Idempotency-Key": key}


@every_write
async def test_replay(shop: Shop, write: Write) -> None:
    """The first answer again, word for word, however the key is written."""
    path, body = write
    await stock(shop.world)
    first = await shop.client.post(path, headers=keyed(shop, "order-1"), json=body)
    assert (first.status_code, first.json()["replayed"]) == (200, False)
    assert "idempotent-replayed" not in first.headers
    await shop.world.buy(shop.world.anna, shop.world.boost)  # what is held and left changes
    async with nothing_changes(shop.world):
        for key in ["order-1", '"order-1"']:
            again = await shop.client.post(path, headers=keyed(shop, key), json=body)
            assert_json(again, first.json() | {"replayed": True})
            assert again.headers["idempotent-replayed"] == "true"


async def test_replay_does_not_depend_on_the_way_the_input_is_written(shop: Shop) -> None:
    await stock(shop.world)
    headers = shop.player(shop.world.anna) | {"Idempotency-Key": "order-1"}
    first = await shop.client.post("/products/1/purchase", headers=headers)
    async with nothing_changes(shop.world):
        for body in [{}, {"quantity": 1}, {"user_id": 1, "expected_price": None}]:
            again = await shop.client.post("/products/1/purchase", headers=headers, json=body)
            assert_json(again, first.json() | {"replayed": True})


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        (
            "/products/2/purchase",
            {"user_id": 1},
            problem(
                402,
                "INSUFFICIENT_FUNDS",
                "The balance is 50, this needs 500.",
                balance=50,
                required=500,
            ),
        ),
        (
            "/products/1/use",
            {"user_id": 1, "quantity": 2},
            problem(409, "NOT_ENOUGH_ITEMS", "Only 1 are held.", product_id=1, held=1),
        ),
        (
            "/users/1/add-funds",
            {"amount": 5, "external_reference": "payment-77"},
            problem(
                409,
                "ALREADY_TAKEN",
                "Already taken: external_reference.",
                fields=["external_reference"],
            ),
        ),
    ],
)
async def test_replay_of_a_decline(
    shop: Shop, path: str, body: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Also when it would succeed by now: no surprise hours later."""
    world = shop.world
    await world.credit(world.anna, 150)
    await world.buy(world.anna, world.boost)
    await world.credit(world.boris, 1, external_reference="payment-77")
    first = await shop.client.post(path, headers=keyed(shop, "k"), json=body)
    assert_problem(first, expected)
    await world.credit(world.anna, 1_000)
    await world.buy(world.anna, world.boost, quantity=5)
    async with nothing_changes(world):
        again = await shop.client.post(path, headers=keyed(shop, "k"), json=body)
        assert_problem(again, expected, is_replay=True)


@every_write
async def test_reuse_with_other_input(shop: Shop, write: Write) -> None:
    path, body = write
    await stock(shop.world)
    first = await shop.client.post(path, headers=keyed(shop, "order-1"), json=body)
    assert first.status_code == 200
    name = "amount" if "amount" in body else "quantity"
    detail = "This idempotency key was used before with other input."
    async with nothing_changes(shop.world):
        again = await shop.client.post(path, headers=keyed(shop, "order-1"), json=body | {name: 2})
        expected = problem(422, "IDEMPOTENCY_KEY_REUSED", detail, idempotency_key="order-1")
        assert_problem(again, expected)


async def test_one_key_for_each_kind_and_user(shop: Shop) -> None:
    await stock(shop.world)
    await shop.world.credit(shop.world.boris, 100)
    for path, body in [*WRITES, ("/products/1/purchase", {"user_id": 2})]:
        response = await shop.client.post(path, headers=keyed(shop, "same"), json=body)
        assert (response.status_code, response.json()["replayed"]) == (200, False)


@every_write
async def test_wrong_keys(shop: Shop, write: Write) -> None:
    path, body = write
    await stock(shop.world)
    wrong = ["", '""', "x" * 256, f'"{"x" * 256}"', "a b", "tab\t1", "\x01", "\x7f", "é", "ключ"]
    async with nothing_changes(shop.world):
        for key in wrong:
            headers = [*shop.server.items(), ("Idempotency-Key", key.encode())]
            response = await shop.client.post(path, headers=encoded(headers), json=body)
            assert_problem(response, MISSING)
        for keys in [("a", "b"), ("a", "a"), ("a", ""), ("", "")]:
            headers = [*shop.server.items(), *(("Idempotency-Key", key) for key in keys)]
            response = await shop.client.post(path, headers=encoded(headers), json=body)
            assert_problem(response, MISSING)


def encoded(headers: list[Any]) -> list[tuple[bytes, bytes]]:
    return [
        (name.encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in headers
    ]


@every_write
async def test_right_keys(shop: Shop, write: Write) -> None:
    path, body = write
    await stock(shop.world)
    for key in ["x", '"', "x" * 255, "!#$%&'()*+,-./:;<=>?@[]^_`{|}~", 'a"b']:
        for sent, is_replay in [(key, False), (f'"{key}"', True)]:
            response = await shop.client.post(path, headers=keyed(shop, sent), json=body)
            assert (response.status_code, response.json()["replayed"]) == (200, is_replay)


async def test_where_a_key_is_required(shop: Shop) -> None:
    await stock(shop.world)
    async with nothing_changes(shop.world):
        response = await shop.client.post(
            "/users/1/add-funds", headers=shop.server, json={"amount": 50}
        )
        assert_problem(response, MISSING)
    for path in ["/products/1/purchase", "/products/1/use"]:
        for _ in range(2):  # without a key each request is another one
            response = await shop.client.post(path, headers=shop.server, json={"user_id": 1})
            assert (response.status_code, response.json()["replayed"]) == (200, False)


MUTATIONS = {
    "/products/1/purchase": 'purchase(input: {productId: 1, userId: 1, idempotencyKey: "k"})',
    "/products/1/use": 'useItem(input: {productId: 1, userId: 1, idempotencyKey: "k"})',
    "/users/1/add-funds": 'addFunds(input: {userId: 1, amount: 50, idempotencyKey: "k"})',
}
SHOWN = "... on Booking { replayed transaction { id balanceAfter } user { balance } }"


async def over_graphql(shop: Shop, path: str) -> Any:
    document = (
        f"mutation {{ done: {MUTATIONS[path]} {{ {SHOWN} ... on EconomyError {{ code }} }} }}"
    )
    return (await shop.graphql(document, shop.server))["data"]["done"]


def as_graphql(body: dict[str, Any], *, replayed: bool) -> dict[str, Any]:
    transaction = body["transaction"]
    return {
        "replayed": replayed,
        "transaction": {"id": transaction["id"], "balanceAfter": transaction["balance_after"]},
        "user": {"balance": body["user"]["balance"]},
    }


@every_write
async def test_retry_over_graphql(shop: Shop, write: Write) -> None:
    path, body = write
    await stock(shop.world)
    first = await shop.client.post(path, headers=keyed(shop, "k"), json=body)
    assert first.status_code == 200
    async with nothing_changes(shop.world):
        assert await over_graphql(shop, path) == as_graphql(first.json(), replayed=True)


@every_write
async def test_retry_over_rest(shop: Shop, write: Write) -> None:
    path, body = write
    await stock(shop.world)
    first = await over_graphql(shop, path)
    async with nothing_changes(shop.world):
        again = await shop.client.post(path, headers=keyed(shop, "k"), json=body)
        assert again.headers["idempotent-replayed"] == "true"
        assert first == as_graphql(again.json(), replayed=False)


async def test_retry_of_a_decline_over_the_other_transport(shop: Shop) -> None:
    path = "/products/1/purchase"
    assert await over_graphql(shop, path) == {"code": "INSUFFICIENT_FUNDS"}
    await shop.world.credit(shop.world.anna, 1_000)
    async with nothing_changes(shop.world):
        again = await shop.client.post(path, headers=keyed(shop, "k"), json={"user_id": 1})
        detail = "The balance is 0, this needs 100."
        expected = problem(402, "INSUFFICIENT_FUNDS", detail, balance=0, required=100)
        assert_problem(again, expected, is_replay=True)
        assert await over_graphql(shop, path) == {"code": "INSUFFICIENT_FUNDS"}
