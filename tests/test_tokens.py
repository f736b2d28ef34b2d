"""Player tokens by secret and by key set: what is let in and what is refused."""

import hmac
import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

from economy.api.tokens import PlayerTokens
from economy.errors import Unauthenticated, Unavailable
from economy.settings import DEVELOPMENT_JWT_SECRET, Settings


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims, changed; a claim set to None is left out."""
    good = {
        "sub": "7",
        "exp": datetime.now(UTC) + timedelta(days=1),
        "aud": "economy",
        "iss": "economy",
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


def signed(**changes: Any) -> str:
    return jwt.encode(claims(**changes), DEVELOPMENT_JWT_SECRET, algorithm="HS256")


async def test_a_token_of_ours_names_its_user() -> None:
    tokens = PlayerTokens(Settings())
    assert await tokens.user_id_of(tokens.issue(42)) == 42
    assert await tokens.user_id_of(signed()) == 7


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": datetime.now(UTC) - timedelta(minutes=1)},
        {"exp": None},
        {"nbf": datetime.now(UTC) + timedelta(hours=12)},
        {"aud": "another"},
        {"aud": None},
        {"iss": "another"},
        {"iss": None},
        {"sub": None},
        {"sub": "abc"},
        {"sub": "0"},
        {"sub": str(2**63)},
    ],
)
async def test_a_token_with_a_wrong_claim_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        await PlayerTokens(Settings()).user_id_of(signed(**changes))


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        jwt.encode(claims(), "another-secret-of-at-least-32-bytes!", algorithm="HS256"),
        jwt.encode(claims(), DEVELOPMENT_JWT_SECRET * 2, algorithm="HS512"),
        jwt.encode(claims(), "", algorithm="none"),
    ],
)
async def test_a_token_that_is_not_signed_our_way_is_refused(token: str) -> None:
    with pytest.raises(Unauthenticated):
        await PlayerTokens(Settings()).user_id_of(token)


@pytest.fixture(scope="session")
def keys() -> list[RSAPrivateKey]:
    return [generate_private_key(65537, 2048) for _ in range(2)]


def write_key_set(file: Path, *keys: RSAPrivateKey) -> None:
    public = [
        json.loads(RSAAlgorithm.to_jwk(key.public_key())) | {"kid": str(id(key)), "use": "sig"}
        for key in keys
    ]
    file.write_text(json.dumps({"keys": public}))


def signed_by(key: RSAPrivateKey) -> str:
    return jwt.encode(claims(), key, algorithm="RS256", headers={"kid": str(id(key))})


async def test_a_key_set_is_followed_when_it_rotates(
    tmp_path: Path, keys: list[RSAPrivateKey]
) -> None:
    old, new = keys
    file = tmp_path / "jwks.json"
    write_key_set(file, old)
    tokens = PlayerTokens(Settings(jwt_jwks=str(file)))
    assert await tokens.user_id_of(signed_by(old)) == 7
    with pytest.raises(Unauthenticated):
        await tokens.user_id_of(signed_by(new))
    write_key_set(file, old, new)
    assert await tokens.user_id_of(signed_by(new)) == 7


def forged(secret: bytes, header: dict[str, str]) -> str:
    """By hand: no library signs with a public key any more."""
    payload = claims() | {"exp": int(claims()["exp"].timestamp())}
    parts = [
        urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, payload)
    ]
    signature = hmac.digest(secret, b".".join(parts), "sha256")
    return b".".join([*parts, urlsafe_b64encode(signature).rstrip(b"=")]).decode()


async def test_a_public_key_is_not_taken_for_a_secret(
    tmp_path: Path, keys: list[RSAPrivateKey]
) -> None:
    """The key-confusion attack: HS256 with the text of the public key as its secret."""
    file = tmp_path / "jwks.json"
    write_key_set(file, keys[0])
    tokens = PlayerTokens(Settings(jwt_jwks=str(file)))
    public_key = keys[0].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    confused = forged(public_key, {"alg": "HS256", "kid": str(id(keys[0]))})
    for token in (confused, signed()):
        with pytest.raises(Unauthenticated):
            await tokens.user_id_of(token)
    with pytest.raises(ValueError, match="ECONOMY_JWT_JWKS"):
        tokens.issue(7)


@pytest.mark.parametrize("location", ["/nowhere/jwks.json", "http://127.0.0.1:1/jwks.json"])
async def test_without_its_key_set_the_service_is_unavailable(
    location: str, keys: list[RSAPrivateKey]
) -> None:
    with pytest.raises(Unavailable):
        await PlayerTokens(Settings(jwt_jwks=location)).user_id_of(signed_by(keys[0]))
