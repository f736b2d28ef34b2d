"""Fixtures: real servers once a session, a fresh migrated database for each test."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import redis
from fastapi import FastAPI
from redis.asyncio import Redis

from economy.app import create_app
from economy.bootstrap import open_services
from economy.database import Database
from economy.migrate import migrate
from economy.services import Services
from economy.settings import Settings
from tests.redis_client import emptied
from tests.redis_database import empty_database
from tests.rival import Rival, open_rival
from tests.servers import (
    PostgresServer,
    RedisServer,
    create_database,
    drop_database,
    own_redis_server,
    postgres_server,
    redis_server,
)
from tests.shop import Shop
from tests.twins import Twins, open_twins, twin_settings
from tests.world import World

NUMBERS = itertools.count(1)


async def migrate_url(url: str) -> None:
    database = Database(Settings(database_url=url))
    await migrate(database)
    await database.close()


@pytest.fixture(scope="session")
def postgres(worker_id: str) -> Iterator[PostgresServer]:
    """A running server with a migrated database, `template_<worker>`, to copy."""
    template = f"template_{worker_id}"
    with postgres_server() as server:
        asyncio.run(drop_database(server, template))
        asyncio.run(create_database(server, template))
        asyncio.run(migrate_url(server.database_url(template)))
        yield server
        asyncio.run(drop_database(server, template))


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture(scope="module")
def breakable_redis() -> Iterator[RedisServer]:
    """A server that a test may stop, freeze and kill."""
    with own_redis_server() as server:
        yield server


@pytest.fixture
def admin(breakable_redis: RedisServer) -> Iterator[redis.Redis]:
    """Another client of the breakable server, which answers again and holds nothing."""
    with emptied(breakable_redis) as admin:
        yield admin


@pytest.fixture
def own_redis_url(redis_url: str, worker_id: str) -> str:
    """An empty Redis database."""
    return empty_database(redis_url, worker_id)


@pytest.fixture
async def raw(own_redis_url: str) -> AsyncIterator[Redis]:
    """Redis itself, as whoever administers it has it."""
    async with Redis.from_url(own_redis_url, decode_responses=True) as raw:
        yield raw


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sqlite") / "template.db"
    asyncio.run(migrate_url(f"sqlite:///{file}"))
    return file


@pytest.fixture
async def postgres_url(postgres: PostgresServer, worker_id: str) -> AsyncIterator[str]:
    """A fresh migrated PostgreSQL database."""
    name = f"test_{worker_id}_{next(NUMBERS)}"
    await create_database(postgres, name, template=f"template_{worker_id}")
    yield postgres.database_url(name)
    await drop_database(postgres, name)


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A fresh migrated SQLite database."""
    file = tmp_path / "economy.db"
    file.write_bytes(sqlite_template.read_bytes())
    return f"sqlite:///{file}"


@pytest.fixture(params=["postgresql", "sqlite"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The test runs on both databases."""
    name = "postgres_url" if request.param == "postgresql" else "sqlite_url"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture
def settings(database_url: str) -> Settings:
    # the jobs would ask the database whenever they like, while a test counts statements
    return Settings(database_url=database_url, jobs_in_server=False)


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with open_services(settings) as services:
        yield services


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    """The application, started: its services are `app.state.services`."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the application, without a network between them."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.fixture
async def shop(app: FastAPI, client: httpx.AsyncClient) -> Shop:
    """A small economy behind the application, and the credentials to use it over HTTP."""
    return await Shop.create(app, client)


@pytest.fixture
async def world(services: Services) -> World:
    """Two players, the sample catalogue, and actors to act as."""
    return await World.create(services)


@pytest.fixture
async def rival(postgres_url: str) -> AsyncIterator[Rival]:
    async with open_rival(postgres_url) as rival:
        yield rival


@pytest.fixture
async def twins(postgres_url: str, own_redis_url: str) -> AsyncIterator[Twins]:
    async with open_twins(twin_settings(postgres_url, own_redis_url)) as twins:
        yield twins
