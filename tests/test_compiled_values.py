"""What resolvers come up with is answered the same by compiled operations as by graphql-core."""

import os
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from graphql import GraphQLSchema, parse, print_ast, validate

from tests.compiled_both_ways import both_ways, little_garbage
from tests.compiled_documents import Composer
from tests.compiled_schema import build_schema
from tests.compiled_variations import Variation

EXAMPLES = int(os.environ.get("TEST_COMPILED_EXAMPLES", "300"))


@pytest.fixture(scope="module")
def schema() -> Iterator[GraphQLSchema]:
    schema = build_schema()
    with little_garbage():
        yield schema


@pytest.mark.parametrize("operation", ["query", "mutation"])
async def test_random_operations(schema: GraphQLSchema, operation: str) -> None:
    random = Random(1)
    composer, ran, failed = Composer(schema, random), 0, 0
    for _ in range(EXAMPLES):
        document = parse(composer.document(operation, depth=random.randint(1, 3), width=4))
        variables: dict[str, Any] = {}
        if random.random() < 0.5:
            document, variables = Variation(schema, random).of(document)
            document = parse(print_ast(document))
            if validate(schema, document):
                continue
        answers = await both_ways(schema, document, variables)
        assert answers.compiled == answers.interpreted, (print_ast(document), variables)
        ran += 1
        failed += bool(answers.body["errors"])
    assert ran > 0.7 * EXAMPLES
    assert 0.3 * ran < failed < 0.9 * ran, failed


async def test_each_source_is_read_once(schema: GraphQLSchema) -> None:
    """And its permission classes are asked."""
    answers = await both_ways(
        schema, "{ attributes { same changing raising coming failing undefined secret loud } }"
    )
    body = answers.body
    assert body["data"]["attributes"] == {
        "same": "read",
        "changing": None,
        "raising": None,
        "coming": "came",
        "failing": None,
        "undefined": None,
        "secret": None,
        "loud": "QUIET",
    }
    messages = [error["message"] for error in body["errors"]]
    assert messages == ["read 2 times", "not for you", "raised"]
    assert body["others"] == [[["asked", "Read", {}]]]


async def test_siblings_start_in_order(schema: GraphQLSchema) -> None:
    """An error at a place that takes no null ends what has not begun."""
    answers = await both_ways(
        schema,
        "{ node { a: text(when: LATER) b: textAsync c: textStrict(how: NULL) d: text } e: text }",
    )
    body = answers.body
    assert body["data"] == {"node": None, "e": "text"}
    told = [event[0] for event in body["others"][0]]
    assert told == ["node", "text", "textStrict", "text", "awaited", "textAsync"]
