"""Player tokens: JWTs with a pinned algorithm, checked against a secret or a JWKS."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt

from economy.errors import Unauthenticated, Unavailable
from economy.services.access import parse_id
from economy.settings import Settings

logger = logging.getLogger(__name__)

LEEWAY_SECONDS = 10  # clocks differ
REQUIRED_CLAIMS = ["sub", "exp", "aud", "iss"]


class PlayerTokens:
    def __init__(self, settings: Settings) -> None:
        self._secret = settings.jwt_secret.get_secret_value()
        self._audience = settings.jwt_audience
        self._issuer = settings.jwt_issuer
        self._ttl = timedelta(seconds=settings.token_ttl_seconds)
        self._jwks = None if settings.jwt_jwks is None else _key_set(settings.jwt_jwks)

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
        try:
            if self._jwks is None:
                claims = self._decoded(token, self._secret, "HS256")
            else:
                # reads a file or the network, which blocks
                key = await asyncio.to_thread(self._jwks.get_signing_key_from_jwt, token)
                claims = self._decoded(token, key.key, "RS256")
        except (jwt.PyJWKClientConnectionError, OSError) as error:
            logger.error("the key set cannot be read: %s", error)
            raise Unavailable from error
        except jwt.PyJWTError:
            raise Unauthenticated("The token is not valid.") from None
        user_id = parse_id(claims["sub"])
        if user_id is None:
            raise Unauthenticated("The token names no user.")
        return user_id

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


class _KeyFile:
    """A JWKS in a file; the library's own client reads only from the network."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def get_signing_key_from_jwt(self, token: str) -> jwt.PyJWK:
        """Reads the file anew: a key that was rotated in or out counts at once."""
        wanted = jwt.get_unverified_header(token).get("kid")
        for key in jwt.PyJWKSet.from_json(self._file.read_text()).keys:
            if key.key_id == wanted:
                return key
        raise jwt.PyJWKClientError("no such key")


def _key_set(location: str) -> jwt.PyJWKClient | _KeyFile:
    if location.startswith(("http://", "https://")):
        return jwt.PyJWKClient(location)
    return _KeyFile(Path(location))
