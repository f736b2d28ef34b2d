"""From a request's headers to the actor: the one place that reads credentials."""

from starlette.datastructures import Headers

from economy.api.tokens import PlayerTokens
from economy.errors import Unauthenticated
from economy.services.access import Actor
from economy.services.server_key import ServerKeyService

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="economy"'}  # RFC 9110, section 11.6.1


class Authenticator:
    def __init__(self, tokens: PlayerTokens, server_keys: ServerKeyService) -> None:
        self._tokens = tokens
        self._server_keys = server_keys

    async def actor_of(self, headers: Headers) -> Actor | None:
        """None: anonymous. A bad credential is never taken for none: Unauthenticated."""
        authorization, key = headers.get("authorization"), headers.get("x-api-key")
        if authorization is not None and key is not None:
            raise Unauthenticated("Send one credential: a token or a server key.")
        if authorization is not None:
            return await self._player(authorization)
        if key is not None:
            return await self._server(key)
        return None

    async def _player(self, authorization: str) -> Actor:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated("The Authorization header must be: Bearer <token>.")
        return Actor.player(await self._tokens.user_id_of(token.strip()))

    async def _server(self, key: str) -> Actor:
        actor = await self._server_keys.find_actor(key)
        if actor is None:
            raise Unauthenticated("The server key is not valid.")
        return actor
