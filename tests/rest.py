"""What a test expects of REST: whole bodies, and refusals after which nothing has changed."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from http import HTTPStatus
from typing import Any

import httpx

from economy.app import create_app
from economy.models.inventory import InventoryRow
from economy.models.transaction import TransactionRow
from economy.models.user import UserRow
from economy.settings import Settings
from tests.journal import journal_of
from tests.shop import Headers, Shop

BOOST = {"id": 1, "name": "Буст на день", "description": "", "price": 100}
BOOST |= {"type": "consumable", "is_active": True}
PREMIUM = {"id": 2, "name": "Премиум-статус", "description": "", "price": 500}
PREMIUM |= {"type": "permanent", "is_active": True}

# The three that change something, as a server calls them for anna: path and a body without fault.
WRITES = [
    ("/products/1/purchase", {"user_id": 1}),
    ("/products/1/use", {"user_id": 1}),
    ("/users/1/add-funds", {"amount": 50}),
]
NOT_INTEGERS = ["true", "1.0", '"1"', "1e2", "[]", "{}"]
NO_IDS = ["abc", "01", "-1", "0", "1.0", "+1", " 1", str(2**63), str(2**70), "٣", "\x00"]


def instant(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def transaction_of(row: TransactionRow, **expected: Any) -> dict[str, Any]:
    """A completed one; its id and time are its own, the rest is told by the test."""
    shown = {"id": str(row.id), "status": "completed", "failure_code": None}
    return shown | {"created_at": instant(row.created_at)} | expected


def user_of(row: UserRow, *, balance: int, email: str | None = None) -> dict[str, Any]:
    shown = {"id": row.id, "username": row.username, "email": email or row.email}
    return shown | {"balance": balance, "created_at": instant(row.created_at)}


def item_of(row: InventoryRow, product: Mapping[str, Any], *, quantity: int) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": str(row.id), "product": product, "quantity": quantity}
    return shown | {"purchased_at": instant(row.purchased_at)}


async def last_row(shop: Shop, user: UserRow) -> TransactionRow:
    return (await journal_of(shop.services, user))[-1]


async def items(shop: Shop, user: UserRow) -> list[InventoryRow]:
    return (await shop.services.inventory.inventories([user.id]))[user.id]


def problem(
    status: int, code: str, detail: str, *, retryable: bool = False, **members: Any
) -> dict[str, Any]:
    return {
        "type": f"urn:economy:error:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "retryable": retryable,
        **members,
    }


def invalid(pointer: str, detail: str) -> dict[str, Any]:
    """One field that the service finds wrong."""
    errors = [{"pointer": pointer, "detail": detail}]
    return problem(422, "INVALID_INPUT", detail, errors=errors)


def malformed(pointer: str, detail: str) -> dict[str, Any]:
    """One field that has not even the right form."""
    return invalid(pointer, detail) | {"detail": f"{pointer}: {detail}"}


def assert_json(response: httpx.Response, expected: dict[str, Any]) -> None:
    """A success with exactly this body: `1`, `1.0` and `true` are different."""
    assert response.json() == expected, response.text
    assert json.dumps(response.json(), sort_keys=True) == json.dumps(expected, sort_keys=True)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"


def assert_problem(
    response: httpx.Response, expected: dict[str, Any], *, is_replay: bool = False
) -> None:
    assert response.json() == expected, response.text
    assert json.dumps(response.json(), sort_keys=True) == json.dumps(expected, sort_keys=True)
    assert response.status_code == expected["status"]
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers.get("retry-after") == ("1" if expected["retryable"] else None)
    assert response.headers.get("idempotent-replayed") == ("true" if is_replay else None)


@asynccontextmanager
async def open_shop(settings: Settings) -> AsyncIterator[Shop]:
    """A shop of its own behind an application with these settings; the database is migrated."""
    app = create_app(settings)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield await Shop.create(app, client)


async def post_text(shop: Shop, path: str, headers: Headers, body: bytes | str) -> httpx.Response:
    """A body exactly as it is written."""
    content = body if isinstance(body, bytes) else body.encode()
    headers = {"Content-Type": "application/json"} | headers
    return await shop.client.post(path, headers=headers, content=content)
