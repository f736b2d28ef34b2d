"""A small economy seen from outside: requests with a player's token or a server's key."""

from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI

from economy.api.tokens import PlayerTokens
from economy.models.user import UserRow
from economy.services import Services
from economy.services.access import ALL_SCOPES, Scope
from tests.world import World

Headers = dict[str, str]


@dataclass
class Shop:
    world: World
    client: httpx.AsyncClient
    services: Services
    server: Headers  # a key with every scope

    @classmethod
    async def create(cls, app: FastAPI, client: httpx.AsyncClient) -> "Shop":
        services: Services = app.state.services
        key = await services.server_keys.create_key(ALL_SCOPES)
        return cls(await World.create(services), client, services, {"X-Api-Key": key})

    def player(self, user: UserRow) -> Headers:
        token = PlayerTokens(self.services.settings).issue(user.id)
        return {"Authorization": f"Bearer {token}"}

    async def key_with(self, *scopes: Scope) -> Headers:
        return {"X-Api-Key": await self.services.server_keys.create_key(frozenset(scopes))}

    async def graphql(
        self, document: str, headers: Headers | None = None, **variables: Any
    ) -> dict[str, Any]:
        """The answer's body, whatever is in it."""
        response = await self.client.post(
            "/graphql", json={"query": document, "variables": variables}, headers=headers or {}
        )
        assert response.headers["content-type"] == "application/json; charset=utf-8"
        body: dict[str, Any] = response.json()
        return body
