"""Arguments and variables reach resolvers the same way from compiled operations."""

import os
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from graphql import GraphQLSchema, parse, print_ast, validate
from hypothesis_graphql import queries

from tests.compiled_both_ways import both_ways, little_garbage
from tests.compiled_generated import CUSTOM_SCALARS, generated
from tests.compiled_inputs import build_schema
from tests.compiled_variations import Variation

EXAMPLES = int(os.environ.get("TEST_COMPILED_EXAMPLES", "300"))


@pytest.fixture(scope="module")
def schema() -> Iterator[GraphQLSchema]:
    schema = build_schema()
    with little_garbage():
        yield schema


# those that take lists of lists and trees take hypothesis-graphql long
FIELDS = ["leaves", "colors", "scalars", "point", "checked", "checkedLater", "patch", "choice"]
POINT: dict[str, Any] = {"x": 1}
WRONG: list[Any] = ["1", 1.0, 1.5, True, 2**31, [1], {}]
CASES: list[tuple[str, list[Any]]] = [
    # absent, null, wrong and right ones of a variable
    (
        "query ($n: Int!, $t: String) { leaves(number: $n, text: $t) }",
        [{"n": 1}, {"n": 1, "t": None}, {"n": 1, "t": "a"}, {"n": 1, "t": 1}, {"n": None}, {}, None]
        + [{"n": value} for value in WRONG],
    ),
    # nullable ones with a default at places that take no null
    (
        'query ($n: Int = 3, $t: String = "d") { leaves(number: $n) needing(number: 1, text: $t) }',
        [{}, {"n": 1}, {"n": None}, {"t": None}, {"n": None, "t": None}],
    ),
    (
        "query ($t: String) { needing(number: 1, text: $t) a: needing(number: null, text: $t) }",
        [{}, {"t": None}, {"t": "a"}],
    ),
    # a resolver without a default for what is not given
    (
        "query ($n: Int) { needing(number: $n) needingLater(number: $n) failsLater }",
        [{}, {"n": None}, {"n": 1}],
    ),
    ("{ needing needingLater failsLater a: needingLater }", [{}]),
    ("{ failsLater a: needingLater b: failsLater needing }", [{}]),
    (
        "query ($d: Color! = BLUE) {"
        " colors(color: RED) a: colors(color: $d, other: RED) b: colors c: colors(other: null) }",
        [{}, {"d": "RED"}, {"d": "red"}, {"d": 1}, {"d": None}],
    ),
    # identifiers may be numbers, ratios may be whole
    (
        "query ($i: ID, $r: Float!) { leaves(number: 1, id: $i, ratio: $r) }",
        [{"i": i, "r": r} for i in (1, "1", 1.0, 1.5, True, None) for r in (1, 1.5, "1", True)],
    ),
    ("{ leaves(number: 1, id: 5, ratio: 2, flag: null) a: leaves(number: 2, flag: true) }", [{}]),
    # scalars that are parsed, with errors and nulls, and variables within their literals
    (
        "query ($e: Even, $w: Words, $j: JSON) { scalars(even: $e, words: $w, json: $j) }",
        [{"e": e} for e in (2, 3, 5, None, "x")] + [{"w": [1, {"a": None}], "j": {"b": [1]}}, {}],
    ),
    (
        "query ($w: String, $n: Int) { scalars(words: [$w, {a: $n}])"
        " b: scalars(json: {b: [$n, 1]})"
        " a: scalars(words: [1, {a: B}], json: [1]) }",
        [{}, {"w": "a"}, {"w": None, "n": 1}],
    ),
    # input objects: absent, null and unknown fields, defaults, variables in any place
    (
        "query ($p: Point!, $o: Point) { point(point: $p, other: $o) }",
        [
            {"p": value, "o": None}
            for value in (POINT, {}, {"x": None}, {"x": 1, "y": None}, {"x": 1, "z": 1}, [POINT])
        ]
        + [{"p": POINT | {"name": None, "color": None}}, {"p": POINT | {"color": "RED", "y": 3}}],
    ),
    (
        "query ($x: Int!, $y: Int! = 4, $n: String, $c: Color) {"
        " point(point: {x: $x, y: $y, name: $n, color: $c}, other: {x: 1, y: 2}) }",
        [
            {"x": 1},
            {"x": 1, "n": None, "c": None},
            {"x": 1, "y": 0, "n": "a", "c": "RED"},
            {"x": 0},
        ],
    ),
    ("query ($y: Int) { point(point: {x: 1, y: $y}) }", [{}, {"y": 1}, {"y": None}]),
    ("query ($t: Int) { point(point: {x: 1}, tail: $t) }", [{}, {"t": 1}, {"t": None}]),
    # what one argument raises when it is converted, another is refused before
    (
        "query ($w: Checked!, $n: Int) { checked(word: $w, number: $n) }",
        [{"w": {"word": w}} | n for w in ("wrong", "right") for n in ({}, {"n": None}, {"n": 1})],
    ),
    # it is raised when it is awaited
    (
        'query ($w: Checked!) { failsLater checkedLater(word: $w) a: checked(word: {word: "x"}) }',
        [{"w": {"word": "wrong"}}, {"w": {"word": "right"}}],
    ),
    ('{ failsLater globalId(id_: "x") a: globalId(id_: "VXNlcjox") b: failsLater }', [{}]),
    # an object in another of its own type
    (
        "query ($t: Tree) { tree(tree: $t) a: tree(tree: {value: 1, left: $t}) }",
        [
            {},
            {"t": None},
            {"t": {"value": 1, "left": {"value": 2, "right": {"value": 3}}}},
            {"t": {"value": 1, "children": [{"value": 2, "children": []}]}},
            {"t": {"value": 1, "children": {"value": 2}}},
            {"t": {"value": 1, "left": {}}},
        ],
    ),
    # lists: one value for many, variables within, defaults that a resolver changes
    (
        "query ($n: [Int] = [4], $i: Int, $l: Lists) { a: lists b: lists(numbers: $n)"
        " c: lists(numbers: 5) d: lists(numbers: [$i, 1]) e: lists(lists: $l) f: lists(lists: {})"
        " g: lists }",
        [
            {},
            {"n": None},
            {"n": 1, "i": 2},
            {"n": [1, None], "i": None},
            {"l": {"grid": [[1, None], None], "colors": "RED", "points": POINT}},
            {"l": {"grid": 1, "numbers": [None]}},
            {"l": {"numbers": None}},
        ],
    ),
    (
        "query ($i: Int!, $p: Point!, $g: [Int!]!) {"
        " lists(grid: [[$i, 1], $g], points: [$p, {x: $i}])"
        " a: lists(lists: {numbers: [$i], points: {x: 2}}) }",
        [{"i": 1, "p": POINT, "g": [2]}, {"i": 1, "p": POINT, "g": 2}, {"i": None}],
    ),
    # Maybe: absent is told from null
    (
        "query ($p: Patch!, $n: String) { patch(patch: $p) a: patch(patch: $p, name: $n) }",
        [
            {"p": {}},
            {"p": {"nullable": None, "point": None}},
            {"p": {"name": "a", "nullable": "b", "point": POINT}, "n": "c"},
            {"p": {"name": None}},
            {"p": {}, "n": None},
        ],
    ),
    # one of
    (
        "query ($c: Choice!, $o: Choice) { choice(choice: $c, also: $o) }",
        [
            {"c": {"number": 1}},
            {"c": {"point": POINT}, "o": {"words": "a"}},
            {"c": {"number": 1, "words": []}},
            {"c": {"number": None}},
            {"c": {}},
            {"c": {"number": 1}, "o": None},
        ],
    ),
    (
        "query ($n: Int!) { choice(choice: {number: $n}) a: choice(choice: {number: 1, words: []})"
        " b: choice(choice: {}) }",
        [{"n": 1}],
    ),
    (
        "query ($o: Outer!, $c: Checked) { outer(outer: $o)"
        ' a: outer(outer: {point: {x: 1}, checked: $c, id: 7, ratio: 3, camelCase: "c"}) }',
        [
            {"o": {"point": POINT}},
            {"o": {"point": POINT, "even": 3}},
            {"o": {"point": POINT, "even": 2, "checked": {"word": "wrong"}, "id": 1, "ratio": 2}},
            {"o": {"point": POINT, "choice": {"number": 1}, "flag": False}, "c": {"word": "right"}},
            {"o": {"point": POINT, "choice": {}}, "c": {"word": "wrong"}},
            {"o": {"point": None, "flag": None}},
        ],
    ),
    # introspection, whose resolvers are graphql-core's
    (
        'query ($n: String! = "Point") { __typename t: __typename __type(name: $n) {'
        " name kind a: __typename inputFields { name defaultValue type { name ofType { name } } } }"
        " __schema {"
        " queryType { fields(includeDeprecated: true) { name args { name } } } } }",
        [{}, {"n": "Nothing"}, {"n": "Query"}],
    ),
]


@pytest.mark.parametrize(("query", "values"), CASES, ids=range(len(CASES)))
async def test_given(
    schema: GraphQLSchema, query: str, values: list[dict[str, Any] | None]
) -> None:
    bodies = []
    for variables in values:
        answers = await both_ways(schema, query, variables)
        assert answers.compiled == answers.interpreted, variables
        bodies.append(answers.compiled)
    assert 2 * len(set(bodies)) >= len(bodies)  # most of them matter


async def test_generated(schema: GraphQLSchema) -> None:
    random, ran, failed = Random(1), 0, 0
    strategy = queries(
        schema,
        fields=FIELDS,
        custom_scalars=CUSTOM_SCALARS,
        print_ast=lambda document: document,
    )
    for document in generated(strategy, EXAMPLES // 3):
        varied, variables = Variation(schema, random).of(document)
        printed = parse(print_ast(varied))
        if validate(schema, printed):
            continue
        answers = await both_ways(schema, printed, variables)
        assert answers.compiled == answers.interpreted, (print_ast(printed), variables)
        ran += 1
        failed += bool(answers.body["errors"])
    assert ran > 0.2 * EXAMPLES
    assert 0.2 * ran < failed < 0.9 * ran, (ran, failed)
