"""Errors that any request can meet: unknown routes, credentials, bugs, a database that is gone."""

import logging
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest

from economy.database import Database
from economy.migrate import migrate
from economy.settings import DEVELOPMENT_JWT_SECRET, Settings
from tests import servers
from tests.rest import assert_problem, open_shop, problem, user_of
from tests.servers import PostgresServer, postgres_server
from tests.shop import Headers, Shop

ENDPOINTS = [
    ("POST", "/products/1/purchase"),
    ("POST", "/products/1/use"),
    ("POST", "/users/1/add-funds"),
    ("GET", "/users/1/inventory"),
    ("GET", "/products"),
    ("GET", "/analytics/popular-products"),
]
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
UNAVAILABLE = problem(
    503,
    "UNAVAILABLE",
    "The service cannot answer right now. Try again with the same idempotency key.",
    retryable=True,
)
KEY = {"Idempotency-Key": "key"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Here one address may send as many bad credentials as it likes."""
    return settings.model_copy(update={"rate_limit_failed_authentication": ""})


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/products/1", "/products/1/sell", "/users/1", "/users//inventory"]
)
async def test_unknown_route(shop: Shop, path: str) -> None:
    for headers in [{}, shop.server, {"X-Api-Key": "eck_wrong"}]:
        for method in ["GET", "POST"]:
            response = await shop.client.request(method, path, headers=headers)
            assert_problem(response, problem(404, "NOT_FOUND", "Not Found"))


async def test_unknown_method(shop: Shop) -> None:
    health = [("GET", "/health/live"), ("GET", "/health/ready"), ("GET", "/metrics")]
    for allowed, path in [*ENDPOINTS, *health]:
        for method in METHODS:
            if method != allowed:
                response = await shop.client.request(method, path, headers=shop.server)
                expected = problem(405, "METHOD_NOT_ALLOWED", "Method Not Allowed")
                assert_problem(response, expected)
                assert response.headers["allow"] == allowed
        response = await shop.client.head(path, headers=shop.server)  # has no body, by definition
        assert (response.status_code, response.headers["allow"]) == (405, allowed)


def token(**changes: Any) -> Headers:
    claims = {"sub": "1", "aud": "economy", "iss": "economy"} | changes
    claims = {"exp": datetime.now(UTC) + timedelta(hours=1)} | claims
    signed = jwt.encode(claims, DEVELOPMENT_JWT_SECRET, algorithm="HS256")
    return {"Authorization": f"Bearer {signed}"}


ANONYMOUS = "This needs a credential: a player token or a server key."
SCHEME = "The Authorization header must be: Bearer <token>."
TOKEN, KEY_OF_SERVER = "The token is not valid.", "The server key is not valid."
REFUSED: list[tuple[Headers, str]] = [
    ({}, ANONYMOUS),
    ({"Authorization": ""}, SCHEME),
    ({"Authorization": "Bearer"}, SCHEME),
    ({"Authorization": "Bearer  "}, SCHEME),
    ({"Authorization": "Basic YW5uYTphbm5h"}, SCHEME),
    ({"Authorization": "Bearer nonsense"}, TOKEN),
    (token(exp=datetime.now(UTC) - timedelta(hours=1)), TOKEN),
    (token(aud="another"), TOKEN),
    (token(sub="abc"), "The token names no user."),
    ({"X-Api-Key": ""}, KEY_OF_SERVER),
    ({"X-Api-Key": "eck_wrong"}, KEY_OF_SERVER),
    (token() | {"X-Api-Key": "eck_wrong"}, "Send one credential: a token or a server key."),
]


async def test_credentials(shop: Shop) -> None:
    before = await shop.world.state()
    for method, path in ENDPOINTS:
        for headers, detail in REFUSED:
            response = await shop.client.request(method, path, headers=headers | KEY)
            assert_problem(response, problem(401, "UNAUTHENTICATED", detail))
            assert response.headers["www-authenticate"] == 'Bearer realm="economy"'
    assert await shop.world.state() == before


async def test_token_of_a_user_that_is_not_there(shop: Shop) -> None:
    before = await shop.world.state()
    for method, path in [
        ("POST", "/products/1/purchase"),
        ("POST", "/products/1/use"),
        ("GET", "/users/999/inventory"),
    ]:
        response = await shop.client.request(method, path, headers=token(sub="999"))
        detail = "There is no such user."
        assert_problem(response, problem(404, "USER_NOT_FOUND", detail, user_id=999))
    assert await shop.world.state() == before


async def test_bug_is_masked(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """What is wrong stands in the log, not in the answer."""
    await shop.world.credit(shop.world.anna, 1_000)
    await shop.world.sql("DROP TABLE inventory")
    rows = 'SELECT count(*) FROM "transaction"'
    before = await shop.world.sql(rows), await shop.services.users.users([1])
    for method, path in [ENDPOINTS[0], ENDPOINTS[1], ENDPOINTS[3]]:
        caplog.clear()
        headers = shop.player(shop.world.anna) | {"X-Request-Id": "order-1"}
        response = await shop.client.request(method, path, headers=headers)
        detail = "Something went wrong on our side."
        assert_problem(response, problem(500, "INTERNAL_ERROR", detail, request_id="order-1"))
        assert response.headers["x-request-id"] == "order-1"
        [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert record.name == "economy.api.rest.errors"
        assert "inventory" in caplog.text
    assert (await shop.world.sql(rows), await shop.services.users.users([1])) == before
    assert (await shop.client.get("/products", headers=shop.server)).status_code == 200


@pytest.fixture
async def stopped_database() -> AsyncIterator[tuple[Shop, PostgresServer]]:
    """A shop whose database server has been stopped; the test may start it again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TEST_DATABASE_URL", raising=False)
        with postgres_server() as server:
            settings = Settings(database_url=server.url)
            database = Database(settings)
            await migrate(database)
            await database.close()
            async with open_shop(settings) as shop:
                await shop.world.credit(shop.world.anna, 1_000)
                assert server.cluster is not None
                servers._stop(server.cluster.process)
                yield shop, server


async def test_database_is_gone(stopped_database: tuple[Shop, PostgresServer]) -> None:
    shop, server = stopped_database
    for method, path in ENDPOINTS:
        headers = shop.server | KEY  # the key itself cannot be looked up
        assert_problem(await shop.client.request(method, path, headers=headers), UNAVAILABLE)
        if not path.endswith("add-funds"):
            headers = shop.player(shop.world.anna)
            assert_problem(await shop.client.request(method, path, headers=headers), UNAVAILABLE)
    assert server.cluster is not None
    server.cluster.start()
    state = await shop.world.state()
    assert state["user"] == [(shop.world.anna.id, 1_000, 1), (shop.world.boris.id, 0, 0)]
    assert [tuple(row) for row in state["transaction"]] == [(1, 1, "top_up", "completed", 1_000)]
    response = await shop.client.post("/products/1/purchase", headers=shop.player(shop.world.anna))
    assert response.json()["user"] == user_of(shop.world.anna, balance=900)


async def test_request_id(shop: Shop) -> None:
    generated = set()
    for method, path, status in [
        ("GET", "/products", 200),
        ("POST", "/products/1/purchase", 422),
        ("GET", "/nothing", 404),
        ("PUT", "/products", 405),
        ("GET", "/health/live", 200),
    ]:
        for id_ in ["a", "A-b_c.9", "x" * 64]:
            headers = shop.server | {"X-Request-Id": id_}
            response = await shop.client.request(method, path, headers=headers)
            assert (response.status_code, response.headers["x-request-id"]) == (status, id_)
        for id_ in ["", "x" * 65, "a b", "a\tb", "é", '"a"', "a,b", "a/b"]:
            given = {b"X-Request-Id": id_.encode()}
            headers_of_key = {key.encode(): value.encode() for key, value in shop.server.items()}
            response = await shop.client.request(method, path, headers=headers_of_key | given)
            assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"])
            generated.add(response.headers["x-request-id"])
        response = await shop.client.request(method, path, headers=shop.server)
        generated.add(response.headers["x-request-id"])
    assert len(generated) == 5 * 9


async def test_a_slash_too_many_is_another_route(client: httpx.AsyncClient) -> None:
    response = await client.get("/products/", headers={"Host": "evil.example"})
    assert response.status_code == 404
    assert "location" not in response.headers
