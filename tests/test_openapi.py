"""The OpenAPI document, walked from end to end: complete, true to the code, without loose ends."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, ValidationError

from economy.api.rest.errors import CODES, STATUS, Problem
from economy.api.rest.inventory import UseBody
from economy.api.rest.purchase import PurchaseBody
from economy.api.rest.wallet import AddFundsBody
from economy.app import create_app
from economy.errors import InvalidInput
from economy.services.bounds import check_reference
from economy.settings import Settings

Json = dict[str, Any]

ALWAYS = {401: {"UNAUTHENTICATED"}, 429: {"RATE_LIMITED"}, 503: {"UNAVAILABLE"}}
UNREADABLE = {413: {"CONTENT_TOO_LARGE"}, 415: {"UNSUPPORTED_MEDIA_TYPE"}}
KEYED = UNREADABLE | {
    400: {"MALFORMED_JSON", "IDEMPOTENCY_KEY_MISSING"},
    401: {"UNAUTHENTICATED"},
    403: {"FORBIDDEN"},
    422: {"INVALID_INPUT", "IDEMPOTENCY_KEY_REUSED"},
    429: {"RATE_LIMITED"},
    503: {"UNAVAILABLE", "CONFLICT"},
}
# What each endpoint may answer besides 200: status -> codes.
ERRORS: dict[tuple[str, str], dict[int, set[str]]] = {
    ("post", "/products/{product_id}/purchase"): KEYED
    | {
        402: {"INSUFFICIENT_FUNDS"},
        404: {"USER_NOT_FOUND", "PRODUCT_NOT_FOUND"},
        409: {"ALREADY_OWNED", "PRODUCT_UNAVAILABLE", "HOLDING_LIMIT", "PRICE_CHANGED"},
    },
    ("post", "/products/{product_id}/use"): KEYED
    | {
        404: {"USER_NOT_FOUND", "PRODUCT_NOT_FOUND"},
        409: {"PRODUCT_NOT_CONSUMABLE", "NOT_ENOUGH_ITEMS"},
    },
    ("post", "/users/{user_id}/add-funds"): KEYED
    | {404: {"USER_NOT_FOUND"}, 409: {"ALREADY_TAKEN", "BALANCE_LIMIT"}},
    ("get", "/users/{user_id}/inventory"): ALWAYS
    | {403: {"FORBIDDEN"}, 404: {"USER_NOT_FOUND"}, 422: {"INVALID_INPUT"}},
    ("get", "/products"): ALWAYS | {422: {"INVALID_INPUT"}},
    ("get", "/analytics/popular-products"): ALWAYS | {422: {"INVALID_INPUT"}},
}
HEALTH = {("get", "/health/live"), ("get", "/health/ready"), ("get", "/metrics")}
BODIES: dict[tuple[str, str], type[BaseModel]] = {
    ("post", "/products/{product_id}/purchase"): PurchaseBody,
    ("post", "/products/{product_id}/use"): UseBody,
    ("post", "/users/{user_id}/add-funds"): AddFundsBody,
}
every_endpoint = pytest.mark.parametrize("endpoint", ERRORS, ids=" ".join)


@pytest.fixture
def document() -> Json:
    return create_app(Settings(max_top_up_amount=1_000_000)).openapi()


def operation_of(document: Json, endpoint: tuple[str, str]) -> Json:
    method, path = endpoint
    operation: Json = document["paths"][path][method]
    return operation


def objects(node: Any) -> Iterator[Json]:
    """Every object in the document."""
    if isinstance(node, dict):
        yield node
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        yield from objects(child)


def test_endpoints(document: Json) -> None:
    """REST and health; GraphQL has a schema of its own."""
    operations = {
        (method, path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert set(operations) == set(ERRORS) | HEALTH
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["title"] == "Economy"
    for operation in operations.values():
        assert operation["summary"]
        assert len(operation["tags"]) == 1
    names = [operation["operationId"] for operation in operations.values()]
    assert len(set(names)) == len(names)


def test_references_lead_somewhere(document: Json) -> None:
    schemas = document["components"]["schemas"]
    referred = {node["$ref"] for node in objects(document) if isinstance(node.get("$ref"), str)}
    assert referred == {f"#/components/schemas/{name}" for name in schemas}
    assert not {"HTTPValidationError", "ValidationError"} & set(schemas)


@every_endpoint
def test_errors(document: Json, endpoint: tuple[str, str]) -> None:
    """Each status and code that the endpoint may answer, with an example of the whole body."""
    responses = dict(operation_of(document, endpoint)["responses"])
    assert list(responses.pop("200")["content"]) == ["application/json"]
    not_modified = responses.pop("304", None)
    assert (not_modified is not None) == (endpoint[0] == "get")
    assert not_modified is None or "content" not in not_modified
    known = {code.value: status for code, status in STATUS.items()}
    known |= {code: status for status, code in CODES.items()}
    found: dict[int, set[str]] = {}
    for status, response in responses.items():
        assert response["description"]
        [(media_type, content)] = response["content"].items()
        assert media_type == "application/problem+json"
        assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
        for code, example in content["examples"].items():
            problem = Problem.model_validate(example["value"])
            assert (problem.code, problem.status) == (code, int(status))
            assert (problem.type, known[code]) == (f"urn:economy:error:{code}", int(status))
            assert (problem.errors is not None) == (code == "INVALID_INPUT")
        found[int(status)] = set(content["examples"])
    assert found == ERRORS[endpoint]


@every_endpoint
def test_wrong_fields_are_ones_of_the_endpoint(document: Json, endpoint: tuple[str, str]) -> None:
    operation = operation_of(document, endpoint)
    examples = operation["responses"]["422"]["content"]["application/problem+json"]["examples"]
    [error] = examples["INVALID_INPUT"]["value"]["errors"]
    if endpoint in BODIES:
        assert error["pointer"].removeprefix("#/") in BODIES[endpoint].model_fields
    else:
        assert error["pointer"] in {
            parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "query"
        }


def test_credentials(document: Json) -> None:
    assert document["components"]["securitySchemes"] == {
        "player": {"type": "http", "description": "A player's token.", "scheme": "bearer"},
        "server": {
            "type": "apiKey",
            "description": "A game server's key.",
            "in": "header",
            "name": "X-Api-Key",
        },
    }
    for endpoint in ERRORS:
        assert operation_of(document, endpoint)["security"] == [{"player": []}, {"server": []}]
    for endpoint in HEALTH:
        assert "security" not in operation_of(document, endpoint)


@pytest.mark.parametrize("endpoint", BODIES, ids=" ".join)
def test_request_bodies(document: Json, endpoint: tuple[str, str]) -> None:
    """Each example is one that is accepted."""
    body = operation_of(document, endpoint)["requestBody"]
    assert body.get("required", False) == endpoint[1].endswith("add-funds")
    assert list(body["content"]) == ["application/json"]
    examples = body["content"]["application/json"]["examples"]
    assert examples
    for example in examples.values():
        BODIES[endpoint].model_validate(example["value"])


@every_endpoint
def test_parameters(document: Json, endpoint: tuple[str, str]) -> None:
    parameters = operation_of(document, endpoint).get("parameters", [])
    in_path = {one["name"] for one in parameters if one["in"] == "path"}
    assert in_path == set(re.findall(r"\{(\w+)\}", endpoint[1]))
    headers = [one for one in parameters if one["in"] == "header"]
    assert [one["name"] for one in headers] == ["Idempotency-Key"] * (endpoint in BODIES)
    for header in headers:
        assert header["required"] == endpoint[1].endswith("add-funds")
        for key in header["schema"]["examples"]:
            assert re.search(header["schema"]["pattern"], key)
    assert all(one["description"] for one in parameters if one["in"] != "path")


async def test_pages() -> None:
    """The document as it is served, and the pages that show it; none needs a credential."""
    app = create_app(Settings())
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://test"
    ) as client:
        served = await client.get("/openapi.json")
        assert (served.status_code, served.json()) == (200, app.openapi())
        for path, script in (("/docs", "swagger.js"), ("/redoc", "redoc.js")):
            page = await client.get(path)
            assert page.status_code == 200
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            assert f'src="docs/assets/{script}"' in page.text
            assert '"openapi.json"' in (await client.get(f"/docs/assets/{script}")).text


def test_pattern_of_a_reference(document: Json) -> None:
    """What it lets through is accepted, and what it stops is refused."""
    properties = document["components"]["schemas"]["AddFundsBody"]["properties"]
    pattern = properties["external_reference"]["anyOf"][0]["pattern"]
    for text in [
        "a",
        " a ",
        "payment ☕ 77",
        "",
        " ",
        "\xa0",
        "a\nb",
        "a\n",
        "\x00",
        "\x7f",
        "\x9f",
    ]:
        is_accepted = True
        try:
            AddFundsBody(amount=1, external_reference=text)
            check_reference(text)
        except (ValidationError, InvalidInput):
            is_accepted = False
        assert bool(re.fullmatch(pattern, text)) == is_accepted, repr(text)
