"""GraphQL in front of FastAPI: one application in ids, metrics, origins and masked bugs."""

import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from economy.settings import Settings
from tests.cache_source import figures
from tests.rest import open_shop
from tests.shop import Headers, Shop

GAME = "https://game.example"
JSON, GRAPHQL, HTML = "application/json", "application/graphql-response+json", "text/html"
COUNTED = re.compile(
    r'economy_http_requests_total\{method="(\w+)",operation="\w+",route="(.+)",status="(\d+)"\}'
)


@pytest.fixture
async def shop(sqlite_url: str) -> AsyncIterator[Shop]:
    settings = Settings(database_url=sqlite_url, jobs_in_server=False, cors_origins=GAME)
    async with open_shop(settings) as shop:
        yield shop


async def counted(shop: Shop) -> Counter[tuple[str, str, int]]:
    """How many requests there were of each method, route and status; not this one."""
    found = Counter[tuple[str, str, int]]()
    for name, value in figures((await shop.client.get("/metrics")).text).items():
        match = COUNTED.fullmatch(name)
        if match is not None and match[2] != "/metrics":
            found[match[1], match[2], int(match[3])] += int(value)
    return found


async def one_of_each(shop: Shop, headers: Headers) -> list[httpx.Response]:
    """Every kind of answer that there is, in the order of KINDS."""
    client, anna = shop.client, shop.player(shop.world.anna) | headers
    query = {"query": "{ me { id } }"}

    async def post(content: Any, **changes: str) -> httpx.Response:
        return await client.post("/graphql", content=json.dumps(content), headers=anna | changes)

    typed = {"Content-Type": JSON}
    anonymous = headers | typed | {"Authorization": "Bearer nonsense"}
    return [
        await post(query, **typed),
        await client.get("/graphql", params=query, headers=anna),
        await post({"query": "{"}, Accept=GRAPHQL, **typed),
        await post([], **typed),
        await post(query, Accept="image/png", **typed),
        await post(query),
        await client.post("/graphql", json=query, headers=anonymous),
        await client.get("/graphql", headers=headers | {"Accept": HTML}),
        await client.put("/graphql", headers=anna),
        await client.head("/graphql", headers=anna),
        await client.options("/graphql", headers=anna),
        await client.get("/products", headers=anna),
        await client.get("/users/2/inventory", headers=anna),
        await client.get("/products?first=0", headers=anna),
        await client.get("/nowhere", headers=anna),
        await client.get("/graphql/nowhere", headers=anna),
        await client.get("/graphql/", headers=anna),
        await client.delete("/products", headers=anna),
        await client.get("/health/live", headers=headers),
        await client.get("/graphql/assets/page.js", headers=headers),
    ]


KINDS = [200, 200, 400, 400, 406, 415, 401, 200, 405, 405, 405]
KINDS += [200, 403, 422, 404, 404, 404, 405, 200, 200]


async def test_each_answer_has_one_id(shop: Shop) -> None:
    """Its own, or that which came with the request."""
    for given in (None, "order-1"):
        headers = {} if given is None else {"X-Request-Id": given}
        responses = await one_of_each(shop, headers)
        assert [response.status_code for response in responses] == KINDS
        ids = [response.headers.get_list("x-request-id") for response in responses]
        assert [len(one) for one in ids] == len(KINDS) * [1]
        told = {one for [one] in ids}
        if given is None:
            assert len(told) == len(KINDS)
            assert all(re.fullmatch("[0-9a-f]{32}", one) for one in told)
        else:
            assert told == {given}


async def test_each_request_is_counted_once(shop: Shop) -> None:
    assert await counted(shop) == {}
    await one_of_each(shop, {})
    of_graphql = {
        ("POST", 200): 1,
        ("GET", 200): 2,
        ("POST", 400): 2,
        ("POST", 406): 1,
        ("POST", 415): 1,
        ("POST", 401): 1,
        ("PUT", 405): 1,
        ("HEAD", 405): 1,
        ("OPTIONS", 405): 1,
    }
    found = await counted(shop)
    assert {
        (method, status): number
        for (method, route, status), number in found.items()
        if route == "/graphql"
    } == of_graphql
    assert sum(found.values()) == len(KINDS)
    times = figures((await shop.client.get("/metrics")).text)
    assert (
        sum(
            value
            for name, value in times.items()
            if name.startswith("economy_http_request_seconds_count{")
            and name.endswith(',route="/graphql"}')
        )
        == 11
    )


async def test_methods_that_do_nothing(shop: Shop) -> None:
    """Also from an origin that may ask; a preflight is answered for it, and runs nothing."""
    for origin in ({}, {"Origin": GAME}):
        for method in ("HEAD", "OPTIONS"):
            response = await shop.client.request(method, "/graphql", headers=origin)
            assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")
            assert response.headers.get("access-control-allow-origin") == origin.get("Origin")
            assert "accept" in response.headers["vary"].lower()
    before = await counted(shop)
    asked = {"Origin": GAME, "Access-Control-Request-Method": "POST"}
    response = await shop.client.options("/graphql", headers=asked)
    assert (response.status_code, response.text) == (200, "OK")
    assert response.headers["access-control-allow-origin"] == GAME
    assert await counted(shop) == before


async def test_answers_to_an_allowed_origin(shop: Shop) -> None:
    """They may be read, their ids and limits, too; caches keep those of origins apart."""
    for response in await one_of_each(shop, {"Origin": GAME}):
        headers = response.headers
        assert headers.get_list("access-control-allow-origin") == [GAME], response.url
        assert "x-request-id" in headers["access-control-expose-headers"].lower()
        assert "origin" in headers["vary"].lower()
    for response in await one_of_each(shop, {"Origin": "https://evil.example"}):
        assert "access-control-allow-origin" not in response.headers


async def assert_masked(response: httpx.Response, logged: str) -> None:
    assert response.status_code == 500
    [id_] = response.headers.get_list("x-request-id")
    assert response.headers.get_list("access-control-allow-origin") == [GAME]
    assert id_ in response.text
    assert "Something went wrong on our side." in response.text
    assert logged not in response.text


async def test_bugs_are_masked_on_both_sides(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """With one id, which the log has, and counted as what they are."""
    await shop.world.sql("ALTER TABLE server_key RENAME TO lost_key")
    origin = shop.server | {"Origin": GAME}
    query = {"query": "{ __typename }"}
    for accept in (JSON, GRAPHQL):
        response = await shop.client.post(
            "/graphql", json=query, headers=origin | {"Accept": accept}
        )
        assert response.headers["content-type"] == f"{accept}; charset=utf-8"
        await assert_masked(response, "server_key")
        assert "lost_key" not in response.text
        assert response.json().keys() == {"errors"}
    await assert_masked(await shop.client.get("/products", headers=origin), "server_key")
    assert caplog.text.count("no such table: server_key") >= 3
    found = await counted(shop)
    assert {(route, status): number for (_, route, status), number in found.items()} == {
        ("/graphql", 500): 2,
        ("/products", 500): 1,
    }


async def test_a_bug_of_the_page_is_masked(shop: Shop) -> None:
    """Its demo player is looked for in the database."""
    await shop.world.sql("ALTER TABLE claim RENAME TO lost_claim")
    headers = {"Accept": HTML, "Origin": GAME}
    await assert_masked(await shop.client.get("/graphql", headers=headers), "claim")
