"""Asks an operation several times over and counts; the least is what it needs."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from bench.counted.economy import Economy
from bench.counted.operations import Operation
from bench.counted.servers import Servers
from bench.suite import rows

WARM_UPS = 8  # more than there are connections: each prepares its statements
REPEATS = 8


class Figures(NamedTuple):
    """Of one request; of many at once it may be a part of one."""

    statements: float
    sql_round_trips: float
    sql_bytes_sent: float
    sql_bytes_received: float
    redis_commands: float
    redis_round_trips: float
    redis_bytes_sent: float
    redis_bytes_received: float
    body_bytes: float
    calls: float  # of functions, Python's and C's


class CallCounter:
    """Of this thread alone; the sockets that count run in others."""

    def __init__(self) -> None:
        self.calls = 0

    @contextmanager
    def counting(self) -> Iterator[None]:
        sys.setprofile(self._note)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _note(self, _frame: object, event: str, _argument: object) -> None:
        if event in ("call", "c_call"):
            self.calls += 1


async def count(economy: Economy, servers: Servers, operation: Operation) -> Figures:
    """What is there once in a while, such as the heartbeat of a connection, is in some repeats
    only: the least of each figure is without it."""
    gc.disable()  # what it ends is called at any time
    try:
        for _ in range(WARM_UPS):
            await _count_once(economy, servers, operation)
        found = [await _count_once(economy, servers, operation) for _ in range(REPEATS)]
    finally:
        gc.enable()
    return Figures(*(min(each) / operation.at_once for each in zip(*found, strict=True)))


async def _count_once(economy: Economy, servers: Servers, operation: Operation) -> Figures:
    if operation.work == rows.UNCACHED:
        await economy.forget_inventories(operation.at_once)
    exchanges, counter = economy.exchanges(operation), CallCounter()
    before = _counted_by(servers)
    await economy.run(exchanges, counter.counting)
    after = _counted_by(servers)
    request = operation.request(economy.server_key)
    for one in exchanges:
        if not request.is_success(one.status, one.body.decode()):
            raise SystemExit(f"{operation.name} is answered {one.status}: {one.body.decode()}")
    of_servers = (later - earlier for earlier, later in zip(before, after, strict=True))
    return Figures._make((*of_servers, sum(len(one.body) for one in exchanges), counter.calls))


def _counted_by(servers: Servers) -> tuple[int, ...]:
    """In the order of the figures."""
    sql, cache = servers.sql, servers.cache
    return (
        *(sql.statements, sql.round_trips, sql.sent, sql.received),
        servers.redis_commands(),
        *(cache.round_trips, cache.sent, cache.received),
    )
