"""The requests of each row, as they go over the wire; the load fills in what differs."""

import json
import random
from dataclasses import dataclass

from bench.suite import rows
from bench.suite.rows import Row
from bench.suite.seed import ITEMS, product_ids

PURCHASE = """mutation Buy($product: ID!, $key: String!) {
  purchase(input: { productId: $product, idempotencyKey: $key }) {
    __typename
    ... on PurchaseSuccess { transaction { id } user { balance } item { quantity } replayed }
  }
}"""
USE = PURCHASE.replace("Buy", "Use").replace("purchase(", "useItem(").replace("Purchase", "UseItem")
ADD_FUNDS = """mutation Add($user: ID!, $key: String!) {
  addFunds(input: { userId: $user, amount: 1, idempotencyKey: $key }) {
    __typename
    ... on AddFundsSuccess { transaction { id } user { balance } replayed }
  }
}"""
INVENTORY = "{ inventory { id quantity purchasedAt product { id name price type } } }"
POPULAR = "{ popularProducts { rank purchases product { id name price type } } }"

OF_MERCURIUS = {
    rows.PURCHASE: """mutation Buy($user: Int!, $product: Int!, $key: String!) {
  purchase(input: { userId: $user, productId: $product, idempotencyKey: $key }) {
    __typename transaction { id } user { balance } item { quantity } replayed
  }
}""",
    rows.INVENTORY: """query Held($user: Int!) {
  inventory(userId: $user) { id quantity purchasedAt product { id name price type } }
}""",
}
OF_POSTGRAPHILE = {
    rows.PURCHASE: """mutation Buy($user: Int!, $product: Int!, $key: String!) {
  purchase(input: { userId: $user, productId: $product, idempotencyKey: $key }) {
    result { __typename transactionId balance quantity replayed }
  }
}""",
    rows.INVENTORY: """query Held($user: Int!) {
  inventoryOf(userId: $user) {
    nodes { rowId quantity purchasedAt productByProductId { rowId name price type } }
  }
}""",
}
OURS = {
    rows.PURCHASE: (PURCHASE, {"product": "@PRODUCT@", "key": "@KEY@"}),
    rows.USE: (USE, {"product": "@PRODUCT@", "key": "@KEY@"}),
    rows.ADD_FUNDS: (ADD_FUNDS, {"user": "@USER@", "key": "@KEY@"}),
    rows.CACHED: (INVENTORY, {}),
    rows.UNCACHED: (INVENTORY, {}),
    rows.POPULAR: (POPULAR, {}),
}
REST = {
    rows.PURCHASE: ("POST /products/@PRODUCT@/purchase", '{"quantity":1}'),
    rows.USE: ("POST /products/@PRODUCT@/use", '{"quantity":1}'),
    rows.ADD_FUNDS: ("POST /users/@USER@/add-funds", '{"amount":1}'),
    rows.CACHED: ("GET /users/@USER@/inventory", ""),
    rows.UNCACHED: ("GET /users/@USER@/inventory", ""),
    rows.POPULAR: ("GET /analytics/popular-products", ""),
}
# What a successful answer contains, and how often.
SUCCESS = {
    rows.PURCHASE: ('"__typename":"PurchaseSuccess"', 1),
    rows.USE: ('"__typename":"UseItemSuccess"', 1),
    rows.ADD_FUNDS: ('"__typename":"AddFundsSuccess"', 1),
    rows.INVENTORY: ('"quantity":', ITEMS),
    rows.CACHED: ('"quantity":', ITEMS),
    rows.UNCACHED: ('"quantity":', ITEMS),
    rows.POPULAR: ('"rank":', 5),
}
OF_REST = ('"status":"completed"', 1)


@dataclass(frozen=True)
class Request:
    """@USER@, @PRODUCT@, @KEY@, @TOKEN@ and @LENGTH@ are filled in for each."""

    head: str
    body: str
    needle: str
    times: int

    def filled(self, user_id: int, key: str, token: str) -> bytes:
        values = {"USER": user_id, "PRODUCT": random.choice(product_ids(user_id)), "KEY": key}
        body = self.body
        for name, value in values.items():
            body = body.replace(f"@{name}@", str(value))
        head = self.head
        for name, value in (values | {"TOKEN": token, "LENGTH": len(body)}).items():
            head = head.replace(f"@{name}@", str(value))
        return (head + body).encode()

    def is_success(self, status: int, body: str) -> bool:
        return status == 200 and body.count(self.needle) == self.times


def request_of(row: Row, server_key: str) -> Request:
    needle, times = SUCCESS[row.work]
    if row.subject != rows.OURS:
        return Request(*_of_peer(row), needle, times)
    credential = "Authorization: Bearer @TOKEN@"
    if row.work == rows.ADD_FUNDS:
        credential = f"X-Api-Key: {server_key}"
    if row.transport == rows.REST:
        if row.work in rows.WRITES:
            needle, times = OF_REST
        line, body = REST[row.work]
        key = "Idempotency-Key: @KEY@" if row.work in rows.WRITES else ""
        return Request(_head(line, body, credential, key), body, needle, times)
    document, variables = OURS[row.work]
    body = _graphql(document, variables)
    return Request(_head("POST /graphql", body, credential), body, needle, times)


def _of_peer(row: Row) -> tuple[str, str]:
    """They have no credentials: that is in their favour."""
    documents = OF_MERCURIUS if row.subject == rows.MERCURIUS else OF_POSTGRAPHILE
    variables = {"user": "@USER@"}
    if row.work == rows.PURCHASE:
        variables |= {"product": "@PRODUCT@", "key": "@KEY@"}
    body = _graphql(documents[row.work], variables)
    for name in ("USER", "PRODUCT"):  # Int, not ID
        body = body.replace(f'"@{name}@"', f"@{name}@")
    return _head("POST /graphql", body), body


def _graphql(document: str, variables: dict[str, str]) -> str:
    asked = {"query": document} | ({"variables": variables} if variables else {})
    return json.dumps(asked, separators=(",", ":"))


def _head(line: str, body: str, *headers: str) -> str:
    of_body = ("Content-Type: application/json", "Content-Length: @LENGTH@") if body else ()
    lines = (f"{line} HTTP/1.1", "Host: 127.0.0.1", *headers, *of_body)
    return "\r\n".join(line for line in lines if line) + "\r\n\r\n"
