"""A request that takes too long is answered; what it asked for is done once and not lost."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from economy.settings import Settings
from tests.graphql_answers import extensions
from tests.journal import journal_of, nothing_changes
from tests.live import live_server
from tests.rest import assert_problem, open_shop, problem
from tests.rival import Rival
from tests.shop import Shop

BUY = """mutation { purchase(input: {productId: 1, idempotencyKey: "order-1"}) {
    ... on PurchaseSuccess { transaction { id } user { balance } item { quantity } replayed } } }"""
TIMEOUT_SECONDS = 1.5
LOCK_TIMEOUT_MS = 60_000


@pytest.fixture
async def shop(postgres_url: str) -> AsyncIterator[Shop]:
    """Its requests end long before its statements would; anna has 300 coins."""
    settings = Settings(
        database_url=postgres_url,
        request_timeout_seconds=TIMEOUT_SECONDS,
        lock_timeout_ms=LOCK_TIMEOUT_MS,
        statement_timeout_ms=LOCK_TIMEOUT_MS,
        jobs_in_server=False,
    )
    async with open_shop(settings) as shop:
        await shop.world.credit(shop.world.anna, 300)
        yield shop


async def buy_over_rest(shop: Shop) -> httpx.Response:
    headers = shop.player(shop.world.anna) | {"Idempotency-Key": "order-1"}
    return await shop.client.post("/products/1/purchase", headers=headers)


async def buy_over_graphql(shop: Shop, accept: str = "application/json") -> httpx.Response:
    headers = shop.player(shop.world.anna) | {"Accept": accept}
    return await shop.client.post("/graphql", json={"query": BUY}, headers=headers)


def assert_unavailable(response: httpx.Response) -> None:
    """Over GraphQL: in either media type, and nothing of the document is answered."""
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.headers["cache-control"] == "no-store"
    body: dict[str, Any] = response.json()
    [error] = body.pop("errors")
    assert body == {}
    assert error["extensions"] == extensions("UNAVAILABLE", retryable=True)


async def answered(shop: Shop, *, by_rest: bool) -> dict[str, Any]:
    """The answer to a retry, which may come too early."""
    while True:
        response = await (buy_over_rest(shop) if by_rest else buy_over_graphql(shop))
        if response.status_code != 503:
            body: dict[str, Any] = response.json()
            return body


async def test_what_timed_out_is_booked_once(shop: Shop, rival: Rival) -> None:
    """Sent three times over both transports while anna is locked: one purchase."""
    async with rival.holding_user(shop.world.anna.id), nothing_changes(shop.world):
        response = await buy_over_rest(shop)
        detail = response.json()["detail"]
        assert_problem(response, problem(503, "UNAVAILABLE", detail, retryable=True))
        await rival.until_waiting()  # the operation itself goes on
        medias = ("application/json", "application/graphql-response+json")
        responses = await asyncio.gather(*(buy_over_graphql(shop, media) for media in medias))
        for response, media in zip(responses, medias, strict=True):
            assert_unavailable(response)
            assert response.headers["content-type"] == f"{media}; charset=utf-8"
        state = await shop.world.state()
        assert [row.kind for row in state["transaction"]] == ["top_up"]
    over_rest = await answered(shop, by_rest=True)
    assert over_rest["replayed"]
    assert (over_rest["user"]["balance"], over_rest["item"]["quantity"]) == (200, 1)
    over_graphql = (await answered(shop, by_rest=False))["data"]["purchase"]
    assert over_graphql == {
        "transaction": {"id": over_rest["transaction"]["id"]},
        "user": {"balance": 200},
        "item": {"quantity": 1},
        "replayed": True,
    }
    rows = await journal_of(shop.services, shop.world.anna)
    assert [(row.kind, row.status, row.balance_after) for row in rows] == [
        ("top_up", "completed", 300),
        ("purchase", "completed", 200),
    ]


async def test_others_are_answered_meanwhile(shop: Shop, rival: Rival) -> None:
    """Also anna herself, for what needs no lock."""
    await shop.world.credit(shop.world.boris, 100)
    boris = shop.player(shop.world.boris)
    async with rival.holding_user(shop.world.anna.id):
        waiting = asyncio.create_task(buy_over_rest(shop))
        await rival.until_waiting()
        bought = await shop.client.post("/products/1/purchase", headers=boris)
        assert (bought.status_code, bought.json()["user"]["balance"]) == (200, 0)
        body = await shop.graphql("{ me { balance } }", shop.player(shop.world.anna))
        assert body == {"data": {"me": {"balance": 300}}}
        assert (await waiting).status_code == 503
    assert (await answered(shop, by_rest=True))["user"]["balance"] == 200


async def send_half(address: str, path: str, key: str) -> tuple[str, dict[str, Any]]:
    """Half of a body and then nothing: head and body of the answer."""
    host, _, port = address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = [f"POST {path} HTTP/1.1", "Host: test", f"X-Api-Key: {key}", "Idempotency-Key: k"]
    lines += ["Content-Type: application/json", "Content-Length: 100", "", '{"amount": 1,']
    writer.write("\r\n".join(lines).encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    [length] = re.findall(r"(?m)^content-length: (\d+)", head)
    body = json.loads(await reader.readexactly(int(length)))
    writer.close()
    return head, body


async def test_a_body_that_does_not_come(sqlite_url: str) -> None:
    """Whoever opens a request and falls silent does not hold it for ever."""
    async with open_shop(Settings(database_url=sqlite_url, jobs_in_server=False)) as shop:
        key = shop.server["X-Api-Key"]
        async with nothing_changes(shop.world):
            with live_server(database_url=sqlite_url, request_timeout_seconds="1") as server:
                paths = ("/graphql", "/products/1/purchase", "/users/1/add-funds")
                answers = [send_half(server.url, path, key) for path in paths]
                for head, body in await asyncio.gather(*answers):
                    assert head.startswith("HTTP/1.1 503 ")
                    assert "\r\nretry-after: 1\r\n" in head
                    codes = [error["extensions"]["code"] for error in body.get("errors", [])]
                    assert [*codes, body.get("code")][0] == "UNAVAILABLE"
