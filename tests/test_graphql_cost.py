"""The limits of a document: each to the last unit, executed right at it, told in linear time."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from graphql import get_introspection_query, parse, validate

from economy.api.graphql import cost
from economy.api.graphql.cost import MAX_FIELDS, excess_of
from economy.api.graphql.documents import MAX_TOKENS, Documents
from economy.api.graphql.schema import build_schema
from tests.journal import nothing_changes
from tests.shop import Shop

SCHEMA = build_schema()._schema
# What GraphiQL 3 asks for, and what other tools do.
INTROSPECTIONS = [
    get_introspection_query(),
    get_introspection_query(schema_description=True, input_value_deprecation=True),
    get_introspection_query(
        descriptions=False,
        specified_by_url=True,
        directive_is_repeatable=True,
        schema_description=True,
        input_value_deprecation=True,
    ),
]


@pytest.mark.parametrize(
    ("document", "fields"),
    [
        ("{ __typename }", 1),
        ("{ me { id } }", 2),
        ("{ a: me { id } b: me { id balance } }", 5),
        # a list without a size of its own, and one within it
        ("{ inventory { id } }", 100),
        ("{ inventory { product { id } } }", 150),
        # the size that is asked for, the default, a variable
        ("{ popularProducts(limit: 3) { rank product { id } } }", 12),
        ("{ popularProducts { rank } }", 10),
        ("query ($n: Int!) { popularProducts(limit: $n) { rank } }", 200),
        # a connection hands its size on to its lists
        ("{ products(first: 3) { nodes { id } pageInfo { hasNextPage } } }", 1 + 6 + 2),
        ("{ products { edges { node { id } cursor } } }", 1 + 50 * 4),
        ("{ me { transactions(first: 2) { nodes { product { id } } } } }", 2 + 2 * 3),
        # what is refused later counts, too
        ("{ products(first: 0) { nodes { id } } }", 3),
        ("{ products(first: -5) { nodes { id } } }", 3),
        ("{ products(first: 1000) { nodes { id } } }", 201),
        # fragments count wherever they are spread, at the size of that place
        ("{ me { ... on User { id } ... { id } ...F } } fragment F on User { id balance }", 5),
        (
            """{ a: products(first: 2) { ...P } b: products(first: 3) { ...P } }
            fragment P on ProductConnection { nodes { id } }""",
            (1 + 4) + (1 + 6),
        ),
        (
            """mutation { addFunds(input: {userId: 1, amount: 1, idempotencyKey: "k"}) {
            __typename ... on AddFundsSuccess { user { inventory { id } } }
            ... on EconomyError { code } } }""",
            1 + 1 + (1 + 100) + 1,
        ),
        # of several operations the one that asks for most
        ("query A { me { id } } query B { inventory { id } } query C { __typename }", 100),
        ("{ __schema { types { name fields { name } } } }", 1 + 8 * (2 + 8 * 2)),
    ],
)
def test_fields(monkeypatch: pytest.MonkeyPatch, document: str, fields: int) -> None:
    parsed = parse(document)
    assert validate(SCHEMA, parsed) == []
    monkeypatch.setattr(cost, "MAX_FIELDS", fields)
    assert excess_of(SCHEMA, parsed) is None
    monkeypatch.setattr(cost, "MAX_FIELDS", fields - 1)
    assert excess_of(SCHEMA, parsed) == f"The document asks for more than {fields - 1} fields."


@pytest.mark.parametrize("document", INTROSPECTIONS)
def test_what_tools_ask_of_the_schema_is_within_every_limit(document: str) -> None:
    parsed = Documents(SCHEMA, has_introspection=True, has_suggestions=False).parsed(document)
    assert (parsed.document is not None, parsed.errors) == (True, [])


def test_a_whole_page_of_everything_is_within_every_limit() -> None:
    fields = "id name description price type isActive"
    user = f"""id username email balance createdAt
        inventory {{ id quantity purchasedAt product {{ {fields} }} }}
        transactions(first: 100) {{ pageInfo {{ hasNextPage endCursor }} nodes {{
            id kind status quantity amount balanceAfter failureCode createdAt
            product {{ {fields} }} }} }}"""
    users = " ".join(f"u{id_}: user(id: {id_}) {{ ...U }}" for id_ in range(15))
    assert excess_of(SCHEMA, parse(f"{{ {users} }} fragment U on User {{ {user} }}")) is None


Made = tuple[str, dict[str, Any]]  # a document, and the data that answers it


def deep(levels: int) -> Made:
    """Down to an `ofType` that is null."""
    inner = "ofType { " * (levels - 4) + "name" + " }" * (levels - 4)
    required, optional = {"type": {"ofType": {"ofType": None}}}, {"type": {"ofType": None}}
    fields = [required, required, optional, optional]
    document = f'{{ __type(name: "PageInfo") {{ fields {{ type {{ {inner} }} }} }} }}'
    return document, {"__type": {"fields": fields}}


def aliased(number: int) -> Made:
    """The three of a fragment count as often as it is spread."""
    rest = " ".join(f"a{n}: __typename" for n in range(number - 9))
    document = f"""{{ {rest} products(first: 1) {{ nodes {{ ...P ...P ... {{ ...P }} }} }} }}
        fragment P on Product {{ a: id b: name c: price }}"""
    data: dict[str, Any] = {f"a{n}": "Query" for n in range(number - 9)}
    product = {"a": "1", "b": "Буст на день", "c": 100}
    return document, data | {"products": {"nodes": [product]}}


def directed(number: int) -> Made:
    """On fields, spreads and inline fragments; those of a fragment as often as it is spread."""
    always = "@include(if: true)"
    document = f"""{{ {f"__typename {always} " * (number - 6)} ...F {always}
        ... {always} {{ ...F }} }} fragment F on Query {{
        __typename {always} product(id: 1) {always} {{ id }} }}"""
    return document, {"__typename": "Query", "product": {"id": "1"}}


def wide(number: int) -> Made:
    document = f"""{{ {"__typename " * (number - 10)} ...F }}
        fragment F on Query {{ ... {{ {"__typename " * 10} }} }}"""
    return document, {"__typename": "Query"}


def heavy(fields: int) -> Made:
    """Eight full pages, two smaller ones, and single fields for the rest."""
    pages = " ".join(f"p{n}: products(first: 100) {{ ...Page }}" for n in range(8))
    rest = fields - 8 * (1 + 100 * 60) - (1 + 100 * 19) - (1 + 22 * 2)
    document = f"""{{ {pages} p8: products(first: 100) {{ nodes {{ {"id " * 18} }} }}
        p9: products(first: 22) {{ nodes {{ id }} }} {"__typename " * rest} }}
        fragment Page on ProductConnection {{ nodes {{ {"id " * 59} }} }}"""
    data: dict[str, Any] = {f"p{n}": {"nodes": [{"id": "1"}, {"id": "2"}]} for n in range(10)}
    return document, data | {"__typename": "Query"}


def schemas(number: int) -> Made:
    once = "__schema { queryType { name } }"
    document = f"{{ {once * (number - 1)} ...F }} fragment F on Query {{ {once} }}"
    return document, {"__schema": {"queryType": {"name": "Query"}}}


def deep_schema(levels: int) -> Made:
    """What is within `__schema` counts for nothing in depth."""
    inner = "ofType { " * levels + "name" + " }" * levels
    return f"{{ __schema {{ queryType {{ {inner} }} }} }}", {"__schema": {"queryType": OF_TYPE}}


OF_TYPE = {"ofType": None}
LIMITS: list[tuple[Callable[[int], Made], int, str]] = [
    (deep, 8, "is nested deeper than 8 levels"),
    (aliased, 15, "has more than 15 aliases"),
    (directed, 8, "has more than 8 directives"),
    (wide, 60, "has more than 60 fields side by side"),
    (heavy, MAX_FIELDS, "asks for more than 50000 fields"),
    (schemas, 1, "asks for `__schema` more than once"),
]


def refused(message: str) -> dict[str, Any]:
    error = {"message": message, "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}
    return {"errors": [error]}


async def test_what_is_right_at_a_limit_is_executed(shop: Shop) -> None:
    for make, limit, what in LIMITS:
        document, data = make(limit)
        assert await shop.graphql(document, shop.server) == {"data": data}, what
        document, _ = make(limit + 1)
        assert await shop.graphql(document, shop.server) == refused(f"The document {what}.")
    document, data = deep_schema(20)
    assert await shop.graphql(document) == {"data": data}


async def test_tokens(shop: Shop) -> None:
    """Each of these operations has five."""
    operations = " ".join(f"query Q{n} {{ __typename }}" for n in range(MAX_TOKENS // 5))
    for document, status in ((operations, 200), (f"{operations} query", 400)):
        response = await shop.client.post(
            "/graphql",
            json={"query": document, "operationName": "Q7"},
            headers={"Accept": "application/graphql-response+json"},
        )
        assert response.status_code == status
        assert ("data" in response.json()) == (status == 200)
    assert response.json()["errors"][0]["message"] == (
        "Syntax Error: Document contains more than 1000 tokens. Parsing aborted."
    )


PURCHASE = 'purchase(input: {{productId: 1, idempotencyKey: "{key}"}}) {{ __typename }}'


def purchases(*keys: str) -> str:
    return " ".join(f"{key}: {PURCHASE.format(key=key)}" for key in keys)


async def test_mutations(shop: Shop) -> None:
    """Six of them book nothing, in fragments neither; five are all booked."""
    await shop.world.credit(shop.world.anna, 1_000)
    anna = shop.player(shop.world.anna)
    in_fragments = "mutation {{ ...A ... {{ {} }} }} fragment A on Mutation {{ {} {} }}"
    too_many = [
        f"mutation {{ {purchases(*'abcdef')} }}",
        in_fragments.format(purchases("a"), purchases(*"bcde"), purchases("f")),
    ]
    async with nothing_changes(shop.world):
        for document in too_many:
            body = await shop.graphql(document, anna)
            assert body == refused("The document has more than 5 mutations.")
    document = in_fragments.format(purchases("a"), purchases(*"bcd"), purchases("e"))
    booked = {key: {"__typename": "PurchaseSuccess"} for key in "abcde"}
    assert await shop.graphql(document, anna) == {"data": booked}
    [item] = await shop.world.sql("SELECT user_id, product_id, quantity FROM inventory")
    assert tuple(item) == (shop.world.anna.id, 1, 5)


def doubling(levels: int) -> str:
    """Asks for 2^levels fields in 14 tokens a level."""
    fragments = "".join(
        f"fragment F{n} on User {{ ...F{n + 1} ...F{n + 1} }} " for n in range(levels)
    )
    return f"{{ me {{ ...F0 }} }} {fragments} fragment F{levels} on User {{ id }}"


def brackets(pieces: int) -> str:
    return "{" * 60 * pieces


# From a size to a document of so many tokens or pieces, and what it is refused for.
HOSTILE: dict[str, tuple[Callable[[int], str], str]] = {
    "fragment bomb": (lambda n: doubling(n // 14), "fields"),
    "short aliases": (
        lambda n: "{ me { " + " ".join(f"a{i}: id" for i in range(n // 4)) + " } }",
        "aliases",
    ),
    "20,000 aliases": (
        lambda n: "{ " + " ".join(f"a{i}: me {{ id }}" for i in range(20 * n)) + " }",
        "tokens",
    ),
    "one field": (lambda n: "{ me { " + "id " * (n - 10) + "} }", "side by side"),
    "fields in a fragment that nothing spreads": (
        lambda n: "{ __typename } fragment F on Query { " + "me { id } " * (n // 4 - 5) + "}",
        "side by side",
    ),
    "60,000 brackets": (brackets, "Syntax Error"),
    "5,000 digits": (
        lambda n: f"{{ products(first: {'9' * 5 * n}) {{ nodes {{ id }} }} }}",
        "too complex",
    ),
    "directives": (lambda n: "{ me { id " + "@skip(if: false) " * (n // 7) + "} }", "directives"),
    "fields of a schema": (
        lambda n: "{ " + "__schema { queryType { name } } " * (n // 8) + "}",
        "__schema",
    ),
}


def cpu_seconds(documents: Documents, document: str) -> float:
    """The least of several tries: what else the machine does only adds to it."""
    times = []
    for _ in range(7):
        started_at = time.thread_time()
        documents.parsed(document)
        times.append(time.thread_time() - started_at)
    return min(times)


@pytest.mark.parametrize("name", HOSTILE)
def test_refusing_takes_linear_time(name: str) -> None:
    """Four times the size takes about four times as long; squared it would be sixteen."""
    make, reason = HOSTILE[name]
    documents = Documents(SCHEMA, has_introspection=True, has_suggestions=False)
    [error] = documents.parsed(make(980)).errors
    assert reason in error.message
    assert cpu_seconds(documents, make(980)) < 9 * cpu_seconds(documents, make(245)) + 0.0005
