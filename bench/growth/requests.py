"""One request as it goes over the wire, and what a right answer to it contains."""

import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bench.suite.requests import INVENTORY, PURCHASE

HISTORY = """query History($first: Int!, $after: String) {
  me { transactions(first: $first, after: $after) {
    nodes { id kind status amount balanceAfter createdAt product { id name price type } }
    pageInfo { endCursor hasNextPage }
  } }
}"""


@dataclass(frozen=True)
class Ask:
    request: bytes
    needles: tuple[tuple[bytes, int], ...]  # and how often each occurs

    def is_success(self, status: int, body: bytes) -> bool:
        return status == 200 and all(body.count(text) == times for text, times in self.needles)


def purchase(token: str, product_id: int) -> Ask:
    variables = {"product": str(product_id), "key": secrets.token_hex(8)}
    return Ask(_post(token, PURCHASE, variables), ((b'"__typename":"PurchaseSuccess"', 1),))


def inventory(token: str, items: int) -> Ask:
    return Ask(_post(token, INVENTORY, {}), ((b'"quantity":', items),))


def history(
    token: str, first: int, *, after: str | None = None, amounts: Collection[int] = ()
) -> Ask:
    """A full page; rows of these amounts are on it, once each."""
    each = [(f'"amount":{amount},'.encode(), 1) for amount in amounts]
    variables = {"first": first, "after": after}
    return Ask(_post(token, HISTORY, variables), ((b'"amount":', first), *each))


def _post(token: str, document: str, variables: Mapping[str, object]) -> bytes:
    asked: dict[str, object] = {"query": document}
    asked |= {"variables": variables} if variables else {}
    body = json.dumps(asked, separators=(",", ":")).encode()
    head = (
        "POST /graphql HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {token}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body
