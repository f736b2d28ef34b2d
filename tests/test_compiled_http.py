"""Over HTTP: a document that comes again answers the same bytes; which are compiled, how many."""

import gc
import hashlib
import json
import weakref
from pathlib import Path
from typing import Any

import httpx
import pytest
from graphql import get_introspection_query, get_operation_ast

from economy.api.graphql.compiled import CompiledOperation
from economy.api.graphql.documents import (
    MOST_COMPILED_FIELDS,
    MOST_COMPILED_FIELDS_OF_ALL,
    MOST_DOCUMENTS,
    Documents,
)
from economy.api.graphql.schema import build_schema
from economy.settings import PersistedOperationsMode, Settings
from tests.rest import open_shop
from tests.shop import Headers, Shop

GRAPHQL = {"Accept": "application/graphql-response+json", "X-Request-Id": "the-same"}
VALUES = """query V($id: ID!, $n: Int! = 5) {
    product(id: $id) { name } products(first: $n) { nodes { id } } }"""
TWO = "query One { me { username } } query Two($id: ID = 2) { product(id: $id) { price } }"
BUY = """mutation B($key: String!) { purchase(input: {productId: 1, idempotencyKey: $key}) {
    __typename ... on EconomyError { code }
    ... on PurchaseSuccess { replayed user { balance } } } }"""
REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("player", {"query": "{ me { username balance } }"}),
    ("nobody", {"query": "{ me { username balance } }"}),
    ("wrong", {"query": "{ me { username balance } }"}),
    ("player", {"query": "{ inventory(userId: 2) { id } user(id: 2) { id } __typename }"}),
    ("server", {"query": "{ products(first: 0) { nodes { id } } product(id: 1) { id } }"}),
    ("server", {"query": VALUES, "variables": {"id": 1}}),
    ("server", {"query": VALUES, "variables": {"id": 1, "n": None, "more": 1}}),
    ("server", {"query": VALUES, "variables": {"id": True, "n": "x"}}),
    ("server", {"query": VALUES, "variables": {}}),
    ("server", {"query": VALUES}),
    ("player", {"query": TWO, "operationName": "One"}),
    ("player", {"query": TWO, "operationName": "Two"}),
    ("player", {"query": TWO, "operationName": "Three"}),
    ("player", {"query": TWO}),
    ("server", {"query": "query ($t: ProductType) { products(type: $t) { nodes { id } } }"}),
    ("player", {"query": BUY, "variables": {"key": "x y"}}),
    ("player", {"query": BUY, "variables": {"key": "replayed"}}),
    ("player", {"query": BUY, "variables": {"key": None}}),
    ("server", {"query": get_introspection_query()}),
    ("server", {"query": '{ __type(name: "User") { fields { name type { name } } } }'}),
]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[CompiledOperation]:
    """The plans that were, each time."""
    plans, execute = [], CompiledOperation.execute

    def noting(self: CompiledOperation, *arguments: Any) -> Any:
        plans.append(self)
        return execute(self, *arguments)

    monkeypatch.setattr(CompiledOperation, "execute", noting)
    return plans


def credentials(shop: Shop, of: str) -> Headers:
    own = {
        "player": shop.player(shop.world.anna),
        "server": shop.server,
        "wrong": {"Authorization": "Bearer nonsense"},
    }
    return GRAPHQL | own.get(of, {})


def seen(response: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    headers = {
        name: value
        for name, value in response.headers.items()
        if name not in {"ratelimit", "traceparent", "date"}
    }
    return response.status_code, headers, response.content


async def test_the_same_bytes(shop: Shop, executed: list[CompiledOperation]) -> None:
    await shop.world.credit(shop.world.anna, 1_000)
    bought = {"query": BUY + " ", "variables": {"key": "replayed"}}
    await shop.client.post("/graphql", json=bought, headers=credentials(shop, "player"))
    for of, values in REQUESTS:
        answers = [
            seen(await shop.client.post("/graphql", json=values, headers=credentials(shop, of)))
            for _ in range(3)
        ]
        assert answers[0] == answers[1] == answers[2], values
    assert len(executed) > len(REQUESTS)
    assert await shop.world.worth(shop.world.anna) == (900, 0)


async def test_by_get(shop: Shop, executed: list[CompiledOperation]) -> None:
    for values in ({"query": VALUES, "variables": '{"id": 1}'}, {"query": BUY}):
        answers = [
            seen(await shop.client.get("/graphql", params=values, headers=shop.server | GRAPHQL))
            for _ in range(3)
        ]
        assert answers[0] == answers[1] == answers[2]
    assert len(executed) == 2


async def test_persisted(
    sqlite_url: str, tmp_path: Path, executed: list[CompiledOperation]
) -> None:
    hashed = hashlib.sha256(VALUES.encode()).hexdigest()
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps({hashed: VALUES}))
    settings = Settings(
        database_url=sqlite_url,
        jobs_in_server=False,
        persisted_operations=PersistedOperationsMode("only"),
        persisted_operations_file=str(file),
    )
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": hashed}}
    async with open_shop(settings) as shop:
        values = {"extensions": extensions, "variables": {"id": 2}}
        headers = shop.server | GRAPHQL
        answers = [
            seen(await shop.client.post("/graphql", json=values, headers=headers)) for _ in range(3)
        ]
    assert answers[0] == answers[1] == answers[2]
    assert b'"product":{"name":' in answers[0][2]
    assert len(executed) == 2


async def test_a_masked_bug(shop: Shop, executed: list[CompiledOperation]) -> None:
    await shop.world.sql("DROP TABLE inventory")
    values = {"query": "{ me { username inventory { id } } product(id: 1) { id } }"}
    headers = credentials(shop, "player")
    answers = [
        seen(await shop.client.post("/graphql", json=values, headers=headers)) for _ in range(2)
    ]
    assert answers[0] == answers[1]
    assert b"Something went wrong" in answers[1][2]
    assert len(executed) == 1


async def test_limits(sqlite_url: str, executed: list[CompiledOperation]) -> None:
    """Of what was compiled and is refused, the same is told as of what is interpreted."""
    settings = Settings(
        database_url=sqlite_url, jobs_in_server=False, rate_limit_player_reads="3/1000"
    )
    query = "{ product(id: 1) { id } me { id } }"
    async with open_shop(settings) as shop:
        headers = credentials(shop, "player")
        bodies = []
        for values in (
            {"query": query},
            {"query": query},
            {"query": query},
            {"query": query + " "},
        ):
            response = await shop.client.post("/graphql", json=values, headers=headers)
            bodies.append(response.json())
    for body in bodies[2:]:
        for error in body["errors"]:
            assert error["extensions"].pop("retryAfter") > 0
            assert error["extensions"]["code"] == "RATE_LIMITED"
    assert [len(body.get("errors", [])) for body in bodies] == [0, 1, 2, 2]
    assert bodies[2] == bodies[3]
    assert len(executed) == 2


async def test_a_mutation_runs_once(shop: Shop, executed: list[CompiledOperation]) -> None:
    await shop.world.credit(shop.world.anna, 1_000)
    headers = credentials(shop, "player")
    balances = []
    for key in ("a", "b", "b", "c"):
        body = await shop.graphql(BUY, headers | {"Accept": "application/json"}, key=key)
        purchase = body["data"]["purchase"]
        balances.append((purchase["user"]["balance"], purchase["replayed"]))
    assert balances == [(900, False), (800, False), (800, True), (700, False)]
    assert len(executed) == 3


async def test_never_compiled(shop: Shop, executed: list[CompiledOperation]) -> None:
    """A directive anywhere, and what is too large to be kept."""
    fields = "id name price type isActive description"
    large = " ".join(f"a{n}: products(first: 1) {{ nodes {{ ...P }} }}" for n in range(15))
    for query in (
        "{ __typename @skip(if: false) }",
        "{ ...F @include(if: true) } fragment F on Query { __typename }",
        "{ ... @include(if: true) { __typename } }",
        "query A { __typename } query B { __typename @skip(if: true) }",
        f"{{ {large} }} fragment P on Product {{ {fields} {fields} {fields} {fields} }}",
    ):
        values = {"query": query, "operationName": "A" if " A " in query else None}
        for _ in range(3):
            response = await shop.client.post("/graphql", json=values, headers=shop.server)
            assert "errors" not in response.json()
    assert executed == []


async def test_too_costly_however_often(shop: Shop, executed: list[CompiledOperation]) -> None:
    nested = "{ user(id: 1) { transactions { nodes { id } edges { node { id } } } }" * 16
    for query in (nested + "}" * 16, "{" + " ".join(f"a{n}: __typename" for n in range(16)) + "}"):
        answers = [
            await shop.client.post("/graphql", json={"query": query}, headers=shop.server | GRAPHQL)
            for _ in range(3)
        ]
        assert {answer.status_code for answer in answers} == {400}
        assert len({answer.content for answer in answers}) == 1
    assert executed == []


async def test_nested_as_deep_as_can_be(shop: Shop) -> None:
    """Introspection may be nested deeper than a plan can be made."""
    for levels in (50, 100, 150, 170, 180, 185, 190):
        query = (
            "{ __schema { queryType" + " { ofType" * levels + " { name }" + " }" * levels + "} }"
        )
        answers = [
            seen(
                await shop.client.post(
                    "/graphql", json={"query": query}, headers=shop.server | GRAPHQL
                )
            )
            for _ in range(2)
        ]
        assert answers[0] == answers[1]
        assert answers[0][0] == 200


def test_plans_are_bounded() -> None:
    """By the documents, and by the fields that those of one document select."""
    documents = Documents(build_schema()._schema, has_introspection=True, has_suggestions=False)

    def compiled(query: str, name: str | None = None) -> CompiledOperation | None:
        parsed = documents.parsed(query)
        assert parsed.document is not None, parsed.errors
        operation = get_operation_ast(parsed.document, name)
        assert operation is not None
        plan = documents.plan(parsed, operation)
        return None if plan is None else plan.compiled

    first = "query { me { id } }"
    assert compiled(first) is None
    plan = compiled(first)
    assert plan is not None
    assert compiled(first) is plan
    kept = weakref.ref(plan)
    del plan
    for number in range(MOST_DOCUMENTS):
        assert compiled(f"query Q{number} {{ me {{ id }} }}") is None
    gc.collect()
    assert kept() is None

    selected = " ".join(f"a{n}: product(id: 1) {{ id name price }}" for n in range(15))
    operations = [f"query Q{n} {{ ...F }}" for n in range(10)]
    query = " ".join([*operations, f"fragment F on Query {{ {selected} }}"])
    assert compiled(query, "Q0") is None
    plans = [compiled(query, f"Q{number}") for number in range(10)]
    assert MOST_COMPILED_FIELDS == 300
    assert [plan is not None for plan in plans] == [True] * 5 + [False] * 5


def test_plans_of_all_documents_are_bounded() -> None:
    """Those that have not come for the longest time go; they are made again when they come."""
    documents = Documents(build_schema()._schema, has_introspection=True, has_suggestions=False)

    def plan_of(number: int) -> CompiledOperation | None:
        selected = " ".join(f"a{n}: product(id: {number}) {{ id name price }}" for n in range(15))
        parsed = documents.parsed(f"{{ {selected} }}")
        assert parsed.document is not None, parsed.errors
        operation = get_operation_ast(parsed.document)
        assert operation is not None
        plan = documents.plan(parsed, operation)
        return None if plan is None else plan.compiled

    fit = MOST_COMPILED_FIELDS_OF_ALL // 60
    for number in range(1, fit + 2):
        assert plan_of(number) is None
        plan = plan_of(number)
        assert plan is not None
        assert plan_of(number) is plan
    plans = [len(parsed.plans) for parsed in documents._valid.values()]
    assert plans == [0] + [1] * fit
    assert plan_of(1) is not None
    assert documents._compiled_fields == 60 * fit
