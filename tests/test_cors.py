"""Web pages of other origins: those of the allow-list may call, the others are told nothing."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import pytest

from economy.settings import Settings
from tests.journal import nothing_changes
from tests.rest import open_shop
from tests.shop import Headers, Shop

GAME, SHOP = "https://game.example", "http://localhost:3000"
ORIGINS = f"{GAME}, {SHOP}"
OTHERS = [
    "https://evil.example",
    "http://game.example",
    "https://game.example:8443",
    "https://game.example.evil.example",
    "https://sub.game.example",
    "https://GAME.example",
    "https://game.example/",
    f"{GAME}, {SHOP}",
    "null",
    "",
    "*",
]
EXPOSED = "ETag, Idempotent-Replayed, RateLimit, RateLimit-Policy"
EXPOSED += ", Retry-After, WWW-Authenticate, X-Request-Id"
SENT = "authorization,content-type,idempotency-key,if-none-match,x-api-key,x-request-id"
PATHS = ["/graphql", "/products/1/purchase", "/users/1/inventory", "/users/1/add-funds"]

Open = Callable[[str], AbstractAsyncContextManager[Shop]]


@pytest.fixture
def open_for(sqlite_url: str) -> Open:
    @asynccontextmanager
    async def open_with(origins: str) -> AsyncIterator[Shop]:
        settings = Settings(database_url=sqlite_url, jobs_in_server=False, cors_origins=origins)
        async with open_shop(settings) as shop:
            yield shop

    return open_with


async def preflight(
    shop: Shop, path: str, origin: str, method: str = "POST", headers: str = SENT
) -> httpx.Response:
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    asked |= {"Access-Control-Request-Headers": headers} if headers else {}
    return await shop.client.options(path, headers=asked)


def names_in(header: str) -> set[str]:
    return {name.strip().lower() for name in header.split(",")}


def cors_headers(response: httpx.Response) -> set[str]:
    return {name for name in response.headers if name.startswith("access-control-allow-origin")}


async def test_an_allowed_origin_may_ask(open_for: Open) -> None:
    async with open_for(ORIGINS) as shop:
        for path in PATHS:
            for origin in (GAME, SHOP):
                for method in ("GET", "POST"):
                    response = await preflight(shop, path, origin, method)
                    assert response.status_code == 200, response.text
                    headers = response.headers
                    assert headers["access-control-allow-origin"] == origin
                    assert names_in(headers["access-control-allow-headers"]) >= names_in(SENT)
                    assert names_in(headers["access-control-allow-methods"]) == {"get", "post"}
                    assert headers["access-control-max-age"] == "600"
                    assert "origin" in names_in(headers["vary"])
                    assert "access-control-allow-credentials" not in headers


async def test_what_else_it_may_not_ask(open_for: Open) -> None:
    async with open_for(ORIGINS) as shop:
        for method in ("PUT", "DELETE", "PATCH"):
            assert (await preflight(shop, "/graphql", GAME, method)).status_code == 400
        response = await preflight(shop, "/graphql", GAME, headers="x-secret")
        assert response.status_code == 400
        assert "x-secret" not in response.headers["access-control-allow-headers"].lower()


async def test_other_origins_may_not_ask(open_for: Open) -> None:
    async with open_for(ORIGINS) as shop:
        for path in PATHS:
            for origin in OTHERS:
                response = await preflight(shop, path, origin)
                assert response.status_code == 400, origin
                assert cors_headers(response) == set()


async def answers(shop: Shop, origin: Headers) -> list[httpx.Response]:
    """A success and a refusal of each transport, a 304, and what no route answers."""
    anna = shop.player(shop.world.anna) | origin
    query = {"query": "{ me { id } }"}
    inventory = await shop.client.get("/users/1/inventory", headers=anna)
    return [
        inventory,
        await shop.client.get(
            "/users/1/inventory", headers=anna | {"If-None-Match": inventory.headers["etag"]}
        ),
        await shop.client.get("/users/2/inventory", headers=anna),
        await shop.client.get("/users/1/inventory", headers=origin),
        await shop.client.post("/products/1/purchase", headers=anna),
        await shop.client.get("/nothing", headers=anna),
        await shop.client.post("/graphql", json=query, headers=anna),
        await shop.client.post("/graphql", json={"query": "{"}, headers=anna),
        await shop.client.post("/graphql", json=[], headers=anna),
        await shop.client.post("/graphql", json=query, headers={"X-Api-Key": "no"} | origin),
    ]


STATUSES = [200, 304, 403, 401, 402, 404, 200, 200, 400, 401]


async def test_an_allowed_origin_reads_every_answer(open_for: Open) -> None:
    """Errors too, or its page could not tell why."""
    async with open_for(ORIGINS) as shop:
        for origin in (GAME, SHOP):
            responses = await answers(shop, {"Origin": origin})
            assert [response.status_code for response in responses] == STATUSES
            for response in responses:
                assert response.headers["access-control-allow-origin"] == origin
                assert response.headers["access-control-expose-headers"] == EXPOSED
                assert "origin" in names_in(response.headers["vary"])
                assert "access-control-allow-credentials" not in response.headers
            assert names_in(responses[6].headers["vary"]) == {"accept", "origin"}
            assert names_in(responses[0].headers["vary"]) == {
                *("authorization", "x-api-key", "origin")
            }


async def test_an_allowed_origin_reads_of_a_bug(open_for: Open) -> None:
    """Its page can show the request's id."""
    async with open_for(ORIGINS) as shop:
        await shop.world.credit(shop.world.anna, 100)
        await shop.world.sql("DROP TABLE inventory")
        response = await shop.client.post(
            "/products/1/purchase", headers=shop.player(shop.world.anna) | {"Origin": GAME}
        )
        assert response.status_code == 500
        assert response.headers["access-control-allow-origin"] == GAME
        assert response.json()["request_id"] == response.headers["x-request-id"]


async def test_other_origins_read_nothing(open_for: Open) -> None:
    """The browser keeps the answer from them; who has no origin is none of its business."""
    async with open_for(ORIGINS) as shop:
        for origin in (*({"Origin": other} for other in OTHERS), {}):
            responses = await answers(shop, origin)
            assert [response.status_code for response in responses] == STATUSES
            for response in responses:
                assert cors_headers(response) == set(), origin


async def test_it_is_off_by_default(open_for: Open) -> None:
    async with open_for("") as shop:
        for origin in (GAME, *OTHERS):
            response = await preflight(shop, "/graphql", origin)
            assert response.status_code == 405
            assert not [name for name in response.headers if name.startswith("access-control")]
        for response in await answers(shop, {"Origin": GAME}):
            assert not [name for name in response.headers if name.startswith("access-control")]


async def test_everybody_never_with_what_a_browser_holds(open_for: Open) -> None:
    """Credentials are headers that a page has to know; cookies would be sent by any page."""
    async with open_for("*") as shop:
        responses = await answers(shop, {"Origin": "https://evil.example", "Cookie": "a=b"})
        responses.append(await preflight(shop, "/graphql", "https://evil.example"))
        assert [response.status_code for response in responses] == [*STATUSES, 200]
        for response in responses:
            assert response.headers["access-control-allow-origin"] == "*"
            assert "access-control-allow-credentials" not in response.headers


async def test_asking_does_nothing(open_for: Open) -> None:
    async with open_for(ORIGINS) as shop:
        await shop.world.credit(shop.world.anna, 1_000)
        async with nothing_changes(shop.world):
            for origin in (GAME, "https://evil.example"):
                await preflight(shop, "/products/1/purchase", origin)
