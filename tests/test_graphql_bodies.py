"""Requests of every size, whole and cut off: each is answered, none is a fault of ours."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from economy.api.body import MAX_BODY_BYTES, MAX_DISCARDED_BYTES
from tests.shop import Shop

GRAPHQL = "application/graphql-response+json"
HUGE = "9" * 5_000
TYPENAME = {"data": {"__typename": "Query"}}


async def post(client: httpx.AsyncClient, body: str) -> httpx.Response:
    headers = {"Content-Type": "application/json", "Accept": GRAPHQL}
    return await client.post("/graphql", content=body, headers=headers)


def codes_of(response: httpx.Response) -> set[str]:
    return {error["extensions"]["code"] for error in response.json()["errors"]}


async def test_the_longest_body(shop: Shop) -> None:
    body = json.dumps({"query": "{ __typename }"})
    response = await post(shop.client, body.ljust(MAX_BODY_BYTES))
    assert (response.status_code, response.json()) == (200, TYPENAME)
    for length in (MAX_BODY_BYTES + 1, 20 * MAX_BODY_BYTES):
        response = await post(shop.client, body.ljust(length))
        assert (response.status_code, codes_of(response)) == (413, {"BAD_REQUEST"})


async def test_a_default_does_not_stand_in_for_null(shop: Shop) -> None:
    """Such a variable fits by its type, and is found out only when its field is due."""
    body = await shop.graphql(
        "query ($n: Int = 5) { products(first: $n) { nodes { id } } me { id } }",
        shop.server,
        n=None,
    )
    assert body["data"] == {"products": None, "me": None}
    [error] = body["errors"]
    assert (error["path"], error["extensions"]) == (
        ["products"],
        {"code": "GRAPHQL_VALIDATION_FAILED"},
    )


async def test_an_id_of_five_thousand_digits(shop: Shop) -> None:
    """An id is any text: that nobody has it is no error."""
    for id_ in (HUGE, f'"{HUGE}"', f"-{HUGE}", f'"{"☕" * 10_000}"'):
        document = f"{{ user(id: {id_}) {{ id }} product(id: {id_}) {{ id }} }}"
        body = await shop.graphql(document, shop.server)
        assert body == {"data": {"user": None, "product": None}}


@pytest.fixture
async def address(app: FastAPI) -> AsyncIterator[tuple[str, int]]:
    """The application behind a real server on a real socket."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_config=None))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - it has no event to wait for
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[:2]
    server.should_exit = True
    await serving


async def answer(address: tuple[str, int], *parts: bytes) -> tuple[int, dict[str, Any]]:
    """Status and body of the answer to these bytes; the server closes after it."""
    reader, writer = await asyncio.open_connection(*address)
    for part in parts:
        writer.write(part)
        await writer.drain()
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), json.loads(body)


def head(length: int) -> bytes:
    lines = ["POST /graphql HTTP/1.1", "Host: test", "Connection: close"]
    lines += ["Content-Type: application/json", f"Content-Length: {length}", "", ""]
    return "\r\n".join(lines).encode()


async def test_over_a_real_socket(address: tuple[str, int]) -> None:
    """A client that is still sending gets its answer, too."""
    body = json.dumps({"query": "{ __typename }"}).encode()
    assert await answer(address, head(len(body)), body[:10], body[10:]) == (200, TYPENAME)
    for length in (MAX_BODY_BYTES + 1, 10 * MAX_BODY_BYTES):
        status, refused = await answer(address, head(length), body.ljust(length))
        assert (status, refused["errors"][0]["extensions"]) == (413, {"code": "BAD_REQUEST"})


async def test_a_body_without_end(address: tuple[str, int]) -> None:
    """It is read for a while, so that the answer arrives, and then cut."""
    _, writer = await asyncio.open_connection(*address)
    writer.write(head(2**40))
    chunk, sent = b"x" * 2**14, 0
    while True:
        try:
            writer.write(chunk)
            await writer.drain()
        except ConnectionError:
            break
        sent += len(chunk)
        assert sent < 2**28  # what is on its way fits into the sockets' buffers
    writer.close()
    assert sent > MAX_DISCARDED_BYTES


async def test_a_client_that_leaves_is_no_fault_of_ours(
    address: tuple[str, int], client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_connection(*address)
    writer.write(head(100) + b'{"query":')
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    labels = 'method="POST",operation="graphql",route="/graphql",status="400"'
    counted = f"economy_http_requests_total{{{labels}}} 1.0"
    while counted not in (await client.get("/metrics")).text:  # noqa: ASYNC110 - nor has this
        await asyncio.sleep(0.01)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
