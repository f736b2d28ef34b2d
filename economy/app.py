"""The web application: lifespan, and GraphQL, REST and health put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import FastAPI
from graphql import GraphQLSchema
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from economy.api import health
from economy.api.auth import Authenticator
from economy.api.cors import cors_options
from economy.api.graphql.graphiql import ASSETS_PATH, graphiql_assets
from economy.api.graphql.http import GraphQLEndpoint
from economy.api.graphql.schema import build_schema
from economy.api.requests import RequestMiddleware
from economy.api.rest import analytics, inventory, product, purchase, wallet
from economy.api.rest.documentation import complete_document
from economy.api.rest.errors import add_error_handlers
from economy.api.rest.pages import add_pages
from economy.api.tokens import PlayerTokens
from economy.bootstrap import open_services
from economy.database import Database
from economy.draining import Draining
from economy.errors import EconomyError
from economy.garbage import spare_the_collector
from economy.jobs import run_jobs
from economy.logs import configure_logging
from economy.metrics import Metrics
from economy.migrate import is_migrated
from economy.services import Services
from economy.settings import Settings

if TYPE_CHECKING:
    from economy.tracing import Tracing

DESCRIPTION = """
Players hold coins, buy products, own and use them. The same services answer over GraphQL at
`/graphql`. A player sends `Authorization: Bearer <token>`, a game server `X-Api-Key: <key>`.
"""


class NotMigrated(Exception):
    """The database has not the newest schema."""


class Application(FastAPI):
    """GraphQL is answered in front of FastAPI, whose way is longer than a small query takes."""

    graphql: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == GraphQLEndpoint.path:
            scope["app"] = self
            await self.graphql(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(settings: Settings | None = None) -> Application:
    """Without settings they are read from the environment: so do uvicorn's worker processes, which
    are this application's alone."""
    is_own_process, settings = settings is None, settings or Settings()
    configure_logging(settings)
    metrics, tokens, tracing = Metrics(), PlayerTokens(settings), _tracing(settings)
    app = Application(
        title="Economy",
        description=DESCRIPTION,
        version=version("economy"),
        docs_url=None,  # FastAPI's pages load their scripts from the internet
        redoc_url=None,
        redirect_slashes=False,  # its redirect would be built from the Host header that was sent
        lifespan=partial(
            _lifespan,
            settings=settings,
            metrics=metrics,
            tokens=tokens,
            tracing=tracing,
            is_own_process=is_own_process,
        ),
    )
    schema = build_schema()._schema  # graphql-core's own: it is executed directly
    app.graphql = _graphql_endpoint(schema, settings, tokens, metrics)
    if tracing is not None:
        _trace(app, schema, tracing)
    app.graphql = RequestMiddleware(app.graphql, metrics)
    app.add_middleware(RequestMiddleware, metrics=metrics)
    if settings.cors_origins:
        app.graphql = CORSMiddleware(app.graphql, **cors_options(settings))
        app.add_middleware(CORSMiddleware, **cors_options(settings))
    add_error_handlers(app)
    complete_document(app, settings)
    for router in (purchase, wallet, inventory, product, analytics, health):
        app.include_router(router.router)
    add_pages(app)
    if settings.has_graphiql:
        app.router.routes.append(Mount(ASSETS_PATH, graphiql_assets()))
    return app


async def require_migrated(database: Database) -> None:
    """Raises NotMigrated."""
    if not await is_migrated(database):
        raise NotMigrated("the database is not at the newest schema: run `economy migrate`")


@asynccontextmanager
async def _lifespan(
    app: FastAPI,
    settings: Settings,
    metrics: Metrics,
    tokens: PlayerTokens,
    tracing: "Tracing | None",
    *,
    is_own_process: bool,
) -> AsyncIterator[None]:
    async with AsyncExitStack() as opened:
        if tracing is not None:
            opened.callback(tracing.close)
        services = await opened.enter_async_context(open_services(settings, metrics, tracing))
        await require_migrated(services.database)
        app.state.services = services
        app.state.authenticator = Authenticator(tokens, services)
        app.state.metrics = metrics
        app.state.draining = draining = Draining(settings.drain_seconds)
        async with _jobs_running(services):
            if is_own_process:
                spare_the_collector()
                with draining.at_sigterm():
                    yield
            else:
                yield


@asynccontextmanager
async def _jobs_running(services: Services) -> AsyncIterator[None]:
    """The periodic jobs, unless workers of Celery run them."""
    settings = services.settings
    if settings.broker_url is not None or not settings.jobs_in_server:
        yield
        return
    jobs = asyncio.create_task(
        run_jobs(services.jobs.run, every_seconds=settings.jobs_every_seconds)
    )
    try:
        yield
    finally:
        jobs.cancel()
        await asyncio.wait([jobs])


def _tracing(settings: Settings) -> "Tracing | None":
    if settings.otlp_endpoint is None:
        return None
    # here, as nothing of it is needed without
    from economy.tracing import Tracing  # noqa: PLC0415

    return Tracing(settings.otlp_endpoint, share=settings.traced_share)


def _trace(app: Application, schema: GraphQLSchema, tracing: "Tracing") -> None:
    from economy.api.traced import TracingMiddleware, trace_resolvers  # noqa: PLC0415

    trace_resolvers(schema, tracing)
    app.graphql = TracingMiddleware(app.graphql, tracing)
    app.add_middleware(TracingMiddleware, tracing=tracing)


def _graphql_endpoint(
    schema: GraphQLSchema, settings: Settings, tokens: PlayerTokens, metrics: Metrics
) -> GraphQLEndpoint:
    async def demo_token(services: Services) -> str | None:
        """For GraphiQL in development: what is prefilled there can be pressed at once."""
        if settings.jwt_jwks is not None or not settings.is_development:
            return None
        try:
            user_id = await services.seed.demo_player_id()
        except EconomyError:  # the page says so when a query is sent
            return None
        return None if user_id is None else tokens.issue(user_id)

    return GraphQLEndpoint(schema, settings, demo_token, metrics)
