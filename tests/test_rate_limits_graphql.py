"""Rate limits over GraphQL: each field costs, fails alone, and shares its budget with REST."""

import asyncio
from typing import Any

import httpx
import pytest

from economy.settings import Settings
from tests.graphql_answers import UNAUTHENTICATED, extensions
from tests.journal import journal_of, nothing_changes
from tests.redis_database import empty_database
from tests.rest import assert_rate_limited, left_of, limits_of
from tests.shop import Headers, Shop

JSON, GRAPHQL = "application/json", "application/graphql-response+json"
BAD = {"Authorization": "Bearer nonsense"}
WINDOW = 600  # no test takes as long
REFUSALS = {
    "money": f"No more than 5 (money) in {WINDOW} seconds: try again in {{}}.",
    "read": f"No more than 7 (read) in {WINDOW} seconds: try again in {{}}.",
}


@pytest.fixture(params=["memory", "redis"])
def settings(sqlite_url: str, worker_id: str, request: pytest.FixtureRequest) -> Settings:
    """A player may do 5 money operations and 7 reads, and an address send 3 bad credentials."""
    url = None
    if request.param == "redis":
        url = empty_database(request.getfixturevalue("redis_url"), worker_id)
    return Settings(
        database_url=sqlite_url,
        redis_url=url,
        redis_timeout_seconds=10,
        jobs_in_server=False,
        rate_limit_player_money=f"5/{WINDOW}",
        rate_limit_player_reads=f"7/{WINDOW}",
        rate_limit_server_money=f"2/{WINDOW}",
        rate_limit_failed_authentication=f"3/{WINDOW}",
    )


@pytest.fixture
async def anna(shop: Shop) -> Headers:
    """Her credential; she has 1,000 coins."""
    await shop.world.credit(shop.world.anna, 1_000)
    return shop.player(shop.world.anna)


async def ask(
    shop: Shop, document: str, headers: Headers | None = None, media: str = JSON
) -> httpx.Response:
    return await shop.client.post(
        "/graphql", json={"query": document}, headers={"Accept": media} | (headers or {})
    )


def buying(*keys: str, product: int = 1) -> str:
    """A purchase for each key, under an alias of its own: a0, a1, ..."""
    fields = (
        f'a{number}: purchase(input: {{productId: {product}, idempotencyKey: "{key}"}}) {{ ...A }}'
        for number, key in enumerate(keys)
    )
    answer = """fragment A on PurchaseResult {
        ... on PurchaseSuccess { replayed user { balance } } ... on EconomyError { code } }"""
    return f"mutation {{ {' '.join(fields)} }} {answer}"


def bought(balance: int, *, replayed: bool = False) -> dict[str, Any]:
    return {"replayed": replayed, "user": {"balance": balance}}


def assert_refused(response: httpx.Response, limit: str, paths: list[str]) -> None:
    """Exactly these fields were refused, by that limit: they are null, the status is 200."""
    assert response.status_code == 200
    body = response.json()
    errors = body.get("errors", [])
    assert [error["path"] for error in errors] == [[path] for path in paths]
    for error in errors:
        retry_after = error["extensions"]["retryAfter"]
        assert 1 <= retry_after <= WINDOW
        expected = extensions("RATE_LIMITED", retryable=True, retryAfter=retry_after)
        assert error["extensions"] == expected
        assert error["message"] == REFUSALS[limit].format(retry_after)
    assert [path for path, value in body["data"].items() if value is None] == paths


async def test_each_alias_costs_and_the_ones_beyond_fail_alone(shop: Shop, anna: Headers) -> None:
    """Five purchases in one document, where three are left: REST has had two."""
    for left in (4, 3):
        response = await shop.client.post("/products/1/purchase", headers=anna)
        assert limits_of(response) == {"money": (5, WINDOW, left)}
    response = await ask(shop, buying(*"vwxyz"), anna)
    assert_refused(response, "money", ["a3", "a4"])
    assert limits_of(response) == {"money": (5, WINDOW, 0)}
    assert "retry-after" not in response.headers
    data = response.json()["data"]
    assert [data[f"a{number}"] for number in range(3)] == [bought(700), bought(600), bought(500)]
    rows = await journal_of(shop.services, shop.world.anna)
    assert [row.idempotency_key for row in rows[3:]] == ["v", "w", "x"]
    async with nothing_changes(shop.world):
        response = await shop.client.post("/products/1/use", headers=anna)
        assert_rate_limited(response, "money", 5, WINDOW)
        assert_refused(await ask(shop, buying("y"), anna), "money", ["a0"])
    boris = await ask(shop, buying("k"), shop.player(shop.world.boris))
    assert boris.json() == {"data": {"a0": {"code": "INSUFFICIENT_FUNDS"}}}
    assert left_of(boris) == {"money": 4}


async def test_many_aliases_at_once(shop: Shop, anna: Headers) -> None:
    """They all run together; the first ones are granted."""
    fields = " ".join(f"a{number}: me {{ balance }}" for number in range(15))
    response = await ask(shop, f"{{ {fields} }}", anna)
    assert_refused(response, "read", [f"a{number}" for number in range(7, 15)])
    data = response.json()["data"]
    assert [data[f"a{number}"] for number in range(7)] == 7 * [{"balance": 1_000}]
    assert left_of(response) == {"read": 0}


async def test_documents_at_once(shop: Shop, anna: Headers) -> None:
    documents = [buying(f"{number}-a", f"{number}-b", f"{number}-c") for number in range(8)]
    answers = await asyncio.gather(*(ask(shop, document, anna) for document in documents))
    fields = [field for answer in answers for field in answer.json()["data"].values()]
    granted = [field["user"]["balance"] for field in fields if field is not None]
    assert sorted(granted) == [500, 600, 700, 800, 900]
    assert len(fields) == 24
    state = await shop.world.state()
    assert [tuple(row) for row in state["inventory"]] == [(1, 1, 5)]


async def test_cancelled_documents(shop: Shop, anna: Headers) -> None:
    """Whatever of them runs on: no more is bought than the limit grants."""
    for ticks in (1, 5, 20, 80):
        asking = asyncio.create_task(ask(shop, buying(f"a-{ticks}", f"b-{ticks}"), anna))
        for _ in range(ticks):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
    answers = [await ask(shop, buying(f"c-{number}"), anna) for number in range(6)]
    granted = sum(answer.json()["data"]["a0"] is not None for answer in answers)
    await shop.world.credit(shop.world.anna, 1)  # a user's operations keep their order
    rows = await journal_of(shop.services, shop.world.anna)
    assert granted <= sum(row.kind == "purchase" for row in rows) <= 5
    assert_refused(answers[-1], "money", ["a0"])


async def test_every_money_operation_costs_also_when_it_is_refused(shop: Shop) -> None:
    """A server's two: what input or rights forbid has cost a turn like any other."""
    top_up = 'addFunds(input: {userId: 1, amount: %d, idempotencyKey: "%s"}) { __typename }'
    for key, document, name in (
        (shop.server, top_up % (5, "k"), "AddFundsSuccess"),
        (shop.server, top_up % (0, "l"), "InvalidInputError"),
        (await shop.key_with(), top_up % (5, "m"), None),
        (
            await shop.key_with(),
            'useItem(input: {productId: 9, userId: 1, idempotencyKey: "n"}) { __typename }',
            None,
        ),
    ):
        response = await ask(shop, f"mutation {{ f: {document} }}", key)
        assert response.json()["data"] == {"f": name and {"__typename": name}}
        left = 0 if name == "InvalidInputError" else 1
        assert limits_of(response) == {"money": (2, WINDOW, left)}
    async with nothing_changes(shop.world):
        response = await ask(shop, f"mutation {{ f: {top_up % (5, 'o')} }}", shop.server)
        [error] = response.json()["errors"]
        assert (error["path"], error["extensions"]["code"]) == (["f"], "RATE_LIMITED")
        funding = shop.server | {"Idempotency-Key": "p"}
        response = await shop.client.post("/users/1/add-funds", headers=funding, json={"amount": 1})
        assert_rate_limited(response, "money", 2, WINDOW)


SIX = """me { id inventory { quantity } transactions { nodes { id } } } inventory { id }
    products { nodes { id } } popularProducts { rank product { id } } product(id: 1) { id }
    user(id: 1) { id }"""


async def test_each_root_field_of_a_query_costs_a_read(shop: Shop, anna: Headers) -> None:
    response = await ask(shop, f"{{ __typename {SIX} }}", anna)
    assert response.json().keys() == {"data"}
    assert limits_of(response) == {"read": (7, WINDOW, 1)}
    response = await ask(shop, f"{{ {SIX} __typename }}", anna)
    assert_refused(
        response, "read", ["inventory", "products", "popularProducts", "product", "user"]
    )
    data = response.json()["data"]
    assert (data["me"]["id"], data["__typename"]) == ("1", "Query")
    assert left_of(response) == {"read": 0}
    assert_rate_limited(await shop.client.get("/products", headers=anna), "read", 7, WINDOW)
    assert left_of(await ask(shop, buying("k"), anna)) == {"money": 4}
    boris = await ask(shop, "{ me { id } }", shop.player(shop.world.boris))
    assert (boris.json(), left_of(boris)) == ({"data": {"me": {"id": "2"}}}, {"read": 6})


async def test_one_field_written_twice_is_one(shop: Shop, anna: Headers) -> None:
    document = "{ me { id } ...F ... on Query { me { username } } } fragment F on Query { me {id} }"
    response = await ask(shop, document, anna)
    assert response.json() == {"data": {"me": {"id": "1", "username": "anna"}}}
    assert left_of(response) == {"read": 6}


async def test_queries_by_get(shop: Shop, anna: Headers) -> None:
    params = {"query": "{ a: me { id } b: me { id } c: product(id: 2) { price } }"}
    for left in (4, 1):
        response = await shop.client.get("/graphql", params=params, headers=anna)
        assert (response.status_code, left_of(response)) == (200, {"read": left})
    response = await shop.client.get("/graphql", params=params, headers=anna)
    assert_refused(response, "read", ["b", "c"])
    response = await shop.client.get("/graphql", params={"query": buying("k")}, headers=anna)
    assert (response.status_code, limits_of(response)) == (405, {})


NOTHING_RUNS = ["{", "{ nothing }", "mutation { purchase { __typename } }", buying(*4_000 * "k")]


async def test_what_costs_nothing(shop: Shop, anna: Headers) -> None:
    """What does not run, what asks for nothing, and whoever has no right to ask."""
    for _ in range(10):
        for document in [*NOTHING_RUNS, "{ user(id: 2) { id } inventory(userId: 2) { id } }"]:
            response = await ask(shop, document, anna)
            assert response.json()["errors"]
            assert limits_of(response) == {}
        for document in ("{ __typename }", "{ __schema { types { name } } }"):
            response = await ask(shop, document, anna)
            assert (response.json().keys(), limits_of(response)) == ({"data"}, {})
        for document in (buying("k"), "{ popularProducts { rank } }"):
            response = await ask(shop, document)
            [error] = response.json()["errors"]
            assert (error["extensions"], limits_of(response)) == (UNAUTHENTICATED, {})
    assert left_of(await ask(shop, buying("k"), anna)) == {"money": 4}
    assert left_of(await ask(shop, "{ me { id } }", anna)) == {"read": 6}


@pytest.mark.parametrize("product", [1, 2])
async def test_replays_over_both_transports(shop: Shop, anna: Headers, product: int) -> None:
    """Of a success as of a decline (it is owned): each costs a read, as long as there are any."""
    await shop.world.buy(shop.world.anna, shop.world.premium)
    first = {"code": "ALREADY_OWNED"} if product == 2 else bought(400)
    again = first if product == 2 else bought(400, replayed=True)
    path, headers = f"/products/{product}/purchase", anna | {"Idempotency-Key": "k"}
    response = await ask(shop, buying("k", "k", product=product), anna)
    assert response.json() == {"data": {"a0": first, "a1": again}}
    assert left_of(response) == {"money": 4, "read": 6}
    async with nothing_changes(shop.world):
        response = await shop.client.post(path, headers=headers)
        assert response.headers["idempotent-replayed"] == "true"
        assert left_of(response) == {"money": 4, "read": 5}
        for count, left in ((5, 4), (1, 3)):
            response = await ask(shop, buying(*count * "k", product=product), anna)
            assert response.json() == {"data": {f"a{number}": again for number in range(count)}}
            assert left_of(response) == {"money": left, "read": 0}
        for _ in range(3):
            response = await shop.client.post(path, headers=headers)
            assert response.headers["idempotent-replayed"] == "true"
        assert left_of(response) == {"money": 0, "read": 0}
        assert_refused(await ask(shop, buying("k", product=product), anna), "money", ["a0"])


async def test_a_refused_key_is_free(shop: Shop, anna: Headers) -> None:
    """What a limit refused under a key can be done under it with another credential."""
    assert left_of(await ask(shop, buying(*"abcd"), anna)) == {"money": 1}
    assert_refused(await ask(shop, buying("e", "f"), anna), "money", ["a1"])
    response = await shop.client.post(
        "/products/1/purchase",
        headers=shop.server | {"Idempotency-Key": "f"},
        json={"user_id": 1, "quantity": 2},
    )
    assert (response.status_code, response.json()["replayed"]) == (200, False)
    assert response.json()["user"]["balance"] == 300


@pytest.mark.parametrize("media", [JSON, GRAPHQL])
async def test_failed_authentication(shop: Shop, anna: Headers, media: str) -> None:
    """Counted together with REST's; good credentials from the same address go on."""
    assert (await shop.client.get("/products", headers=BAD)).status_code == 401
    for _ in range(2):
        response = await ask(shop, buying("k"), BAD, media)
        assert (response.status_code, limits_of(response)) == (401, {})
    async with nothing_changes(shop.world):
        response = await ask(shop, buying("k"), BAD | shop.server, media)
    assert response.status_code == 429
    assert response.headers["content-type"] == f"{media}; charset=utf-8"
    assert "www-authenticate" not in response.headers
    retry_after = int(response.headers["retry-after"])
    assert 1 <= retry_after <= WINDOW
    limit = f"3 (failed-authentication) in {WINDOW} seconds"
    expected = {"message": f"No more than {limit}: try again in {retry_after}."}
    told = extensions("RATE_LIMITED", retryable=True, retryAfter=retry_after)
    assert response.json() == {"errors": [expected | {"extensions": told}]}
    assert limits_of(response) == {"failed-authentication": (3, WINDOW, 0)}
    response = await shop.client.get("/products", headers=BAD)
    assert_rate_limited(response, "failed-authentication", 3, WINDOW)
    assert left_of(await ask(shop, buying("k"), anna)) == {"money": 4}
    response = await ask(shop, buying("k"))
    assert response.json()["errors"][0]["extensions"] == UNAUTHENTICATED
