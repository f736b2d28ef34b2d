"""Player tokens: JWTs with a pinned algorithm, checked against a secret or a JWKS."""

import asyncio
import json
import logging
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import jwt

from economy.errors import Unauthenticated, Unavailable
from economy.services.access import parse_id
from economy.settings import Settings

logger = logging.getLogger(__name__)

LEEWAY_SECONDS = 10  # clocks differ
MOST_KNOWN = 20_000  # tokens, of some 0.5 kB each
REQUIRED_CLAIMS = ["sub", "exp", "aud", "iss"]


class _Known(NamedTuple):
    """Of a token that was found valid: only the passing of time can change that."""

    user_id: int
    expires_at: float  # seconds since 1970; without leeway, which is asked of PyJWT


class PlayerTokens:
    def __init__(self, settings: Settings) -> None:
        self._known: dict[str, _Known] = {}
        self._secret = settings.jwt_secret.get_secret_value()
        self._audience = settings.jwt_audience
        self._issuer = settings.jwt_issuer
        self._ttl = timedelta(seconds=settings.token_ttl_seconds)
        self._jwks = None if settings.jwt_jwks is None else _key_set(settings.jwt_jwks)

    def require_key_file(self) -> None:
        """Raises OSError or ValueError where the keys are in a file that cannot be read. An URL is
        asked later: who answers it may start after us."""
        if isinstance(self._jwks, _KeyFile):
            try:
                self._jwks.read()
            except jwt.PyJWKSetError as error:
                raise ValueError(str(error)) from None

    def issue(self, user_id: int) -> str:
        """A token that the secret signs. Raises ValueError when tokens come from a JWKS' owner."""
        if self._jwks is not None:
            raise ValueError("player tokens are issued by the owner of ECONOMY_JWT_JWKS")
        now = datetime.now(UTC)
        claims = {
            "sub": str(user_id),
            "iat": now,
            "exp": now + self._ttl,
            "aud": self._audience,
            "iss": self._issuer,
        }
        return jwt.encode(claims, self._secret, algorithm="HS256")

    async def user_id_of(self, token: str) -> int:
        """Raises Unauthenticated for whatever is wrong with the token; Unavailable without keys."""
        if (known := self._known.get(token)) is not None and time.time() < known.expires_at:
            return known.user_id
        try:
            if self._jwks is None:
                claims = self._decoded(token, self._secret, "HS256")
            else:
                claims = self._decoded(token, await _public_key(self._jwks, token), "RS256")
        except jwt.PyJWTError:
            raise Unauthenticated("The token is not valid.") from None
        user_id = parse_id(claims["sub"])
        if user_id is None:
            raise Unauthenticated("The token names no user.")
        if self._jwks is None:  # a key of a set may be withdrawn, the secret not
            self._remember(token, _Known(user_id, int(claims["exp"])))
        return user_id

    def _remember(self, token: str, known: "_Known") -> None:
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[token] = known

    def _decoded(self, token: str, key: Any, algorithm: str) -> dict[str, Any]:
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=self._audience,
            issuer=self._issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": REQUIRED_CLAIMS},
        )


async def _public_key(jwks: "jwt.PyJWKClient | _KeyFile", token: str) -> Any:
    """The one that the token names. Raises PyJWTError; Unavailable if the set cannot be read."""
    try:
        # reads a file or the network, which blocks
        key = await asyncio.to_thread(jwks.get_signing_key_from_jwt, token)
    except (jwt.PyJWKClientConnectionError, jwt.PyJWKSetError, OSError, ValueError) as error:
        logger.error("the key set cannot be read: %s", error)
        raise Unavailable from error
    if key.algorithm_name != "RS256":  # a set may hold others, and anybody may name them
        raise jwt.InvalidAlgorithmError
    return key.key


class _KeyFile:
    """A JWKS in a file; the library's own client reads only from the network."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def get_signing_key_from_jwt(self, token: str) -> jwt.PyJWK:
        """Reads the file anew: a key that was rotated in or out counts at once."""
        wanted = jwt.get_unverified_header(token).get("kid")
        for key in self.read().keys:
            if key.key_id == wanted:
                return key
        raise jwt.PyJWKClientError("no such key")

    def read(self) -> jwt.PyJWKSet:
        """Raises OSError, ValueError, PyJWKSetError."""
        content = json.loads(self._file.read_bytes())
        if not isinstance(content, dict):
            raise jwt.PyJWKSetError("it is no JSON object")
        return jwt.PyJWKSet.from_dict(content)


def _key_set(location: str) -> jwt.PyJWKClient | _KeyFile:
    if location.startswith(("http://", "https://")):
        return jwt.PyJWKClient(location)
    return _KeyFile(Path(location))
