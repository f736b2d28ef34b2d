"""What a test expects of REST: whole bodies, and refusals after which nothing has changed."""

import json
import re
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
    shown: dict[str, Any] = {"id": str(row.id), "status": "completed", "failure_code": None}
    shown |= {"debt_after": 0, "target_id": None, "shortfall": None}
    at = instant(row.created_at)
    return shown | {"created_at": at, "completed_at": at} | expected


def user_of(row: UserRow, *, balance: int, email: str | None = None) -> dict[str, Any]:
    shown = {"id": row.id, "username": row.username, "email": email or row.email}
    shown |= {"debt": 0, "deleted_at": None}
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
    retry_after = str(expected.get("retry_after", 1)) if expected["retryable"] else None
    assert response.headers.get("retry-after") == retry_after
    assert response.headers.get("idempotent-replayed") == ("true" if is_replay else None)


def limits_of(response: httpx.Response) -> dict[str, tuple[int, int, int]]:
    """What the headers tell of each limit: quota, window in seconds, how many are left."""
    policies = _limit_header(response, "RateLimit-Policy", "q", "w")
    rests = _limit_header(response, "RateLimit", "r", "t")
    assert policies.keys() == rests.keys()
    for name, (_, reset_seconds) in rests.items():
        assert 1 <= reset_seconds <= policies[name][1]
    return {name: (*policies[name], rests[name][0]) for name in policies}


def left_of(response: httpx.Response) -> dict[str, int]:
    return {name: left for name, (_, _, left) in limits_of(response).items()}


def _limit_header(response: httpx.Response, name: str, *keys: str) -> dict[str, tuple[int, int]]:
    """A list of structured fields, each a name with two parameters; without the header empty."""
    found: dict[str, tuple[int, int]] = {}
    for one in filter(None, response.headers.get(name, "").split(", ")):
        match = re.fullmatch('"([a-z-]+)";{}=([0-9]+);{}=([0-9]+)'.format(*keys), one)
        assert match is not None, one
        found[match[1]] = (int(match[2]), int(match[3]))
    return found


def assert_rate_limited(
    response: httpx.Response, limit: str, quota: int, window_seconds: int
) -> int:
    """After how many seconds to try again."""
    retry_after = int(response.headers["retry-after"])
    assert 1 <= retry_after <= window_seconds
    expected = problem(
        429,
        "RATE_LIMITED",
        f"No more than {quota} ({limit}) in {window_seconds} seconds: try again in {retry_after}.",
        retryable=True,
        retry_after=retry_after,
        limit=limit,
        quota=quota,
        window_seconds=window_seconds,
    )
    assert_problem(response, expected)
    assert limits_of(response)[limit] == (quota, window_seconds, 0)
    assert "www-authenticate" not in response.headers
    return retry_after


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
