"""A bad credential is refused before anything of a document runs."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from economy.settings import DEVELOPMENT_JWT_SECRET, Settings
from tests.graphql_answers import UNAUTHENTICATED
from tests.journal import nothing_changes
from tests.shop import Headers, Shop

BUY = """mutation { purchase(input: {productId: 1, idempotencyKey: "k"}) {
    ... on PurchaseSuccess { user { balance } } } }"""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Here one address may send as many bad credentials as it likes."""
    return settings.model_copy(update={"rate_limit_failed_authentication": ""})


def bearer(token: str) -> Headers:
    return {"Authorization": f"Bearer {token}"}


def signed(secret: str = DEVELOPMENT_JWT_SECRET, algorithm: str = "HS256", **changes: Any) -> str:
    """A good token of anna's, changed; a claim set to None is left out."""
    claims = {"sub": "1", "exp": datetime.now(UTC) + timedelta(days=1)}
    claims |= {"aud": "economy", "iss": "economy"} | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, secret, algorithm=algorithm)


def unsigned(header: bytes) -> str:
    """A token with such a header, and a signature that is none."""
    claims = {"sub": "1", "exp": 2**40, "aud": "economy", "iss": "economy"}
    parts = [header, json.dumps(claims).encode()]
    texts = [base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts]
    return ".".join([*texts, ""])


BAD_TOKENS = {
    "expired": signed(exp=datetime.now(UTC) - timedelta(minutes=1)),
    "not valid yet": signed(nbf=datetime.now(UTC) + timedelta(hours=12)),
    "for ever": signed(exp=None),
    "another audience": signed(aud="another"),
    "no audience": signed(aud=None),
    "another issuer": signed(iss="another"),
    "no issuer": signed(iss=None),
    "no subject": signed(sub=None),
    "a name as subject": signed(sub="abc"),
    "user 0": signed(sub="0"),
    "a user beyond the last": signed(sub=str(2**63)),
    "another secret": signed("another-secret-of-at-least-32-bytes!"),
    "another algorithm": signed(DEVELOPMENT_JWT_SECRET * 2, "HS512"),
    "no algorithm": unsigned(b'{"alg": "none", "typ": "JWT"}'),
    "no signature": unsigned(b'{"alg": "HS256", "typ": "JWT"}'),
    "no header": unsigned(b""),
    "a header that is a list": unsigned(b"[]"),
    "a header that is deep": unsigned(b"[" * 3_000),
    "a header with a long number": unsigned(b'{"alg": ' + b"9" * 5_000 + b"}"),
    "a header that is no text": unsigned(b"\xff\xfe"),
    "no token": "nonsense",
    "dots": "...",
    "a long one": "x" * 10_000,
}


def bad_credentials(shop: Shop) -> dict[str, Headers]:
    good = signed()
    return {name: bearer(token) for name, token in BAD_TOKENS.items()} | {
        "an unknown key": {"X-Api-Key": "eck_unknown"},
        "an empty key": {"X-Api-Key": ""},
        "a key that is no text": {"X-Api-Key": "\xff"},
        "an empty header": {"Authorization": ""},
        "no token behind the scheme": {"Authorization": "Bearer "},
        "another scheme": {"Authorization": f"Basic {good}"},
        "no scheme": {"Authorization": good},
        "two tokens": {"Authorization": f"Bearer {good} {good}"},
        "both": bearer(good) | shop.server,
        "both, one of them bad": bearer("nonsense") | shop.server,
    }


async def test_bad_credentials(shop: Shop) -> None:
    """401 in either media type, a challenge, and no data; nothing has happened."""
    await shop.world.credit(shop.world.anna, 100)
    asked = {"application/json": BUY, "application/graphql-response+json": "{ nothing }"}
    async with nothing_changes(shop.world):
        for name, credential in bad_credentials(shop).items():
            raw = {key.encode(): value.encode("latin-1") for key, value in credential.items()}
            for media, document in asked.items():
                headers = raw | {b"Accept": media.encode()}
                values = {"query": document}
                response = await shop.client.post("/graphql", json=values, headers=headers)
                assert response.status_code == 401, name
                assert response.headers["www-authenticate"] == 'Bearer realm="economy"'
                assert response.headers["content-type"] == f"{media}; charset=utf-8"
                assert response.headers["vary"] == "Accept"
                body = response.json()
                [error] = body.pop("errors")
                assert (body, error["extensions"]) == ({}, UNAUTHENTICATED), name


async def test_good_credentials(shop: Shop) -> None:
    """The scheme's name is in any letters."""
    await shop.world.credit(shop.world.anna, 500)
    token = signed()
    for balance, headers in (
        (400, bearer(token)),
        (300, {"Authorization": f"bearer {token}"}),
        (200, {"Authorization": f"BEARER   {token}  "}),
        (100, bearer(signed(aud=["other", "economy"]))),
    ):
        body = await shop.graphql(BUY.replace('"k"', f'"{balance}"'), headers)
        assert body == {"data": {"purchase": {"user": {"balance": balance}}}}


async def test_without_a_credential_nothing_is_bought(shop: Shop) -> None:
    async with nothing_changes(shop.world):
        body = await shop.graphql(BUY)
    assert body["data"] == {"purchase": None}
    assert [error["extensions"] for error in body["errors"]] == [UNAUTHENTICATED]
