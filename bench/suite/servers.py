"""A PostgreSQL with its default durability and a Valkey of the bench's own, from the wheels."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import redis

from tests.servers import PostgresCluster, RedisServer, own_postgres_server, own_redis_server

OURS = "economy"
PLAIN = "plain"  # of pgbench and the peers

# What makes a commit durable stays as it is by default. Checkpoints are rare, so that none falls
# into one row and not into the others.
OPTIONS = {"shared_buffers": "512MB", "max_wal_size": "8GB", "checkpoint_timeout": "1h"}
DURABILITY = ("fsync", "synchronous_commit", "full_page_writes", "wal_sync_method")


@dataclass(frozen=True)
class Servers:
    cluster: PostgresCluster
    valkey: RedisServer

    @property
    def socket_folder(self) -> Path:
        return self.cluster.data.parent

    def database_url(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={self.socket_folder}&port=5432"

    def redis_url(self, number: int) -> str:
        return self.valkey.url.replace("db=0", f"db={number}")

    def fetch(self, database: str, statement: str, *arguments: object) -> list[Any]:
        return asyncio.run(self._fetch(database, statement, *arguments))

    def value(self, database: str, statement: str, *arguments: object) -> Any:
        return self.fetch(database, statement, *arguments)[0][0]

    def caches_written(self) -> int:
        """How often Valkey was told to SET something: of a hit never, of a miss at least once."""
        with redis.Redis.from_url(self.redis_url(0)) as client:
            told: Any = client.info("commandstats")
            return int(told.get("cmdstat_set", {}).get("calls", 0))

    def execute(self, database: str, script: str) -> None:
        """Several statements, without arguments."""
        asyncio.run(self._execute(database, script))

    async def _fetch(self, database: str, statement: str, *arguments: object) -> list[Any]:
        async with self._connected(database) as connection:
            return list(await connection.fetch(statement, *arguments))

    async def _execute(self, database: str, script: str) -> None:
        async with self._connected(database) as connection:
            await connection.execute(script)

    @contextlib.asynccontextmanager
    async def _connected(self, database: str) -> AsyncIterator[Any]:
        connection = await asyncpg.connect(self.database_url(database))
        try:
            yield connection
        finally:
            await connection.close()


@contextlib.contextmanager
def servers(options: Mapping[str, str] = OPTIONS) -> Iterator[Servers]:
    """Call it in the main thread: the servers die with the thread that started them."""
    with own_postgres_server(is_durable=True) as postgres, own_redis_server() as valkey:
        assert postgres.cluster is not None
        both = Servers(postgres.cluster, valkey)
        for name, value in options.items():
            both.fetch("postgres", f"ALTER SYSTEM SET {name} = '{value}'")
        postgres.restart(signal.SIGINT)
        yield both
