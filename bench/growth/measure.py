"""Measures points of curves: a lone client's latency, and what PostgreSQL did for it."""

import contextlib
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bench.growth.client import Client
from bench.growth.requests import Ask
from bench.growth.servers import Cost, cost, forget_cost
from bench.suite.noise import Moment, Noise
from bench.suite.servers import Servers

WARM_UP = 100  # each of six connections learns its statements, each statement its plan
ROUNDS = 5
MAY_MISS = 0.02  # of reads that should be cached


@dataclass(frozen=True)
class Point:
    curve: str  # what grows
    work: str
    size: int  # how far it has grown
    p50_ms: float
    p99_ms: float
    postgres_ms: float  # each of these is of one request, the mean
    statements: float
    blocks_read: float
    wal_bytes: float
    answer_bytes: float
    samples: int
    steal: float
    foreign: float
    database_bytes: int
    wrong: list[str]  # why the figures count for nothing

    @property
    def line(self) -> tuple[str, str]:
        return self.curve, self.work


@dataclass(frozen=True)
class Work:
    """One point to be: the first requests warm up."""

    name: str
    size: int
    asks: Sequence[Ask]
    is_cached: bool | None = None  # all or none of it should be; None: it is not told


@dataclass
class _Tally:
    took: list[float] = field(default_factory=list)  # seconds
    lengths: list[int] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)  # of each round
    noises: list[Noise] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def ask(self, client: Client, ask: Ask) -> None:
        """The answer is looked at when the clock has stopped."""
        started_at = time.perf_counter()
        answer = client.ask(ask.request)
        self.took.append(time.perf_counter() - started_at)
        self.lengths.append(len(answer.body))
        if not ask.is_success(*answer):
            self.wrong.append(f"the answer is {answer.status}: {answer.body[:300]!r}")


@dataclass(frozen=True)
class Site:
    """A server that has just been started, and its database."""

    servers: Servers
    database: str
    port: int

    def measure(self, curve: str, works: Sequence[Work]) -> Iterator[Point]:
        """In rounds, so that what slows down the machine for a while slows down all of them."""
        tallies = [_Tally() for _ in works]
        with contextlib.closing(Client(self.port)) as client:
            for work in works:
                for ask in work.asks[:WARM_UP]:
                    client.ask(ask.request)
            for number in range(ROUNDS):
                for work, tally in zip(works, tallies, strict=True):
                    self._round(client, work.asks[WARM_UP + number :: ROUNDS], tally)
        size = self.servers.value(self.database, "SELECT pg_database_size(current_database())")
        for work, tally in zip(works, tallies, strict=True):
            yield _point(curve, work, tally, size)

    def _round(self, client: Client, asks: Sequence[Ask], tally: _Tally) -> None:
        forget_cost(self.servers)
        before = Moment.now()
        for ask in asks:
            tally.ask(client, ask)
        tally.noises.append(Noise.between(before, Moment.now()))
        tally.costs.append(cost(self.servers, self.database))


def _point(curve: str, work: Work, tally: _Tally, database_bytes: int) -> Point:
    spent, count = Cost(*map(sum, zip(*tally.costs, strict=True))), len(tally.took)
    wrong = tally.wrong[:3]
    if work.is_cached is True and spent.statements > MAY_MISS * count:
        wrong.append(f"{count} should have been cached: {spent.statements:.0f} statements")
    if work.is_cached is False and spent.statements < count:
        wrong.append(f"{count} should have missed: {spent.statements:.0f} statements")
    return Point(
        curve=curve,
        work=work.name,
        size=work.size,
        p50_ms=1000 * statistics.median(tally.took),
        p99_ms=1000 * statistics.quantiles(tally.took, n=100, method="inclusive")[98],
        postgres_ms=spent.milliseconds / count,
        statements=spent.statements / count,
        blocks_read=spent.blocks_read / count,
        wal_bytes=spent.wal_bytes / count,
        answer_bytes=statistics.fmean(tally.lengths),
        samples=count,
        steal=statistics.fmean(noise.steal for noise in tally.noises),
        foreign=statistics.fmean(noise.foreign for noise in tally.noises),
        database_bytes=database_bytes,
        wrong=wrong,
    )
