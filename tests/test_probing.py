"""Who has no right to know learns nothing: refusals do not tell whether something exists."""

from typing import Any

import httpx

from tests.journal import nothing_changes
from tests.shop import Headers, Shop

EXISTING, MISSING = 1, 999
GRAPHQL_IDS = [str(EXISTING), str(MISSING), "abc", "0", str(2**70), ""]
# of one answer alone
OWN_HEADERS = {"x-request-id", "ratelimit", "ratelimit-policy"}
Told = tuple[int, bytes, dict[str, str]]


def told(response: httpx.Response) -> Told:
    headers = {name: value for name, value in response.headers.items() if name not in OWN_HEADERS}
    return response.status_code, response.content, headers


async def askers(shop: Shop) -> dict[str, Headers]:
    """None of them may read or change anna."""
    return {
        "nobody": {},
        "another player": shop.player(shop.world.boris),
        "a key without scopes": await shop.key_with(),
    }


async def rest_answers(shop: Shop, headers: Headers, id_: int) -> list[Told]:
    """Every way to name a user over REST."""
    keyed, body = headers | {"Idempotency-Key": "k"}, {"user_id": id_}
    client = shop.client
    return [
        told(await client.get(f"/users/{id_}/inventory", headers=headers)),
        told(await client.post(f"/users/{id_}/add-funds", headers=keyed, json={"amount": 1})),
        told(await client.post("/products/1/purchase", headers=keyed, json=body)),
        told(await client.post("/products/1/use", headers=keyed, json=body)),
    ]


async def test_users_over_rest(shop: Shop) -> None:
    await shop.world.credit(shop.world.anna, 1_000)
    async with nothing_changes(shop.world):
        for name, headers in (await askers(shop)).items():
            existing = await rest_answers(shop, headers, EXISTING)
            status = 401 if name == "nobody" else 403
            assert [answer[0] for answer in existing] == [status] * 4
            for id_ in (MISSING, 2**62):
                assert await rest_answers(shop, headers, id_) == existing, name


DOCUMENTS = [
    "query ($id: ID!) { user(id: $id) { id username balance } }",
    "query ($id: ID!) { inventory(userId: $id) { quantity } }",
    """mutation ($id: ID!) { addFunds(input: {userId: $id, amount: 1, idempotencyKey: "k"}) {
        __typename } }""",
    """mutation ($id: ID!) { purchase(input: {userId: $id, productId: 1, idempotencyKey: "k"}) {
        __typename } }""",
    """mutation ($id: ID!) { useItem(input: {userId: $id, productId: 1, idempotencyKey: "k"}) {
        __typename } }""",
    "mutation ($id: ID!) { updateProduct(input: {id: $id, price: 1}) { __typename } }",
]


async def graphql_answer(shop: Shop, headers: Headers, document: str, **variables: Any) -> Told:
    body = {"query": document, "variables": variables}
    return told(await shop.client.post("/graphql", json=body, headers=headers))


async def test_users_and_products_over_graphql(shop: Shop) -> None:
    products = await shop.world.sql("SELECT * FROM product ORDER BY id")
    async with nothing_changes(shop.world):
        for name, headers in (await askers(shop)).items():
            code = b"UNAUTHENTICATED" if name == "nobody" else b"FORBIDDEN"
            for document in DOCUMENTS:
                answers = [
                    await graphql_answer(shop, headers, document, id=id_) for id_ in GRAPHQL_IDS
                ]
                assert answers == [answers[0]] * len(GRAPHQL_IDS), (name, document)
                assert code in answers[0][1]
    assert await shop.world.sql("SELECT * FROM product ORDER BY id") == products


CREATE = (
    "mutation ($name: String!) { createUser(input: {username: $name, email: $name}) {__typename}}"
)


async def test_names_that_are_taken(shop: Shop) -> None:
    async with nothing_changes(shop.world):
        for name, headers in (await askers(shop)).items():
            answers = [
                await graphql_answer(shop, headers, CREATE, name=taken)
                for taken in ("anna", "ANNA", "nobody", "anna@example.com", "\n")
            ]
            assert answers == [answers[0]] * len(answers), name
