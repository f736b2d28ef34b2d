"""`economy serve` as in production: PostgreSQL, Valkey, tokens, limits and metrics, all on."""

import contextlib
import secrets
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.suite import probe
from bench.suite.probe import Served
from bench.suite.processes import free_port, running, wait_until
from bench.suite.seed import USERS
from bench.suite.servers import OURS, Servers
from economy.api.tokens import PlayerTokens
from economy.settings import Settings
from tests.live import ECONOMY, environment, run_economy

# Each inventory is read every 10,000 requests. So with this lifetime none is cached below 10,000
# requests a second, and yet all that a miss costs is paid: the lease and the fill, too.
SHORT_TTL_SECONDS = 1


@dataclass(frozen=True)
class Economy:
    """One installation: what its processes share."""

    servers: Servers
    settings: dict[str, str]
    tokens: list[str]  # of the users, in order of their ids
    server_key: str

    @classmethod
    def of(cls, servers: Servers) -> "Economy":
        settings = {
            "environment": "production",
            "jwt_secret": secrets.token_hex(32),
            "database_url": servers.database_url(OURS),
            "redis_url": servers.redis_url(0),
            # `economy worker` has them in production. The limits are the default ones: over
            # 10,000 users nobody comes near.
            "jobs_in_server": "false",
        }
        issuer = PlayerTokens(_parsed(settings))
        tokens = [issuer.issue(user_id) for user_id in range(1, USERS + 1)]
        made = run_economy("token", "--server", **settings)
        made.check_returncode()
        return cls(servers, settings, tokens, made.stdout.strip())

    @contextlib.contextmanager
    def serving(
        self, folder: Path, *, processes: int, has_short_ttl: bool = False
    ) -> Iterator[Served]:
        port, log = free_port(), folder / f"economy-{processes}-{has_short_ttl}.log"
        settings = self.settings
        if has_short_ttl:  # with a database of Valkey's of its own: nobody else fills it
            short = {"inventory_ttl_seconds": str(SHORT_TTL_SECONDS)}
            settings = settings | short | {"redis_url": self.servers.redis_url(1)}
        command = [ECONOMY, "serve", "--port", port, "--workers", processes]
        with running(command, environment=environment(**settings), log=log) as process:
            wait_until(lambda: probe.is_ready(port), process, log)
            yield Served(port, process.pid)

    def seconds_to_ready(self, folder: Path, *, processes: int) -> float:
        started_at = time.perf_counter()
        with self.serving(folder, processes=processes):
            return time.perf_counter() - started_at

    def verify(self) -> str:
        """The last line of `economy verify` over what the load has left behind."""
        done = subprocess.run(
            [ECONOMY, "verify"],
            env=environment(**self.settings),
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        return (done.stdout or done.stderr).strip().splitlines()[-1]


def _parsed(settings: dict[str, str]) -> Settings:
    values: dict[str, Any] = dict(settings)
    return Settings(**values)
