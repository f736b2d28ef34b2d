"""Measures a row once: load, CPU, noise, and whether all that was acknowledged is there."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.suite import probe, rows
from bench.suite.load import Load, wrk
from bench.suite.noise import Moment, Noise
from bench.suite.ours import SHORT_TTL_SECONDS, Economy
from bench.suite.pgbench import pgbench
from bench.suite.probe import Served
from bench.suite.processes import cpu_seconds
from bench.suite.requests import request_of
from bench.suite.rows import Row
from bench.suite.seed import USERS
from bench.suite.servers import OURS, PLAIN, Servers

FILLING_SECONDS, MOST_FILLINGS = 5, 4
MAY_MISS = 0.02  # of reads that should be cached

SETTLE_SECONDS = 0.5  # what was in flight when the load ended
COUNT_OURS = """
SELECT count(*) FROM transaction WHERE idempotency_key LIKE $1 || '%' AND status = 'completed'
"""
COUNT_PLAIN = "SELECT count(*) FROM transactions WHERE idempotency_key LIKE $1 || '%'"


@dataclass(frozen=True)
class Sample:
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float | None  # of the server's processes, a request; pgbench has no server
    postgres_ms: float  # of PostgreSQL's
    load_ms: float  # of the rest that the bench started: wrk or pgbench, and Valkey
    steal: float
    foreign: float
    successes: int
    failures: int
    rows_written: int | None  # None: the row only reads
    wrong: list[str]  # why the figures count for nothing


@dataclass(frozen=True)
class Bench:
    """All that runs while rows are measured."""

    servers: Servers
    economy: Economy
    served: Mapping[tuple[str, int], Served]  # by subject and processes
    uncached: Served | None
    folder: Path

    def server_of(self, row: Row) -> Served | None:
        """None: there is nothing but PostgreSQL."""
        if row.work == rows.UNCACHED:
            return self.uncached
        return self.served.get((row.subject, row.processes))

    def measure(self, row: Row, seconds: float) -> Sample:
        prefix = f"{secrets.token_hex(4)}-"
        wrong = self._prepare(row, prefix)
        server, postgres = self.server_of(row), self.servers.cluster.process.pid
        caches_written = self.servers.caches_written()
        before, at_start = Moment.now(), self._cpu(server, postgres)
        load = self._load(row, prefix, seconds)
        after, at_end = Moment.now(), self._cpu(server, postgres)
        time.sleep(SETTLE_SECONDS)
        written = self._count(row, prefix) if row.work in rows.WRITES else None
        cached = self.servers.caches_written() - caches_written
        wrong += _wrong(row, load, written=written, cached=cached)
        noise = Noise.between(before, after)
        of_server, of_postgres = (end - start for start, end in zip(at_start, at_end, strict=True))
        rest = after.known - before.known - of_server - of_postgres
        each = 1000 / max(load.successes, 1)
        return Sample(
            per_second=load.successes / load.seconds,
            p50_ms=load.p50_ms,
            p99_ms=load.p99_ms,
            cpu_ms=None if server is None else of_server * each,
            postgres_ms=of_postgres * each,
            load_ms=rest * each,
            steal=noise.steal,
            foreign=noise.foreign,
            successes=load.successes,
            failures=load.failures + load.errors,
            rows_written=written,
            wrong=wrong,
        )

    def _prepare(self, row: Row, prefix: str) -> list[str]:
        """The first request is looked at in full."""
        if row.work == rows.CACHED:
            self._fill_cache(row)
        elif row.work == rows.UNCACHED:
            time.sleep(SHORT_TTL_SECONDS + 0.1)
        server = self.server_of(row)
        if server is None:
            return []
        user_id = secrets.randbelow(USERS) + 1
        token = self.economy.tokens[user_id - 1]
        request = request_of(row, self.economy.server_key)
        key = f"probe-{prefix}"
        problem = probe.check(server.port, request, user_id=user_id, key=key, token=token)
        return [] if problem is None else [problem]

    def _fill_cache(self, row: Row) -> None:
        """Ask for every user's inventory in turn, until nearly all of them are there."""
        for _ in range(MOST_FILLINGS):
            before = self.servers.caches_written()
            load = self._load(row, "", FILLING_SECONDS, is_in_turn=True)
            written = self.servers.caches_written() - before
            if load.successes > USERS and written < MAY_MISS * load.successes / 2:
                return

    def _load(self, row: Row, prefix: str, seconds: float, *, is_in_turn: bool = False) -> Load:
        server = self.server_of(row)
        if server is None:
            clients = row.connections
            return pgbench(self.servers, row.work, clients=clients, seconds=seconds, prefix=prefix)
        return wrk(
            server.port,
            request_of(row, self.economy.server_key),
            connections=row.connections,
            seconds=seconds,
            prefix=prefix,
            folder=self.folder,
            is_in_turn=is_in_turn or row.work == rows.UNCACHED,
        )

    def _cpu(self, server: Served | None, postgres: int) -> tuple[float, float]:
        return (0.0 if server is None else cpu_seconds(server.pid), cpu_seconds(postgres))

    def _count(self, row: Row, prefix: str) -> int:
        database, statement = (
            (OURS, COUNT_OURS) if row.subject == rows.OURS else (PLAIN, COUNT_PLAIN)
        )
        return int(self.servers.value(database, statement, prefix))


def _wrong(row: Row, load: Load, *, written: int | None, cached: int) -> list[str]:
    wrong = []
    if load.failures or load.errors:
        wrong.append(f"{load.failures} failures and {load.errors} errors: {load.sample}")
    if load.successes == 0:
        wrong.append("nothing succeeded")
    if written is not None and written < load.successes:
        wrong.append(f"{load.successes} were acknowledged, {written} are there")
    # what was in flight at the end is there without having been acknowledged
    if written is not None and written > load.successes + row.connections:
        wrong.append(f"only {load.successes} were acknowledged, {written} are there")
    if row.work == rows.CACHED and cached > MAY_MISS * load.successes:
        wrong.append(f"{load.successes} read, but {cached} times something was put into the cache")
    if row.work == rows.UNCACHED and cached < load.successes:
        wrong.append(f"{load.successes} read, but only {cached} times nothing was cached")
    return wrong
