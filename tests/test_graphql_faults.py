"""Faults of ours over GraphQL are told apart and masked; production tells even less."""

import logging
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from graphql import get_introspection_query
from pydantic import SecretStr

from economy.api.graphql.graphiql import ASSETS_PATH
from economy.bootstrap import open_services
from economy.settings import Environment, Settings
from tests.graphql_answers import errors_of, extensions
from tests.journal import nothing_changes
from tests.proxy import open_proxy
from tests.redis_database import empty_database
from tests.rest import open_shop
from tests.rival import open_rival
from tests.shop import Headers, Shop

BUY = 'mutation { purchase(input: {productId: 1, idempotencyKey: "k"}) { __typename } }'
MASKED = "Something went wrong on our side."
UNAVAILABLE = extensions("UNAVAILABLE", retryable=True)
LEAKS = (
    "select",
    "insert",
    "inventory.",
    "server_key",
    "table",
    "relation",
    "sql",
    "asyncpg",
    ".py",
)


async def post(shop: Shop, document: str, headers: Headers) -> httpx.Response:
    return await shop.client.post("/graphql", json={"query": document}, headers=headers)


def assert_masked(response: httpx.Response, path: list[str] | None) -> dict[str, Any]:
    """One error, of which only the request's id is told. Returns what stands beside it."""
    assert not [leak for leak in LEAKS if leak in response.text.lower()], response.text
    body: dict[str, Any] = response.json()
    [error] = body.pop("errors")
    id_ = response.headers["x-request-id"]
    assert error.pop("extensions") == {"code": "INTERNAL_ERROR", "requestId": id_}
    error.pop("locations", None)
    assert error == {"message": MASKED} | ({} if path is None else {"path": path})
    return body


async def test_a_bug_is_masked(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """What is wrong stands in the log, under the id that the client was told."""
    anna = shop.player(shop.world.anna)
    await shop.world.credit(shop.world.anna, 1_000)
    await shop.world.sql("DROP TABLE inventory")
    journal = 'SELECT user_id, seq, kind, status FROM "transaction"'
    before = await shop.world.sql(journal), await shop.services.users.users([1, 2])

    response = await post(shop, "{ me { username inventory { id } } product(id: 1) { id } }", anna)
    assert response.status_code == 200
    assert assert_masked(response, ["me", "inventory"]) == {
        "data": {"me": {"username": "anna", "inventory": None}, "product": {"id": "1"}}
    }
    response = await post(shop, BUY, anna | {"X-Request-Id": "order-1"})
    assert response.headers["x-request-id"] == "order-1"
    assert assert_masked(response, ["purchase"]) == {"data": {"purchase": None}}
    records = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.name for record in records] == ["economy.api.graphql.answers"] * 2
    assert "inventory" in caplog.text
    after = await shop.world.sql(journal), await shop.services.users.users([1, 2])
    assert after == before


async def test_a_bug_before_anything_runs_is_masked(shop: Shop) -> None:
    await shop.world.sql("DROP TABLE server_key")
    for media in ("application/json", "application/graphql-response+json"):
        response = await post(shop, "{ __typename }", shop.server | {"Accept": media})
        assert response.status_code == 500
        assert response.headers["content-type"] == f"{media}; charset=utf-8"
        assert assert_masked(response, None) == {}
    assert await shop.graphql("{ __typename }") == {"data": {"__typename": "Query"}}


async def test_the_database_is_gone(postgres_url: str) -> None:
    """What needs it says that it may be asked again, what does not is answered."""
    async with (
        open_services(Settings(database_url=postgres_url)) as services,
        open_proxy(postgres_url) as proxy,
        open_shop(Settings(database_url=proxy.url)) as shop,
    ):
        player = shop.player(shop.world.anna)
        await shop.world.credit(shop.world.anna, 1_000)
        direct = replace(shop.world, services=services)
        async with nothing_changes(direct):
            await proxy.stop()
            response = await post(shop, "{ __typename me { id } product(id: 1) { id } }", player)
            assert response.status_code == 200
            body = response.json()
            assert body["data"] == {"__typename": "Query", "me": None, "product": None}
            assert errors_of(body) == [(["me"], UNAVAILABLE), (["product"], UNAVAILABLE)]
            body = (await post(shop, BUY, player)).json()
            assert body["data"] == {"purchase": None}
            assert errors_of(body) == [(["purchase"], UNAVAILABLE)]
            # who asks cannot even be told: nothing of the document runs
            response = await post(shop, "{ __typename }", shop.server)
            assert (response.status_code, response.headers["retry-after"]) == (503, "1")
            [error] = response.json()["errors"]
            assert error["extensions"] == UNAVAILABLE
            assert await shop.graphql("{ __typename }") == {"data": {"__typename": "Query"}}


async def test_rows_that_another_keeps_locked(postgres_url: str) -> None:
    async with (
        open_shop(Settings(database_url=postgres_url, lock_timeout_ms=100)) as shop,
        open_rival(postgres_url) as rival,
    ):
        player = shop.player(shop.world.anna)
        async with nothing_changes(shop.world), rival.holding_user(shop.world.anna.id):
            body = (await post(shop, BUY, player)).json()
        assert body["data"] == {"purchase": None}
        assert errors_of(body) == [(["purchase"], extensions("CONFLICT", retryable=True))]


@pytest.fixture
async def production(postgres_url: str, redis_url: str, worker_id: str) -> AsyncIterator[Shop]:
    settings = Settings(
        environment=Environment.PRODUCTION,
        database_url=postgres_url,
        redis_url=empty_database(redis_url, worker_id),
        jwt_secret=SecretStr("production-secret-of-at-least-32-bytes"),
    )
    async with open_shop(settings) as shop:
        yield shop


async def test_production_answers(production: Shop) -> None:
    world, anna = production.world, production.world.anna
    await world.credit(anna, 250)
    document = """mutation ($key: String!) {
        purchase(input: {productId: 1, idempotencyKey: $key}) {
            __typename ... on PurchaseSuccess { user { balance inventory { quantity } } } } }"""
    for balance, quantity in ((150, 1), (50, 2)):
        body = await production.graphql(document, production.player(anna), key=str(balance))
        user = {"balance": balance, "inventory": [{"quantity": quantity}]}
        assert body == {"data": {"purchase": {"__typename": "PurchaseSuccess", "user": user}}}


async def test_production_does_not_tell_its_schema(production: Shop) -> None:
    for who in (production.player(production.world.anna), {}):
        for document in (
            "{ __schema { queryType { name } } }",
            '{ __type(name: "User") { name } }',
            get_introspection_query(),
            "{ ...F } fragment F on Query { __schema { queryType { name } } }",
        ):
            body = await production.graphql(document, who)
            assert body.keys() == {"errors"}
            codes = {error["extensions"]["code"] for error in body["errors"]}
            assert codes == {"GRAPHQL_VALIDATION_FAILED"}


MISSPELT: list[tuple[str, dict[str, Any]]] = [
    ("{ prodct(id: 1) { id } }", {}),
    ("{ product(id: 1) { nme } }", {}),
    ("{ products(frst: 1) { nodes { id } } }", {}),
    ("{ products(type: CONSUMABL) { nodes { id } } }", {}),
    ("{ ...F } fragment F on Qery { __typename }", {}),
    ("query ($t: ProductTyp) { products(type: $t) { nodes { id } } }", {}),
    ("query ($t: ProductType) { products(type: $t) { nodes { id } } }", {"t": "PERMANEN"}),
    ("mutation { useItem(input: {prodctId: 1, idempotencyKey: 1}) { __typename } }", {}),
    ("{ me { id @skp(if: true) } }", {}),
    ("{ me }", {}),
]


async def test_production_suggests_no_names(production: Shop, sqlite_url: str) -> None:
    """Development does: names are no secret there."""
    suggested = 0
    async with open_shop(Settings(database_url=sqlite_url)) as development:
        for document, variables in MISSPELT:
            body = await production.graphql(document, **variables)
            assert body.keys() == {"errors"}
            assert "Did you mean" not in str(body)
            body = await development.graphql(document, **variables)
            suggested += "Did you mean" in str(body)
    assert suggested == len(MISSPELT) - 1  # none for directives


async def test_production_serves_no_graphiql(production: Shop) -> None:
    for accept, status in (("text/html", 406), ("text/html, */*;q=0.8", 400)):
        response = await production.client.get("/graphql", headers={"Accept": accept})
        assert response.status_code == status
        assert response.headers["content-type"] == "application/json; charset=utf-8"
    for name in ("page.js", "graphiql.min.js"):
        assert (await production.client.get(f"{ASSETS_PATH}/{name}")).status_code == 404


async def test_a_request_id_is_echoed_only_when_it_is_harmless(shop: Shop) -> None:
    for id_ in (b"a", b"Order-17.b_", b"x" * 64):
        response = await shop.client.get("/graphql", headers={b"X-Request-Id": id_})
        assert response.headers["x-request-id"] == id_.decode()
    for id_ in (b"", b"a\nb", b"a\r\nSet-Cookie: b", b"\xff", b"a b", b"x" * 65, b"<b>", b"a;b"):
        response = await shop.client.get("/graphql", headers={b"X-Request-Id": id_})
        assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"]), id_
        assert "set-cookie" not in response.headers
