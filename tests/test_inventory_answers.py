"""Answers that are kept whole: byte for byte those that are made, for those alone who may read."""

from itertools import permutations
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.graphql_answers import (
    BOOST,
    ITEM,
    PREMIUM,
)
from tests.sql_counter import recorded_sql
from tests.twins import Twins

PLAIN = "{ inventory { quantity product { name } } }"
OF = "query ($u: ID) { inventory(userId: $u) { quantity product { name price } } }"
OF_TYPE = "query ($t: ProductType) { inventory(type: $t) { quantity product { id } } }"
OF_BOTH = "query ($u: ID!, $t: ProductType) { inventory(type: $t, userId: $u) { id } }"


BY_A_PLAYER: list[tuple[str, dict[str, Any]]] = [
    (PLAIN, {}),
    (f"{{ inventory {{ {ITEM} }} }}", {}),
    ("{ mine: inventory { n: quantity n2: quantity product { called: name id } } }", {}),
    ("query Named { inventory(type: PERMANENT) { __typename purchasedAt } }", {}),
    ("{ inventory(type: CONSUMABLE) { product { name } } }", {}),
    ("{ inventory { ...I } } fragment I on InventoryItem { ... { quantity } }", {}),
    (OF_TYPE, {}),
    (OF_TYPE, {"t": None}),
    (OF_TYPE, {"t": "PERMANENT"}),
    (OF_TYPE, {"t": "CONSUMABLE", "of no use": [1, 1.0, True, "«»", {"a": None}]}),
    ('{ inventory(userId: "1") { quantity } }', {}),
    (OF, {"u": "1"}),
]
BY_A_SERVER: list[tuple[str, dict[str, Any]]] = [
    (OF, {"u": "1"}),
    (OF_BOTH, {"u": "1", "t": "CONSUMABLE"}),
    (OF_BOTH, {"u": "2", "t": "PERMANENT"}),
    ('{ inventory(userId: "2") { product { isActive } quantity } }', {}),
]


@pytest.mark.parametrize("who", ["a player", "a server"])
async def test_a_hit_is_what_was_made(twins: Twins, raw: Redis, who: str) -> None:
    """And what a process says that keeps nothing. It asks the database only whose key it is."""
    asked = BY_A_PLAYER if who == "a player" else BY_A_SERVER
    headers = twins.anna if who == "a player" else twins.server
    for document, variables in asked:
        await raw.flushdb()  # else the answers before might have taken its place
        expected = await twins.plain.answer(headers, document, **variables)
        assert b'"inventory":[' in expected or b'"mine":[{' in expected
        assert await twins.plain.answer(headers, document, **variables) == expected
        for process in (twins.one, twins.other):  # the first time it is interpreted
            assert await process.answer(headers, document, **variables) == expected
        assert await twins.one.answer(headers, document, **variables) == expected
        for process in (twins.one, twins.other):
            hits, misses, _ = process.kept
            with recorded_sql(process.services.database) as statements:
                assert await process.answer(headers, document, **variables) == expected
            assert process.kept == (hits + 1, misses, 0), document
            assert [one for one in statements if "server_key" not in one] == []


async def test_what_a_hit_says(twins: Twins) -> None:
    document = OF.replace("name price", "id name description price type isActive")
    boost, premium = {"quantity": 2, "product": BOOST}, {"quantity": 1, "product": PREMIUM}
    for _ in range(3):
        response = await twins.one.ask(twins.anna, document, u="1")
        assert response.json() == {"data": {"inventory": [boost, premium]}}
        assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert twins.one.kept == (1, 1, 0)


async def test_one_answer_by_every_way_of_asking(twins: Twins) -> None:
    """What one way has kept answers the other: GET, the other media type."""
    [*_, expected] = [await twins.one.answer(twins.anna, PLAIN) for _ in range(2)]
    media = "application/graphql-response+json"
    response = await twins.one.client.get(
        "/graphql", params={"query": PLAIN}, headers=twins.anna | {"Accept": media}
    )
    assert (response.status_code, response.content) == (200, expected)
    assert response.headers["content-type"] == f"{media}; charset=utf-8"
    assert twins.one.kept == (1, 1, 0)


async def test_operations_of_one_document(twins: Twins) -> None:
    """They are told apart, though the text and the variables are the same."""
    document = "query A { inventory { quantity } } query B { inventory { product { id } } }"
    bodies = {name: {"query": document, "operationName": name} for name in "AB"}
    expected = {
        "A": {"data": {"inventory": [{"quantity": 2}, {"quantity": 1}]}},
        "B": {"data": {"inventory": [{"product": {"id": "1"}}, {"product": {"id": "2"}}]}},
    }
    for _ in range(4):
        for name, body in bodies.items():
            response = await twins.one.client.post("/graphql", json=body, headers=twins.anna)
            assert response.json() == expected[name]


async def test_no_document_gets_the_answer_of_another(twins: Twins, raw: Redis) -> None:
    """There are two places a user: of three documents two share one, and who came first stays."""
    documents = [PLAIN, "{ inventory { quantity } }", "{ inventory { product { id } } }"]
    expected = {one: await twins.plain.answer(twins.anna, one) for one in documents}
    for one in documents:
        assert await twins.one.answer(twins.anna, one) == expected[one]
    for order in permutations(documents):
        await raw.flushdb()
        for document in 3 * order:
            assert await twins.one.answer(twins.anna, document) == expected[document]
        _, misses, _ = twins.one.kept
        with recorded_sql(twins.one.services.database) as statements:
            assert await twins.one.answer(twins.anna, order[0]) == expected[order[0]]
        assert statements == []
        assert twins.one.kept[1] == misses


async def test_users_are_told_apart(twins: Twins) -> None:
    for _ in range(3):
        for who, quantities in ((twins.anna, [2, 1]), (twins.boris, [1])):
            body = (await twins.one.ask(who, PLAIN)).json()
            assert [item["quantity"] for item in body["data"]["inventory"]] == quantities
        for user_id, quantities in (("1", [2, 1]), ("2", [1])):
            body = (await twins.other.ask(twins.server, OF, u=user_id)).json()
            assert [item["quantity"] for item in body["data"]["inventory"]] == quantities


NOT_KEPT: list[tuple[str, dict[str, Any]]] = [
    ("{ a: inventory { quantity } b: inventory { id } }", {}),
    ("{ inventory { quantity } __typename }", {}),
    ("{ inventory { quantity } inventory { id } }", {}),
    ("{ ...Q } fragment Q on Query { inventory { quantity } }", {}),
    ("{ ... on Query { inventory { quantity } } }", {}),
    ("{ ... { inventory { quantity } } }", {}),
    ("{ me { inventory { quantity } } }", {}),
    ("query ($yes: Boolean!) { inventory @include(if: $yes) { id } }", {"yes": True}),
    ("query ($yes: Boolean!) { inventory { id @skip(if: $yes) quantity } }", {"yes": True}),
    ("{ inventory(userId: 1) { quantity } }", {}),
    ("{ inventory(userId: null) { quantity } }", {}),
    (OF, {}),
    (OF, {"u": None}),
    (OF, {"u": 1}),
    ('query ($u: ID = "1") { inventory(userId: $u) { quantity } }', {}),
]


async def test_what_is_not_kept(twins: Twins) -> None:
    """It is answered right all the same, and each time again."""
    for document, variables in NOT_KEPT:
        expected = await twins.plain.answer(twins.anna, document, **variables)
        assert b"errors" not in expected
        for process in (twins.one, twins.one, twins.other, twins.one):
            assert await process.answer(twins.anna, document, **variables) == expected, document
    assert twins.one.kept == twins.other.kept == (0, 0, 0)


async def test_mutations_run_each_time(twins: Twins) -> None:
    document = "mutation ($key: String!) { inventory: purchase(input: {productId: 1, "
    document += "idempotencyKey: $key}) { ... on PurchaseSuccess { user { inventory { quantity }"
    document += " balance } } } }"
    for number, process in enumerate(3 * [twins.one, twins.other], start=1):
        body = (await process.ask(twins.anna, document, key=str(number))).json()
        user = {
            "inventory": [{"quantity": 2 + number}, {"quantity": 1}],
            "balance": 10_000 - 700 - 100 * number,
        }
        assert body == {"data": {"inventory": {"user": user}}}
    assert twins.one.kept == twins.other.kept == (0, 0, 0)
