"""A PostgreSQL and a Valkey of the bench's own, behind sockets that count."""

import asyncio
import contextlib
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from bench.counted.wire import (
    PostgresConversation,
    RedisConversation,
    Traffic,
    counting_socket,
)
from tests.live import run_economy
from tests.servers import create_database, own_postgres_server, own_redis_server

POSTGRES_SOCKET = ".s.PGSQL.5432"
# As in production, everything on. But nothing runs out while it is counted: no window of a rate
# limit, and nobody's patience.
SETTINGS = {
    "environment": "production",
    "jobs_in_server": "false",
    "rate_limit_player_money": "900000/900000",
    "rate_limit_player_reads": "900000/900000",
    "redis_timeout_seconds": "10",
    "statement_timeout_ms": "60000",
    "lock_timeout_ms": "60000",
}
NOT_OF_OPERATIONS = ("cmdstat_info", "cmdstat_ping")


@dataclass(frozen=True)
class Servers:
    settings: dict[str, str]  # they lead through the sockets that count
    server_key: str
    sql: Traffic
    cache: Traffic
    valkey: redis.Redis

    def redis_commands(self) -> int:
        """That Valkey has executed, those of scripts included."""
        told: Any = self.valkey.info("commandstats")
        return sum(stat["calls"] for name, stat in told.items() if name not in NOT_OF_OPERATIONS)


@contextlib.contextmanager
def open_servers() -> Iterator[Servers]:
    """Call it in the main thread: the servers die with the thread that started them."""
    with (
        own_postgres_server() as postgres,
        own_redis_server() as valkey,
        tempfile.TemporaryDirectory(dir="/tmp") as temporary,  # the path of a socket is short
    ):
        assert postgres.cluster is not None
        asyncio.run(create_database(postgres, "economy"))
        settings = SETTINGS | {"jwt_secret": secrets.token_hex(32)}
        direct = {"database_url": postgres.database_url("economy"), "redis_url": valkey.url}
        _run("migrate", **settings, **direct)
        server_key = _run("token", "--server", **settings, **direct)
        folder = Path(temporary)
        database = postgres.cluster.data.parent / POSTGRES_SOCKET
        cache = valkey.folder / "valkey.sock"
        with (
            counting_socket(folder / POSTGRES_SOCKET, database, PostgresConversation) as sql,
            counting_socket(folder / cache.name, cache, RedisConversation) as commands,
            redis.Redis.from_url(valkey.url) as asking,
        ):
            settings["database_url"] = f"postgresql://postgres@/economy?host={folder}&port=5432"
            settings["redis_url"] = f"unix://{folder / cache.name}?db=0"
            yield Servers(settings, server_key, sql, commands, asking)


def _run(*arguments: str, **settings: str) -> str:
    done = run_economy(*arguments, **settings)
    if done.returncode != 0:
        raise SystemExit(f"economy {' '.join(arguments)} failed: {done.stderr}")
    return done.stdout.strip()
