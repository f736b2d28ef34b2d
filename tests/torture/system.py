"""What is tortured: server processes, their database and their Valkey, all of our own."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals
from typing import Any

import asyncpg

from economy.bootstrap import open_services
from economy.models.product import ProductType
from economy.services import Services
from economy.services.access import ALL_SCOPES
from economy.settings import Settings
from tests.conftest import migrate_url
from tests.live import LiveServer, launched_server
from tests.proxy import Proxy, open_proxy
from tests.servers import PostgresServer, RedisServer, own_postgres_server, own_redis_server
from tests.torture.load import PRICE
from tests.world import SERVER

UNTIL_SECONDS = 60.0
# Bounds that are short, so that each of them is met in a round.
SETTINGS = {
    "statement_timeout_ms": "2000",
    "lock_timeout_ms": "1000",
    "database_pool_timeout_seconds": "2",
    "request_timeout_seconds": "10",
    "rate_limit_player_money": "40/1",
    "jobs_every_seconds": "20",
}


@dataclass
class System:
    database_url: str
    settings: dict[str, str]
    stack: AsyncExitStack
    postgres: PostgresServer | None = None
    redis: RedisServer | None = None
    proxy: Proxy | None = None
    servers: list[LiveServer] = field(default_factory=list)
    dead: list[LiveServer] = field(default_factory=list)
    server_key: dict[str, str] = field(default_factory=dict)
    users: int = 0

    @property
    def name(self) -> str:
        return "SQLite" if self.postgres is None else "PostgreSQL"

    def urls(self) -> list[str]:
        """Also of one that is dead just now: no client knows."""
        return [server.url for server in self.servers]

    async def start_servers(self, count: int) -> None:
        self.servers = [self._launch(number) for number in range(count)]
        ready = (asyncio.to_thread(server.wait_until_ready) for server in self.servers)
        await asyncio.gather(*ready)

    async def replace_server(self, number: int) -> None:
        """Of one that has ended."""
        server = self._launch(number)
        await asyncio.to_thread(server.wait_until_ready)
        self.dead.append(self.servers[number])
        self.servers[number] = server

    def _launch(self, number: int) -> LiveServer:
        """In this thread, with which it would die. Every second one is far from the database."""
        settings = self.settings
        if self.proxy is not None and number % 2 == 0:
            settings = settings | {"database_url": self.proxy.url}
        return self.stack.enter_context(launched_server(**settings))

    async def stop_servers(self) -> list[int]:
        """In order; their exit codes."""
        for server in self.servers:
            server.terminate()
        return [await exit_code(server) for server in self.servers]

    @asynccontextmanager
    async def services(self) -> AsyncIterator[Services]:
        """Beside the servers, on the database itself."""
        settings = Settings(database_url=self.database_url, jobs_in_server=False)
        async with open_services(settings) as services:
            yield services

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Any]:
        """A connection of whoever administers PostgreSQL."""
        connection = await asyncpg.connect(self.database_url.replace("+asyncpg", "", 1))
        try:
            yield connection
        finally:
            with contextlib.suppress(OSError, asyncpg.PostgresError):
                await connection.close(timeout=5)

    async def prepare(self) -> None:
        async with self.services() as services:
            for name, price, type_ in (
                ("Boost", PRICE, ProductType.CONSUMABLE),
                ("Premium", 5 * PRICE, ProductType.PERMANENT),
            ):
                await services.products.create_product(
                    SERVER, name=name, description="", price=price, type_=type_, is_active=True
                )
            self.server_key = {"X-Api-Key": await services.server_keys.create_key(ALL_SCOPES)}

    async def new_users(self, count: int) -> list[int]:
        async with self.services() as services:
            numbers = range(self.users, self.users + count)
            self.users += count
            users = [
                await services.users.create_user(
                    SERVER, username=f"user{number}", email=f"{number}@example.com"
                )
                for number in numbers
            ]
        return [user.id for user in users]

    def logs(self) -> str:
        files = [server.log for server in (*self.dead, *self.servers)]
        if self.postgres is not None and self.postgres.cluster is not None:
            files.append(self.postgres.cluster.log)
        return "\n".join(f"== {file}\n{file.read_text()[-4000:]}" for file in files)


async def exit_code(server: LiveServer) -> int:
    return await asyncio.to_thread(server.process.wait, UNTIL_SECONDS)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(UNTIL_SECONDS):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


async def crash_postgres(system: System) -> None:
    """At once and without a word, and start it again. In this thread, with which it would die."""
    assert system.postgres is not None
    cluster = system.postgres.cluster
    assert cluster is not None
    cluster.process.send_signal(Signals.SIGQUIT)
    await asyncio.to_thread(cluster.process.wait, UNTIL_SECONDS)
    cluster.launch()
    await asyncio.to_thread(cluster.wait_until_ready)


@asynccontextmanager
async def postgres_system(servers: int) -> AsyncIterator[System]:
    async with AsyncExitStack() as stack:
        postgres = stack.enter_context(own_postgres_server(is_durable=True))
        redis = stack.enter_context(own_redis_server())
        url = postgres.url
        await migrate_url(url)
        settings = SETTINGS | {"database_url": url, "redis_url": redis.url}
        proxy = await stack.enter_async_context(open_proxy(url))
        system = System(url, settings, stack, postgres, redis, proxy)
        await system.prepare()
        await system.start_servers(servers)
        yield system


@asynccontextmanager
async def sqlite_system() -> AsyncIterator[System]:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="economy-torture-"))
        url = f"sqlite:///{Path(folder) / 'economy.db'}"
        await migrate_url(url)
        system = System(url, SETTINGS | {"database_url": url}, stack)
        await system.prepare()
        await system.start_servers(1)
        yield system
