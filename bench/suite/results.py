"""What one run has measured: samples by row and round, medians, ratios within a round."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from operator import attrgetter
from typing import Any

from bench.suite import rows
from bench.suite.measure import Sample
from bench.suite.rows import Row

Figure = Callable[[Sample], float | None]
PGBENCH_OF = {
    rows.PURCHASE: rows.PURCHASE,
    rows.CACHED: rows.INVENTORY,
    rows.UNCACHED: rows.INVENTORY,
    rows.INVENTORY: rows.INVENTORY,
}


FIGURES = (
    *("per_second", "p50_ms", "p99_ms", "cpu_ms", "postgres_ms", "load_ms"),
    *("steal", "foreign"),
)


def per_second(sample: Sample) -> float:
    return sample.per_second


def p50_ms(sample: Sample) -> float:
    return sample.p50_ms


@dataclass
class Results:
    samples: dict[Row, list[Sample]] = field(default_factory=dict)  # one a round
    start_seconds: list[float] = field(default_factory=list)
    megabytes_before: dict[str, list[float]] = field(default_factory=dict)
    megabytes_after: dict[str, list[float]] = field(default_factory=dict)
    verified: str = ""
    machine: dict[str, Any] = field(default_factory=dict)
    builds: dict[str, str] = field(default_factory=dict)  # by subject

    def median(self, row: Row, figure: Figure) -> float | None:
        found = [figure(sample) for sample in self.samples.get(row, [])]
        numbers = [number for number in found if number is not None]
        return statistics.median(numbers) if numbers else None

    def wrong(self, row: Row) -> list[str]:
        return [problem for sample in self.samples[row] for problem in sample.wrong]

    def to_pgbench(self, row: Row) -> float | None:
        """Throughput over that of PostgreSQL alone with 32 clients."""
        if row.subject == rows.PGBENCH or row.work not in PGBENCH_OF:
            return None
        return self._ratio(row, [rows.pgbench(PGBENCH_OF[row.work])], per_second, max)

    def to_faster_peer(self, row: Row, figure: Figure = per_second) -> float | None:
        """With as many connections, and as many processes as suit the peer."""
        if row.subject != rows.OURS or row.work not in PGBENCH_OF:
            return None
        work = PGBENCH_OF[row.work]
        others = [
            other
            for processes in (1, 2)
            for other in rows.peers(work, processes=processes, connections=row.connections)
        ]
        return self._ratio(row, others, figure, max if figure is per_second else min)

    def _ratio(
        self,
        row: Row,
        others: list[Row],
        figure: Figure,
        best: Callable[[Iterable[float]], float],
    ) -> float | None:
        """The median of the ratios of each round: what slows down a round slows down both."""
        ratios = []
        for number, sample in enumerate(self.samples.get(row, [])):
            mine = figure(sample)
            found = [
                value
                for other in others
                if len(self.samples.get(other, [])) > number
                and (value := figure(self.samples[other][number]))
            ]
            if mine is not None and found:
                ratios.append(mine / best(found))
        return statistics.median(ratios) if ratios else None

    def largest_process(self) -> float | None:
        """Megabytes of our largest process at the end."""
        return max((sizes[0] for sizes in self.megabytes_after.values()), default=None)

    def as_json(self) -> dict[str, Any]:
        return {
            "machine": self.machine,
            "builds": self.builds,
            "start_to_ready_seconds": self.start_seconds,
            "megabytes_before": self.megabytes_before,
            "megabytes_after": self.megabytes_after,
            "verified": self.verified,
            "rows": [self._row_as_json(row) for row in self.samples],
        }

    def _row_as_json(self, row: Row) -> dict[str, Any]:
        return {
            "name": row.name,
            **row._asdict(),
            "build": self.builds.get(row.subject, ""),
            "median": {name: self.median(row, attrgetter(name)) for name in FIGURES},
            "to_pgbench": self.to_pgbench(row),
            "to_faster_peer": self.to_faster_peer(row),
            "wrong": self.wrong(row),
            "rounds": [asdict(sample) for sample in self.samples[row]],
        }
