"""How many fields a document may ask for: counted to the last one."""

import pytest
from graphql import get_introspection_query, parse, validate

from economy.api.graphql.cost import MAX_FIELDS, count_fields
from economy.api.graphql.schema import build_schema

SCHEMA = build_schema()._schema


def count(text: str) -> int:
    document = parse(text)
    assert validate(SCHEMA, document) == []
    return count_fields(SCHEMA, document)


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
def test_count(document: str, fields: int) -> None:
    assert count(document) == fields


def test_what_tools_ask_of_the_schema_is_answered() -> None:
    document = get_introspection_query(
        specified_by_url=True,
        directive_is_repeatable=True,
        schema_description=True,
        input_value_deprecation=True,
    )
    assert count(document) < MAX_FIELDS


def test_a_whole_page_of_everything_is_answered() -> None:
    fields = "id name description price type isActive"
    user = f"""id username email balance createdAt
        inventory {{ id quantity purchasedAt product {{ {fields} }} }}
        transactions(first: 100) {{ pageInfo {{ hasNextPage endCursor }} nodes {{
            id kind status quantity amount balanceAfter failureCode createdAt
            product {{ {fields} }} }} }}"""
    users = " ".join(f"u{id_}: user(id: {id_}) {{ {user} }}" for id_ in range(20))
    assert count(f"{{ {users} }}") < MAX_FIELDS
