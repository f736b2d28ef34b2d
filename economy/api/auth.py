"""From a request's headers to the actor: the one place that reads credentials."""

from starlette.types import Scope

from economy.api.headers import header
from economy.api.limits import note_failed_authentication
from economy.api.requests import note_actor
from economy.api.tokens import PlayerTokens
from economy.errors import Unauthenticated
from economy.services import Services
from economy.services.access import Actor


class Authenticator:
    def __init__(self, tokens: PlayerTokens, services: Services) -> None:
        self._tokens = tokens
        self._services = services

    async def actor_of(self, scope: Scope) -> Actor | None:
        """None: anonymous. A bad credential is never taken for none: Unauthenticated, or
        RateLimited after too many of them."""
        try:
            actor = await self._actor_of(scope)
        except Unauthenticated:
            await note_failed_authentication(self._services, scope)
            raise
        if actor is not None:
            note_actor(actor.name)
        return actor

    async def _actor_of(self, scope: Scope) -> Actor | None:
        authorization, key = header(scope, b"authorization"), header(scope, b"x-api-key")
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
        actor = await self._services.server_keys.find_actor(key)
        if actor is None:
            raise Unauthenticated("The server key is not valid.")
        return actor
