"""Player tokens by a key set at a URL: rotation, outages, and what forgers try."""

import http.server
import json
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from economy.api.tokens import PlayerTokens
from economy.errors import Unauthenticated, Unavailable
from economy.settings import Settings
from tests.rest import open_shop
from tests.test_tokens import claims, forged

Key = dict[str, Any]


@dataclass
class Issuer:
    """Whoever makes the players' tokens, and publishes what checks them."""

    url: str = ""
    content: bytes = b""
    status: int = 200
    requests: list[str] = field(default_factory=list)

    def publish(self, *keys: Key) -> None:
        self.content = json.dumps({"keys": keys}).encode()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """A real server on a real socket."""
    issuer = Issuer()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.requests.append(self.path)
            self.send_response(issuer.status)
            self.send_header("Content-Length", str(len(issuer.content)))
            self.end_headers()
            self.wfile.write(issuer.content)

        def log_message(self, *_: object) -> None:
            """Not into the tests' output."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        issuer.url = f"http://127.0.0.1:{server.server_port}/jwks.json"
        yield issuer
        server.shutdown()


@pytest.fixture(scope="module")
def keys() -> list[RSAPrivateKey]:
    return [generate_private_key(65537, 2048) for _ in range(2)]


def public(key: RSAPrivateKey, kid: str, **changes: Any) -> Key:
    shown: Key = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
    return shown | {"kid": kid, "use": "sig"} | changes


def signed(key: Any, kid: str | None, algorithm: str = "RS256", **changes: Any) -> str:
    headers = None if kid is None else {"kid": kid}
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers=headers)


def tokens_of(issuer: Issuer) -> PlayerTokens:
    return PlayerTokens(Settings(jwt_jwks=issuer.url))


def pass_time(tokens: PlayerTokens, seconds: float) -> None:
    """As the library's client counts it from its last fetch on."""
    client = tokens._jwks
    assert isinstance(client, jwt.PyJWKClient)
    assert client._last_successful_fetch is not None
    client._last_successful_fetch -= seconds


async def assert_refused(tokens: PlayerTokens, token: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await tokens.user_id_of(token)
    assert caught.value.message == "The token is not valid."


async def test_keys_rotate_without_a_restart(issuer: Issuer, keys: list[RSAPrivateKey]) -> None:
    old, new = keys
    issuer.publish(public(old, "1"))
    tokens = tokens_of(issuer)
    for _ in range(5):
        assert await tokens.user_id_of(signed(old, "1")) == 7
    assert issuer.requests == ["/jwks.json"]
    issuer.publish(public(old, "1"), public(new, "2"))
    pass_time(tokens, 31)
    for key, kid in ((new, "2"), (old, "1"), (new, "2")):
        assert await tokens.user_id_of(signed(key, kid)) == 7
    assert len(issuer.requests) == 2
    # the old one is withdrawn: what asks for another new one finds it out
    issuer.publish(public(new, "2"))
    pass_time(tokens, 31)
    await assert_refused(tokens, signed(new, "3"))
    assert await tokens.user_id_of(signed(new, "2")) == 7
    await assert_refused(tokens, signed(old, "1"))
    assert len(issuer.requests) == 3


async def test_unknown_keys_do_not_flood_the_issuer(
    issuer: Issuer, keys: list[RSAPrivateKey]
) -> None:
    """Anybody may name a key that is not there, as often as they like."""
    issuer.publish(public(keys[0], "1"))
    tokens = tokens_of(issuer)
    for number in range(50):
        await assert_refused(tokens, signed(keys[1], f"unknown-{number}"))
    assert len(issuer.requests) == 1
    assert await tokens.user_id_of(signed(keys[0], "1")) == 7


async def test_an_issuer_that_is_down_for_a_while(
    issuer: Issuer, keys: list[RSAPrivateKey]
) -> None:
    """What is known still counts; who names an unknown key is told to try again."""
    issuer.publish(public(keys[0], "1"))
    tokens = tokens_of(issuer)
    assert await tokens.user_id_of(signed(keys[0], "1")) == 7
    issuer.status = 500
    pass_time(tokens, 31)
    with pytest.raises(Unavailable):
        await tokens.user_id_of(signed(keys[1], "2"))
    assert await tokens.user_id_of(signed(keys[0], "1")) == 7


BROKEN = [b"", b"hello", b"\xff\xfe", b"{", b'{"keys": []}', b'{"keys": null}', b"{}", b"[" * 900]


@pytest.mark.parametrize("content", BROKEN)
async def test_a_key_set_that_is_none(
    issuer: Issuer, keys: list[RSAPrivateKey], content: bytes
) -> None:
    """The tokens may be good: it is not their bearer's fault. It heals by itself."""
    issuer.content = content
    tokens = tokens_of(issuer)
    with pytest.raises(Unavailable):
        await tokens.user_id_of(signed(keys[0], "1"))
    issuer.publish(public(keys[0], "1"))
    assert await tokens.user_id_of(signed(keys[0], "1")) == 7


@pytest.mark.parametrize("content", [*BROKEN, b"[]", b"null"])
async def test_a_key_file_that_is_none(
    tmp_path: Any, keys: list[RSAPrivateKey], content: bytes
) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(content)
    tokens = PlayerTokens(Settings(jwt_jwks=str(file)))
    with pytest.raises(Unavailable):
        await tokens.user_id_of(signed(keys[0], "1"))
    file.write_text(json.dumps({"keys": [public(keys[0], "1")]}))
    assert await tokens.user_id_of(signed(keys[0], "1")) == 7


def part(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


HEADERS = [
    b"{}",
    b"[]",
    b"[" * 3_000,
    b'{"alg": "RS256", "kid": 1}',
    b'{"alg": "RS256", "kid": {}}',
    b'{"alg": "RS256", "kid": "1", "crit": ["exp"]}',
    b'{"kid": "1", "alg": ' + b"9" * 5_000 + b"}",
]


async def test_forgeries(issuer: Issuer, keys: list[RSAPrivateKey], tmp_path: Any) -> None:
    """The public keys are no secret, nor are their names; all that is asked is one more key."""
    trusted, foreign = keys
    elliptic, secret = generate_ec_key(SECP256R1()), b"s" * 40
    elliptic_key = json.loads(ECAlgorithm.to_jwk(elliptic.public_key())) | {"kid": "ec"}
    shared_key = {"kty": "oct", "k": part(secret), "kid": "oct"}
    others = [elliptic_key, shared_key, public(foreign, "ps", alg="PS256")]
    issuer.publish(public(trusted, "1"), *others)
    file = tmp_path / "jwks.json"
    file.write_bytes(issuer.content)
    body = part(json.dumps({"sub": "7", "aud": "economy", "iss": "economy"}).encode())
    tokens = [
        signed(foreign, "1"),
        signed(trusted, "2"),
        signed(trusted, None),
        signed(trusted, "1", "RS512"),
        signed(trusted, "1", "PS256"),
        signed(foreign, "ps"),
        signed(foreign, "ps", "PS256"),
        signed(elliptic, "ec", "ES256"),
        signed(foreign, "ec"),
        signed(secret, "oct", "HS256"),
        signed(foreign, "oct"),
        signed(None, "1", "none"),
        forged(issuer.content, {"alg": "HS256", "kid": "1"}),
        forged(json.dumps(public(trusted, "1")).encode(), {"alg": "HS256", "kid": "1"}),
        forged(b"", {"alg": "HS256", "kid": "1"}),
        forged(b"", {"alg": "none", "kid": "1"}),
        forged(b"", {"alg": "RS256", "kid": "1", "jku": issuer.url}),
        *(f"{part(header)}.{body}.AAAA" for header in HEADERS),
        signed(trusted, "1", exp=datetime.now(UTC) - timedelta(minutes=1)),
        signed(trusted, "1", nbf=datetime.now(UTC) + timedelta(minutes=1)),
        signed(trusted, "1", aud="another"),
        signed(trusted, "1", iss="another"),
        signed(trusted, "1")[:-3] + "AAA",
        "\xff",
        "ключ",
    ]
    for location in (issuer.url, str(file)):
        checked = PlayerTokens(Settings(jwt_jwks=location))
        assert await checked.user_id_of(signed(trusted, "1")) == 7
        for token in tokens:
            await assert_refused(checked, token)


async def test_over_http(issuer: Issuer, keys: list[RSAPrivateKey], sqlite_url: str) -> None:
    """A token, a forged one, and a set that cannot be read: 200, 401, 503 over both."""
    settings = Settings(database_url=sqlite_url, jwt_jwks=issuer.url, jobs_in_server=False)
    issuer.content = b"nothing"
    async with open_shop(settings) as shop:
        anna = str(shop.world.anna.id)
        good, bad = signed(keys[0], "1", sub=anna), signed(keys[1], "1", sub=anna)
        for token, status in ((good, 503), (good, 200), (bad, 401), (good, 200)):
            headers = {"Authorization": f"Bearer {token}"}
            rest = await shop.client.get(f"/users/{anna}/inventory", headers=headers)
            graphql = await shop.client.post(
                "/graphql", json={"query": "{ me { id } }"}, headers=headers
            )
            assert (rest.status_code, graphql.status_code) == (status, status)
            for response in (rest, graphql):
                assert response.headers.get("retry-after") == ("1" if status == 503 else None)
                assert ("www-authenticate" in response.headers) == (status == 401)
            issuer.publish(public(keys[0], "1"))
        assert graphql.json() == {"data": {"me": {"id": anna}}}
