"""GraphQL over HTTP: methods, media types, statuses, and which operation of a document runs."""

import json
from typing import Any

import httpx

from tests.journal import nothing_changes
from tests.shop import Shop

JSON, GRAPHQL = "application/json", "application/graphql-response+json"
HTML = "text/html"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"
URQL = f"{GRAPHQL}, application/graphql+json, {JSON}, text/event-stream, multipart/mixed"
TYPENAME = {"data": {"__typename": "Query"}}
BUY = 'mutation { purchase(input: {productId: 1, idempotencyKey: "k"}) { __typename } }'


async def send(shop: Shop, method: str, accept: str | None, **arguments: Any) -> httpx.Response:
    """With that Accept header, or without any."""
    request = shop.client.build_request(method, "/graphql", **arguments)
    del request.headers["accept"]
    if accept is not None:
        request.headers["accept"] = accept
    response = await shop.client.send(request)
    assert response.headers["vary"] == "Accept"
    assert response.headers["cache-control"] == "no-store"
    return response


def media_of(response: httpx.Response) -> str:
    media, _, charset = response.headers["content-type"].partition("; ")
    assert charset == "charset=utf-8"
    return str(media)


def code_of(response: httpx.Response) -> str:
    """Of an answer that is one error and nothing else."""
    body = response.json()
    assert body.keys() == {"errors"}, body
    [error] = body["errors"]
    return str(error["extensions"]["code"])


ACCEPTED = [
    (None, JSON),
    ("", JSON),
    ("*/*", JSON),
    ("application/*", JSON),
    (JSON, JSON),
    ("Application/JSON; charset=utf-8", JSON),
    (f"{JSON}; q=1.0", JSON),
    (GRAPHQL, GRAPHQL),
    (f"{GRAPHQL}, {JSON}", GRAPHQL),
    (f"{JSON}, {GRAPHQL}", GRAPHQL),
    (f"{GRAPHQL};q=0.8, {JSON};q=0.9", JSON),
    (f"{GRAPHQL};q=0.9, {JSON};q=0.8", GRAPHQL),
    (f"{GRAPHQL};q=0.9, */*", JSON),
    (f"{GRAPHQL};q=0, */*", JSON),
    (f"{JSON};q=0, */*", GRAPHQL),
    (f"{JSON};q=0, {GRAPHQL};q=0.001", GRAPHQL),
    (URQL, GRAPHQL),
    (f"multipart/mixed;deferSpec=20220824, {JSON}", JSON),
    ("text/plain, */*;q=0.1", JSON),
    (f"{JSON};q=nonsense, {GRAPHQL}", GRAPHQL),
]


async def test_the_media_type_of_an_answer(shop: Shop) -> None:
    for accept, media in ACCEPTED:
        for method, arguments in (
            ("POST", {"json": {"query": "{ __typename }"}}),
            ("GET", {"params": {"query": "{ __typename }"}}),
        ):
            response = await send(shop, method, accept, **arguments)
            assert (response.status_code, media_of(response)) == (200, media), accept
            assert response.json() == TYPENAME


async def test_an_answer_that_nobody_accepts(shop: Shop) -> None:
    headers = shop.player(shop.world.anna)
    async with nothing_changes(shop.world):
        nothing = f"{JSON};q=0, {GRAPHQL};q=0"
        for accept in ("text/event-stream", "image/*", f"{JSON};q=0", nothing, HTML):
            response = await send(shop, "POST", accept, json={"query": BUY}, headers=headers)
            assert (response.status_code, media_of(response)) == (406, JSON), accept
            assert code_of(response) == "BAD_REQUEST"


async def test_accept_in_several_lines(shop: Shop) -> None:
    headers = [("Accept", "text/html;q=0.1"), ("Accept", GRAPHQL)]
    response = await shop.client.get(
        "/graphql", params={"query": "{ __typename }"}, headers=headers
    )
    assert (response.status_code, media_of(response)) == (200, GRAPHQL)


async def test_a_browser_gets_graphiql(shop: Shop) -> None:
    for accept in (HTML, BROWSER, f"{HTML}, {JSON};q=0.9"):
        for params in ({}, {"query": "{ __typename }"}):
            response = await send(shop, "GET", accept, params=params)
            assert (response.status_code, media_of(response)) == (200, HTML), accept
    response = await send(shop, "GET", f"{JSON}, {HTML};q=0.9", params={"query": "{__typename}"})
    assert response.json() == TYPENAME


async def test_other_methods(shop: Shop) -> None:
    headers = shop.player(shop.world.anna) | {"Content-Type": JSON}
    content = json.dumps({"query": BUY})
    async with nothing_changes(shop.world):
        for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"):
            response = await send(shop, method, GRAPHQL, content=content, headers=headers)
            assert (response.status_code, response.headers["allow"]) == (405, "GET, POST"), method
            assert media_of(response) == GRAPHQL
            assert method == "HEAD" or code_of(response) == "BAD_REQUEST"


OTHER_MEDIA = [
    "",
    "text/plain",
    "application/graphql",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/json-patch+json",
    "application/json; charset=latin-1",
    "application/json; charset=utf-16",
]


async def test_the_media_type_of_a_body(shop: Shop) -> None:
    """In others not even JSON is read: a form on another site can send those without asking."""
    headers = shop.player(shop.world.anna)
    content = json.dumps({"query": BUY})
    async with nothing_changes(shop.world):
        response = await send(shop, "POST", JSON, content=content, headers=headers)
        assert (response.status_code, code_of(response)) == (415, "BAD_REQUEST")
        for media in OTHER_MEDIA:
            typed = headers | {"Content-Type": media}
            response = await send(shop, "POST", JSON, content=content, headers=typed)
            assert (response.status_code, code_of(response)) == (415, "BAD_REQUEST"), media
    content = json.dumps({"query": "{ __typename }"})
    for media in (JSON, "Application/Json", f"{JSON};charset=UTF-8", f'{JSON}; charset="utf8"'):
        typed = {"Content-Type": media}
        response = await send(shop, "POST", JSON, content=content, headers=typed)
        assert (response.status_code, response.json()) == (200, TYPENAME), media


INVALID_DOCUMENTS: list[dict[str, Any]] = [
    {"query": "{"},
    {"query": " "},
    {"query": "{ nothing }"},
    {"query": "{ me }"},
    {"query": "{ user { id } }"},
    {"query": "{ products(type: NOTHING) { nodes { id } } }"},
    {"query": "{ me { ...F } } fragment F on User { ...F }"},
    {"query": "type A { b: Int }"},
    {"query": "subscription { me { id } }"},
    {"query": "query ($id: ID!) { product(id: $id) { id } }"},
    {"query": "query ($id: ID!) { product(id: $id) { id } }", "variables": {"id": None}},
    {"query": "query ($n: Int!) { products(first: $n) { nodes { id } } }", "variables": {"n": "1"}},
    {"query": "query A { __typename } query B { __typename }"},
    {"query": "query A { __typename }", "operationName": "B"},
    {"query": "{ __typename }", "operationName": "A"},
    {"query": "fragment F on User { id }"},
]


async def test_a_document_that_cannot_run(shop: Shop) -> None:
    """Nothing of it runs. Clients of plain JSON look for that in the body, not in the status."""
    headers = shop.player(shop.world.anna)
    for values in INVALID_DOCUMENTS:
        for accept, status in ((JSON, 200), ("*/*", 200), (GRAPHQL, 400)):
            response = await send(shop, "POST", accept, json=values, headers=headers)
            assert response.status_code == status, values
            assert code_of(response) == "GRAPHQL_VALIDATION_FAILED"


async def test_fields_that_fail_are_no_matter_of_the_status(shop: Shop) -> None:
    for accept in (JSON, GRAPHQL):
        response = await send(shop, "POST", accept, json={"query": "{ me { id } __typename }"})
        assert response.status_code == 200
        body = response.json()
        assert body["data"] == {"me": None, "__typename": "Query"}
        [error] = body["errors"]
        assert error == {
            "message": "This needs a credential: a player token or a server key.",
            "locations": [{"line": 1, "column": 3}],
            "path": ["me"],
            "extensions": {"code": "UNAUTHENTICATED", "retryable": False},
        }


TWO = """query One { me { username } } query Two($id: ID = 2) { product(id: $id) { price } }
    mutation Three { purchase(input: {productId: 1, idempotencyKey: "k"}) { __typename } }"""


async def test_the_named_operation_runs(shop: Shop) -> None:
    headers = shop.player(shop.world.anna)
    one = {"data": {"me": {"username": "anna"}}}
    two = {"data": {"product": {"price": 500}}}
    for name, variables, expected in (
        ("One", {}, one),
        ("Two", {}, two),
        ("Two", {"id": "1"}, {"data": {"product": {"price": 100}}}),
        ("Two", {"id": 1, "other": [None]}, {"data": {"product": {"price": 100}}}),
    ):
        values = {"query": TWO, "operationName": name, "variables": variables, "other": 1}
        response = await send(shop, "POST", JSON, json=values, headers=headers)
        assert response.json() == expected
        params = {"query": TWO, "operationName": name, "variables": json.dumps(variables)}
        response = await send(shop, "GET", JSON, params=params, headers=headers)
        assert (response.status_code, response.json()) == (200, expected)


async def test_only_queries_by_get(shop: Shop) -> None:
    headers = shop.player(shop.world.anna)
    async with nothing_changes(shop.world):
        for params in ({"query": BUY}, {"query": TWO, "operationName": "Three"}):
            response = await send(shop, "GET", GRAPHQL, params=params, headers=headers)
            assert (response.status_code, response.headers["allow"]) == (405, "POST")
            assert code_of(response) == "BAD_REQUEST"


PARAMETERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"operationName": None}, {"operationName": 1}),
    ({"operationName": ""}, {"operationName": ["A"]}),
    ({"variables": None}, {"variables": "{}"}),
    ({"variables": {}}, {"variables": []}),
    ({"extensions": None}, {"extensions": 1}),
    ({"extensions": {"a": 1}}, {"extensions": []}),
    ({}, {"query": None}),
    ({}, {"query": ""}),
    ({}, {"query": ["{ __typename }"]}),
]


async def test_parameters(shop: Shop) -> None:
    query = {"query": "{ __typename }"}
    for right, wrong in PARAMETERS:
        for accept in (JSON, GRAPHQL):
            response = await send(shop, "POST", accept, json=query | right)
            assert (response.status_code, response.json()) == (200, TYPENAME), right
            response = await send(shop, "POST", accept, json=query | wrong)
            assert (response.status_code, code_of(response)) == (400, "BAD_REQUEST"), wrong


async def test_parameters_by_get(shop: Shop) -> None:
    query = {"query": "{ __typename }"}
    for params in (
        {},
        {"query": ""},
        query | {"variables": "{"},
        query | {"variables": "[]"},
        query | {"variables": "1"},
        query | {"extensions": '"x"'},
    ):
        for accept in (JSON, GRAPHQL):
            response = await send(shop, "GET", accept, params=params)
            assert (response.status_code, code_of(response)) == (400, "BAD_REQUEST"), params
