"""Where it is measured: databases that grow step by step, and a fresh server for each step."""

import asyncio
import contextlib
import itertools
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from bench.growth.filling import add_products, filling, make_schema
from bench.growth.measure import Site
from bench.growth.servers import COUNTING
from bench.suite.ours import Economy
from bench.suite.servers import Servers
from economy.api.tokens import PlayerTokens
from economy.settings import Settings


@dataclass
class Stage:
    servers: Servers
    folder: Path
    largest: int
    samples: int
    secret: str = field(default_factory=lambda: secrets.token_hex(32))
    numbers: Iterator[int] = field(default_factory=itertools.count)  # of Valkey's databases
    tokens: PlayerTokens = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = PlayerTokens(Settings(jwt_secret=SecretStr(self.secret)))

    def token(self, user_id: int) -> str:
        return self.tokens.issue(user_id)

    def create(self, database: str) -> None:
        self.servers.execute(COUNTING, f'CREATE DATABASE "{database}"')
        asyncio.run(make_schema(self.servers.database_url(database)))
        self.fill(database, add_products)

    def drop(self, database: str) -> None:
        self.servers.execute(COUNTING, f'DROP DATABASE "{database}"')

    def fill(self, database: str, work: Callable[..., Any], *arguments: int, **more: int) -> None:
        async def run() -> None:
            async with filling(self.servers, database) as connection:
                await work(connection, *arguments, **more)

        asyncio.run(run())

    @contextlib.contextmanager
    def site(self, database: str) -> Iterator[Site]:
        """All is on, as in production; but one player may read more than a lone client asks."""
        settings = {
            "environment": "production",
            "jwt_secret": self.secret,
            "database_url": self.servers.database_url(database),
            "redis_url": self.servers.redis_url(next(self.numbers)),  # where nothing is cached
            "jobs_in_server": "false",
            "rate_limit_player_reads": "100000/10",
        }
        economy = Economy(self.servers, settings, tokens=[], server_key="")
        with economy.serving(self.folder, processes=1) as served:
            yield Site(self.servers, database, served.port)
