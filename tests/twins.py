"""Two processes of an application with one Redis, and one that keeps nothing, on one database."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
from fastapi import FastAPI

from economy.api.tokens import PlayerTokens
from economy.app import create_app
from economy.cache import INVENTORY_ANSWERS
from economy.models.user import UserRow
from economy.services import Services
from economy.settings import Settings
from tests.cache_source import cache_figures
from tests.shop import Headers, Shop
from tests.world import World


@dataclass
class Process:
    """One application, asked without a network between."""

    app: FastAPI
    client: httpx.AsyncClient

    @property
    def services(self) -> Services:
        services: Services = self.app.state.services
        return services

    @property
    def kept(self) -> tuple[int, int, int]:
        """Answers that were found, that were not, and that were not kept as a writer was first."""
        return cache_figures(self.app.state.metrics, INVENTORY_ANSWERS)

    async def ask(self, who: Headers, document: str, **variables: Any) -> httpx.Response:
        body = {"query": document, "variables": variables}
        return await self.client.post("/graphql", json=body, headers=who)

    async def answer(self, who: Headers, document: str, **variables: Any) -> bytes:
        """Of a query that is answered."""
        response = await self.ask(who, document, **variables)
        assert response.status_code == 200, response.text
        return response.content


@dataclass
class Twins:
    world: World  # in the first process
    server: Headers  # a key with every scope
    one: Process
    other: Process
    plain: Process

    @property
    def anna(self) -> Headers:
        return self.player(self.world.anna)

    @property
    def boris(self) -> Headers:
        return self.player(self.world.boris)

    def player(self, user: UserRow) -> Headers:
        token = PlayerTokens(self.one.services.settings).issue(user.id)
        return {"Authorization": f"Bearer {token}"}

    def world_in(self, process: Process) -> World:
        return replace(self.world, services=process.services)


@asynccontextmanager
async def open_twins(settings: Settings) -> AsyncIterator[Twins]:
    """Anna holds two boosts and has the premium status, Boris holds one boost; both have coins."""
    without = settings.model_copy(update={"redis_url": None, "workers": 2})
    async with AsyncExitStack() as stack:
        processes = []
        for each in (settings, settings, without):
            app = create_app(each)
            await stack.enter_async_context(app.router.lifespan_context(app))
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            client = httpx.AsyncClient(transport=transport, base_url="http://test")
            processes.append(Process(app, await stack.enter_async_context(client)))
        one, other, plain = processes
        shop = await Shop.create(one.app, one.client)
        world = shop.world
        for user in (world.anna, world.boris):
            await world.credit(user, 10_000)
            await world.buy(user, world.boost)
        await world.buy(world.anna, world.boost)
        await world.buy(world.anna, world.premium)
        yield Twins(world, shop.server, one, other, plain)


def twin_settings(database_url: str, redis_url: str, **changes: Any) -> Settings:
    values: dict[str, Any] = {"database_url": database_url, "redis_url": redis_url}
    # on a noisy machine a slow answer must not look like a failure
    values |= {"redis_timeout_seconds": 10, "jobs_in_server": False} | changes
    return Settings.model_validate(values)
