"""Malformed, huge and malicious requests: each is answered, none is a fault of ours."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from economy.api.body import MAX_BODY_BYTES
from tests.journal import nothing_changes
from tests.shop import Shop

HUGE = "9" * 5_000
TYPENAME = {"data": {"__typename": "Query"}}


def nested(levels: int, inner: str = "1") -> str:
    return "[" * levels + inner + "]" * levels


async def post(
    client: httpx.AsyncClient, body: bytes | str, headers: dict[str, str] | None = None
) -> httpx.Response:
    headers = {"Content-Type": "application/json"} | (headers or {})
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
        assert response.headers["content-type"] == "application/json; charset=utf-8"


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
    "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
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
            response = await post(shop.client, json.dumps({"query": document}), shop.server)
            assert response.status_code == 200, document[:80]
            assert response.json().keys() == {"errors"}, document[:80]
            assert codes_of(response) == {"GRAPHQL_VALIDATION_FAILED"}, document[:80]
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
        refused = (response.status_code, codes_of(response))
        assert refused in (
            (200, {"GRAPHQL_VALIDATION_FAILED"}),
            (400, {"BAD_REQUEST"}),
        ), value[:80]
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


def times(number: int, text: str, alias: str = "a") -> str:
    return " ".join(f"{alias}{n}: {text}" for n in range(number))


def bombs() -> list[str]:
    """Short documents, of which each asks for millions of fields."""
    doubled = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(60))
    return [
        f"""{{ {times(20, "products(first: 100) { ...Page }")} }}
            fragment Page on ProductConnection {{ {times(20, "nodes { ...Product }")} }}
            fragment Product on Product {{ {times(100, "id")} }}""",
        f"""query ($n: Int! = 1) {{ {times(10, "products(first: $n) { ...Page }")} }}
            fragment Page on ProductConnection {{ {times(10, "nodes { ...Product }")} }}
            fragment Product on Product {{ {times(100, "id")} }}""",
        f"""{{ {times(20, "products(first: 100) { ...Page }")}
            {times(20, "products(first: -2147483648) { ...Page }", "b")} }}
            fragment Page on ProductConnection {{ {times(20, "nodes { ...Product }")} }}
            fragment Product on Product {{ {times(100, "id")} }}""",
        f"""{{ {times(40, "me { ...User }")} }}
            fragment User on User {{ {times(40, "inventory { ...Item }")} }}
            fragment Item on InventoryItem {{ {times(40, "product { id }")} }}""",
        f"""{{ __schema {{ types {{ {times(20, "fields { ...Field }")} }} }} }}
            fragment Field on __Field {{ {times(20, "type { ...Type }")} }}
            fragment Type on __Type {{ {times(50, "name")} }}""",
        f"{{ ...F0 }} {doubled} fragment F60 on Query {{ me {{ id }} }}",
    ]


async def test_a_document_that_asks_for_too_much(shop: Shop) -> None:
    for document in bombs():
        assert await shop.graphql(document, shop.server) == {
            "errors": [
                {
                    "message": "The document asks for more than 50000 fields.",
                    "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"},
                }
            ]
        }, document


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
