"""What must be reached and what is the goal, as ratios of one run wherever it can be."""

import statistics
from dataclasses import dataclass

from bench.suite import rows
from bench.suite.results import PGBENCH_OF, Results, p50_ms
from bench.suite.rows import Row


@dataclass(frozen=True)
class Target:
    what: str
    value: float | None  # None: it was not measured
    must: float
    goal: float
    is_ceiling: bool = False
    is_valid: bool = True

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "not measured"
        if not self.is_valid:
            return "INVALID"
        sign = -1 if self.is_ceiling else 1
        if sign * self.value >= sign * self.goal:
            return "goal"
        return "must" if sign * self.value >= sign * self.must else "MISSED"


def targets(results: Results) -> list[Target]:
    def of(row: Row, what: str, value: float | None, must: float, goal: float) -> Target:
        is_ceiling = must > goal
        return Target(what, value, must, goal, is_ceiling, not _is_wrong(results, row))

    bought, alone = rows.PURCHASE_64, rows.PURCHASE_1
    missed, hit = rows.UNCACHED_32, rows.CACHED_32
    p99 = results.median(rows.PURCHASE_32, lambda sample: sample.p99_ms)
    cpu = results.median(bought, lambda sample: sample.cpu_ms)
    lone = results.to_faster_peer(alone, p50_ms)
    starts = results.start_seconds
    return [
        of(
            bought,
            "purchase, 64 conn. ÷ pgbench, one statement",
            results.to_pgbench(bought),
            1,
            1.5,
        ),
        of(bought, "the same ÷ the faster peer", results.to_faster_peer(bought), 2, 3),
        of(alone, "purchase, 1 conn., p50 ÷ the faster peer's", lone, 1.5, 1),
        of(missed, "inventory, not cached ÷ pgbench's", results.to_pgbench(missed), 0.4, 0.65),
        of(missed, "the same ÷ the faster peer", results.to_faster_peer(missed), 1, 2),
        of(hit, "inventory, cached ÷ pgbench's", results.to_pgbench(hit), 0.5, 0.8),
        of(hit, "the same ÷ the faster peer", results.to_faster_peer(hit), 2, 3),
        of(rows.PURCHASE_32, "purchase, 32 conn., p99 in ms", p99, 40, 25),
        of(bought, "purchase, 64 conn., our CPU in ms", cpu, 0.35, 0.2),
        Target("memory of the largest process, MB", results.largest_process(), 150, 110, True),
        Target("start to ready, s", statistics.median(starts) if starts else None, 1.5, 0.8, True),
    ]


def _is_wrong(results: Results, row: Row) -> bool:
    """A wrong row that is compared with makes the ratio as wrong."""
    work = PGBENCH_OF.get(row.work)
    related = [
        other
        for other in results.samples
        if other == row or (other.subject != rows.OURS and other.work == work)
    ]
    return any(results.wrong(other) for other in related)
