"""Malformed, huge and malicious requests: each is answered, none is a fault of ours."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from economy.api.body import MAX_BODY_BYTES, MAX_DISCARDED_BYTES
from tests.journal import nothing_changes
from tests.shop import Shop

GRAPHQL = "application/graphql-response+json"
HUGE = "9" * 5_000
TYPENAME = {"data": {"__typename": "Query"}}


def nested(levels: int, inner: str = "1") -> str:
    return "[" * levels + inner + "]" * levels


def bomb(levels: int) -> str:
    """Asks for 2^levels fields in 26 bytes a level."""
    doubled = "".join(f"fragment F{n} on User{{...F{n + 1}...F{n + 1}}}" for n in range(levels))
    return f"{{me{{...F0}}}}{doubled}fragment F{levels} on User{{id}}"


async def post(
    client: httpx.AsyncClient, body: bytes | str, headers: dict[str, str] | None = None
) -> httpx.Response:
    headers = {"Content-Type": "application/json", "Accept": GRAPHQL} | (headers or {})
    content = body if isinstance(body, bytes) else body.encode()
    return await client.post("/graphql", content=content, headers=headers)


def codes_of(response: httpx.Response) -> set[str]:
    return {error["extensions"]["code"] for error in response.json()["errors"]}


BODIES: list[bytes | str] = [
    "",
    " ",
    '"x"',
    "1",
    "null",
    "true",
    "NaN",
    "[]",
    '[{"query": "{ __typename }"}]',
    '[{"query": "{ __typename }"}, {"query": "{ __typename }"}]',
    '["{ __typename }"]',
    "0.5",
    "{",
    "{}",
    '{"query": "{ __typename }"} {}',
    "[" * 60_000,
    '{"a":' * 10_000,
    nested(2_000),
    HUGE,
    f'{{"query": {HUGE}}}',
    b"\xff\xfe",
    b'{"query": "\xff"}',
    b'{"query": "\xed\xa0\x80"}',  # half a character, as UTF-8 would write it
    '{"query": "\\ud800"}',
    '{"query": "{ __typename }", "operationName": "\\udfff"}',
    '{"query": "{ __typename }", "variables": {"\\ud800": 1}}',
    '\ufeff{"query": "{ __typename }"}',
    '{"query": "{ __typename }"}'.encode("utf-16"),
]


async def test_a_body_that_is_no_request(shop: Shop) -> None:
    for body in BODIES:
        response = await post(shop.client, body)
        assert (response.status_code, codes_of(response)) == (400, {"BAD_REQUEST"}), body[:50]
        assert response.headers["content-type"] == f"{GRAPHQL}; charset=utf-8"
        plain = await post(shop.client, body, {"Accept": "application/json"})
        assert (plain.status_code, plain.json()) == (400, response.json()), body[:50]
        assert plain.headers["content-type"] == "application/json; charset=utf-8"


async def test_the_longest_body(shop: Shop) -> None:
    body = json.dumps({"query": "{ __typename }"})
    response = await post(shop.client, body.ljust(MAX_BODY_BYTES))
    assert (response.status_code, response.json()) == (200, TYPENAME)
    for length in (MAX_BODY_BYTES + 1, 20 * MAX_BODY_BYTES):
        response = await post(shop.client, body.ljust(length))
        assert (response.status_code, codes_of(response)) == (413, {"BAD_REQUEST"})


DOCUMENTS = [
    f"{{ products(first: {HUGE}) {{ nodes {{ id }} }} }}",
    f"{{ products(first: {HUGE}.0) {{ nodes {{ id }} }} }}",
    f"{{ products(first: -{HUGE}) {{ nodes {{ id }} }} }}",
    f"query ($n: Int = {HUGE}) {{ products(first: $n) {{ nodes {{ id }} }} }}",
    f"mutation {{ updateProduct(input: {{id: 1, price: {HUGE}}}) {{ __typename }} }}",
    f"mutation {{ updateProduct(input: {{id: 1, price: {2**53}}}) {{ __typename }} }}",
    "mutation { updateProduct(input: {id: 1, price: -1}) { __typename } }",
    "mutation { updateProduct(input: {id: 1, price: 1.0}) { __typename } }",
    'mutation { updateProduct(input: {id: 1, price: "1"}) { __typename } }',
    "mutation { updateProduct(input: {id: 1, price: true}) { __typename } }",
    '{ user(id: "\\uD800") { id } }',
    '{ user(id: "\\u{D800}") { id } }',
    "{ a" * 1_000,
    "{ me " * 300 + "}" * 300,
    "{ __type(name: 1) " + "{ ofType " * 300 + "}" * 300,
    f"{{ user(id: {nested(400)}) {{ id }} }}",
    f"query ($a: {nested(400, 'Int')}) {{ me {{ id }} }}",
    "{ " + " ".join(f"a{n}: me {{ id }}" for n in range(2_000)) + " }",
    "{ " + "a " * 20_000 + "}",
    "{ " + " ".join(f"a{n}: __typename" for n in range(20_000))[:60_000] + " }",
    "{" * 60_000,
    "{ me " + "{ ... " * 300 + "{ id }" + " }" * 300 + " }",
    "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
    "{ ...A } fragment A on Query { ...A __typename @include(if: true) ...A }",
    "{ me { id ...Nothing } }",
    "{ me { ...A } } fragment A on Nothing { id ...B } fragment B on User { nothing }",
    "{ me { ... on Nothing { id } } }",
    "{ me { nothing { first(first: 5) { id } } } }",
    "{ __typename { id } }",
    "{ ...A } fragment A on Amount { id }",
    "{ ...A ...A } fragment A on Query { __typename } fragment A on Query { __typename }",
    "query ($n: Nothing) { products(first: $n) { nodes { id } } }",
    "{ products(first: {a: 1}) { nodes { id } } }",
    "{ products(first: 1, first: 2) { nodes { id } } }",
    "mutation { nothing }",
    bomb(40),
    "#" * 50_000,
    "@" * 50_000,
    '"' * 30_000,
]
VARIABLES: list[tuple[str, str]] = [
    ("Int", HUGE),
    ("Int", "2147483648"),
    ("Int", "1.5"),
    ("Int", "true"),
    ("Int", "1e999"),
    ("Int", nested(500)),
    ("Int", '"1"'),
    ("ID", HUGE),
    ("ID", "1.5"),
    ("ID", "true"),
    ("ID", nested(500)),
    ("Amount", HUGE),
    ("Amount", str(2**53)),
    ("Amount", str(2**64)),
    ("Amount", str(2**70)),
    ("Amount", "-1"),
    ("Amount", "1.0"),
    ("Amount", '"1"'),
    ("Amount", "true"),
    ("Amount", "{}"),
]
USES_OF = {
    "Int": "products(first: $value) { nodes { id } }",
    "ID": "product(id: $value) { id }",
    "Amount": "updateProduct(input: {id: 1, price: $value}) { __typename }",
}


async def test_a_document_that_is_refused(shop: Shop) -> None:
    products = await shop.world.sql("SELECT * FROM product ORDER BY id")
    async with nothing_changes(shop.world):
        for document in DOCUMENTS:
            body = json.dumps({"query": document})
            response = await post(shop.client, body, shop.server)
            assert response.status_code == 400, document[:80]
            assert response.json().keys() == {"errors"}, document[:80]
            assert codes_of(response) == {"GRAPHQL_VALIDATION_FAILED"}, document[:80]
            plain = await post(shop.client, body, shop.server | {"Accept": "application/json"})
            assert (plain.status_code, plain.json()) == (200, response.json()), document[:80]
    assert await shop.world.sql("SELECT * FROM product ORDER BY id") == products


async def test_a_variable_that_is_refused(shop: Shop) -> None:
    """By its type, or before: what JSON cannot hold exactly is no JSON of ours."""
    products = await shop.world.sql("SELECT * FROM product ORDER BY id")
    for type_, value in VARIABLES:
        operation = "mutation" if type_ == "Amount" else "query"
        document = f"{operation} ($value: {type_}!) {{ {USES_OF[type_]} }}"
        body = f'{{"query": {json.dumps(document)}, "variables": {{"value": {value}}}}}'
        response = await post(shop.client, body, shop.server)
        assert response.json().keys() == {"errors"}, value[:80]
        assert response.status_code == 400, value[:80]
        assert codes_of(response) in ({"GRAPHQL_VALIDATION_FAILED"}, {"BAD_REQUEST"}), value[:80]
    assert await shop.world.sql("SELECT * FROM product ORDER BY id") == products


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
    counted = 'economy_http_requests_total{method="POST",route="/graphql",status="400"} 1.0'
    while counted not in (await client.get("/metrics")).text:  # noqa: ASYNC110 - nor has this
        await asyncio.sleep(0.01)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
