"""What endpoints ask of a request: who asks, the services, the idempotency key."""

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from economy.errors import IdempotencyKeyMissing
from economy.services import Services
from economy.services.access import Actor

# The route has read both; here they only show up in OpenAPI.
_bearer = HTTPBearer(auto_error=False, scheme_name="player", description="A player's token.")
_api_key = APIKeyHeader(
    name="X-Api-Key", auto_error=False, scheme_name="server", description="A game server's key."
)


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def _actor(
    request: Request,
    _player: Annotated[object, Security(_bearer)],
    _server: Annotated[object, Security(_api_key)],
) -> Actor:
    actor: Actor = request.state.actor
    return actor


async def _idempotency_key(request: Request) -> str | None:
    """As a structured header the key stands in quotes: draft-ietf-httpapi-idempotency-key-header.

    Raises IdempotencyKeyMissing when there are two: which one is meant?
    """
    keys = request.headers.getlist("idempotency-key")
    if not keys:
        return None
    if len(keys) > 1:
        raise IdempotencyKeyMissing
    key = keys[0]
    is_quoted = len(key) >= 2 and key[0] == key[-1] == '"'
    return key[1:-1] if is_quoted else key


CurrentActor = Annotated[Actor, Depends(_actor)]
CurrentServices = Annotated[Services, Depends(_services)]
IdempotencyKey = Annotated[str | None, Depends(_idempotency_key)]
