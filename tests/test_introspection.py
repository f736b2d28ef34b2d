"""Who may ask the schema about itself, and where GraphiQL is served: by environment and setting."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from graphql import get_introspection_query, graphql_sync

from economy.api.graphql.graphiql import ASSETS_PATH
from economy.api.graphql.schema import build_schema
from economy.services.access import Scope
from economy.settings import Environment, Settings
from tests.redis_database import empty_database
from tests.rest import open_shop
from tests.shop import Headers, Shop

QUESTIONS = [
    "{ __schema { queryType { name } } }",
    '{ __type(name: "User") { name } }',
    get_introspection_query(),
    "{ ...F } fragment F on Query { __schema { queryType { name } } }",
    "query A { __typename } query B { a: __schema { queryType { name } } }",
]

WHOLE = graphql_sync(build_schema()._schema, get_introspection_query()).data
REFUSALS = ("GraphQL introspection has been disabled, but", "Too many validation errors,")

Open = Callable[..., AbstractAsyncContextManager[Shop]]


@pytest.fixture
def production(postgres_url: str, redis_url: str, worker_id: str) -> Open:
    values = {
        "environment": Environment.PRODUCTION,
        "database_url": postgres_url,
        "redis_url": empty_database(redis_url, worker_id),
        "jwt_secret": "production-secret-of-at-least-32-bytes",
        "jobs_in_server": False,
    }

    @asynccontextmanager
    async def open_production(**changes: Any) -> AsyncIterator[Shop]:
        async with open_shop(Settings.model_validate(values | changes)) as shop:
            yield shop

    return open_production


@pytest.fixture
def development(sqlite_url: str) -> Open:
    @asynccontextmanager
    async def open_development(**changes: Any) -> AsyncIterator[Shop]:
        settings = {"database_url": sqlite_url, "jobs_in_server": False} | changes
        async with open_shop(Settings.model_validate(settings)) as shop:
            yield shop

    return open_development


async def assert_told(shop: Shop, headers: Headers) -> None:
    """The whole schema."""
    body = await shop.graphql(get_introspection_query(), headers)
    assert body == {"data": WHOLE}
    assert await shop.graphql(QUESTIONS[1], headers) == {"data": {"__type": {"name": "User"}}}


async def assert_not_told(shop: Shop, headers: Headers) -> None:
    """Nothing of it; other documents are answered."""
    for question in QUESTIONS:
        body = await shop.graphql(question, headers)
        assert body.keys() == {"errors"}, question
        for error in body["errors"]:
            assert error["extensions"] == {"code": "GRAPHQL_VALIDATION_FAILED"}
            assert error["message"].startswith(REFUSALS)
    body = await shop.graphql("{ __typename product(id: 1) { __typename } }", headers)
    assert body["data"]["__typename"] == "Query"


async def askers(shop: Shop) -> dict[str, Headers]:
    return {
        "anonymous": {},
        "player": shop.player(shop.world.anna),
        "server": shop.server,
        "server without scopes": await shop.key_with(),
        "server of one scope": await shop.key_with(Scope.ITEMS_WRITE),
    }


async def assert_told_to(shop: Shop, *expected: str) -> None:
    """To these askers alone, and again: what was parsed for one is not for all."""
    everybody = await askers(shop)
    for name, headers in everybody.items():
        await (assert_told if name in expected else assert_not_told)(shop, headers)
    for name, headers in everybody.items():
        body = await shop.graphql(QUESTIONS[0], headers)
        assert ("data" in body) == (name in expected)


SERVERS = ("server", "server without scopes", "server of one scope")
EVERYBODY = ("anonymous", "player", *SERVERS)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (None, EVERYBODY),
        ("everybody", EVERYBODY),
        ("server-keys", SERVERS),
        ("nobody", ()),
    ],
)
async def test_in_development(
    development: Open, setting: str | None, expected: tuple[str, ...]
) -> None:
    async with development(introspection=setting) as shop:
        await assert_told_to(shop, *expected)


@pytest.mark.parametrize(
    ("setting", "expected"), [(None, SERVERS), ("everybody", EVERYBODY), ("nobody", ())]
)
async def test_in_production(
    production: Open, setting: str | None, expected: tuple[str, ...]
) -> None:
    async with production(introspection=setting) as shop:
        await assert_told_to(shop, *expected)


async def test_a_bad_key_is_told_nothing(production: Open) -> None:
    """Not even that it might have been told something."""
    async with production() as shop:
        [row] = await shop.services.server_keys.keys()
        await shop.services.server_keys.revoke_key(row.id)
        for headers in (shop.server, {"X-Api-Key": "eck_unknown"}):
            response = await shop.client.post(
                "/graphql", json={"query": QUESTIONS[0]}, headers=headers
            )
            assert response.status_code == 401
            assert response.json().keys() == {"errors"}


MISSPELT: list[tuple[str, dict[str, Any], set[str]]] = [
    ("{ prodct(id: 1) { id } }", {}, {"product", "products"}),
    ("{ product(id: 1) { nme } }", {}, {"name"}),
    ("{ products(frst: 1) { nodes { id } } }", {}, {"first"}),
    ("{ products(type: CONSUMABL) { nodes { id } } }", {}, {"CONSUMABLE"}),
    ("{ ...F } fragment F on Produc { id }", {}, {"Product"}),
    ("query ($t: ProductTyp) { products(type: $t) { nodes { id } } }", {}, {"ProductType"}),
    (
        "query ($t: ProductType) { products(type: $t) { nodes { id } } }",
        {"t": "PERMANEN"},
        {"PERMANENT"},
    ),
    (
        """mutation { useItem(input: {productId: 1, idempotencyKey: "k", quantit: 1}) {
            __typename } }""",
        {},
        {"quantity"},
    ),
    (
        "mutation ($i: UseItemInput!) { useItem(input: $i) { __typename } }",
        {"i": {"productId": 1, "idempotencyKey": "k", "quantit": 1}},
        {"quantity"},
    ),
    (
        'mutation { purchase(input: {productId: 1, idempotencyKey: "k"}) { balance } }',
        {},
        {"InsufficientFundsError", "BalanceLimitError"},
    ),
]


async def test_production_suggests_no_names(production: Open, development: Open) -> None:
    """To nobody: a server key may ask the schema itself. In development names help."""
    async with production() as shop, development() as friendly:
        for document, variables, names in MISSPELT:
            for headers in (await askers(shop)).values():
                body = await shop.graphql(document, headers, **variables)
                assert body.keys() == {"errors"}
                told = " ".join(error["message"] for error in body["errors"])
                assert "Did you mean" not in told
                assert not [name for name in names if f'"{name}"' in told or f"'{name}'" in told]
            body = await friendly.graphql(document, **variables)
            assert any("Did you mean" in error["message"] for error in body["errors"]), document


@pytest.mark.parametrize("is_on", [True, False, None])
async def test_graphiql_in_production(production: Open, is_on: bool | None) -> None:
    """Off by default; where it is on, no token is in the page, though there is an anna."""
    async with production(graphiql=is_on) as shop:
        response = await shop.client.get("/graphql", headers={"Accept": "text/html"})
        asset = await shop.client.get(f"{ASSETS_PATH}/page.js")
        if is_on:
            assert (response.status_code, asset.status_code) == (200, 200)
            assert 'data-demo-token=""' in response.text
            assert "eyJ" not in response.text  # how every JWT begins
        else:
            assert (response.status_code, asset.status_code) == (406, 404)
            assert response.headers["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize("is_on", [True, False, None])
async def test_graphiql_in_development(development: Open, is_on: bool | None) -> None:
    """On by default, with the demo player's token, which is anna's."""
    async with development(graphiql=is_on) as shop:
        headers = {"Accept": "text/html"}
        response = await shop.client.get("/graphql", headers=headers)
        if is_on is False:
            assert response.status_code == 406
            return
        assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
        assert 'data-demo-token="eyJ' in response.text
        asset = await shop.client.get(f"{ASSETS_PATH}/page.js")
        assert asset.status_code == 200
