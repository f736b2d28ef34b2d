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
