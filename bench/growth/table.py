"""The table that a run prints, and how much each curve has grown at its end."""

from collections.abc import Iterator, Sequence

from bench.growth.measure import Point
from bench.growth.parts import BY_HELD

HEAD = (
    f"{'':22} {'':>12} {'p50 ms':>8} {'p99 ms':>8} {'PG ms':>7} {'statem.':>7} {'blocks':>7}"
    f" {'WAL kB':>7} {'answer kB':>9} {'DB GB':>6} {'steal':>6} {'foreign':>7}"
)
MEANING = """All are means but p50 and p99. PG: planning and running the statements of a request,
without the wait for the disk at its commit. Blocks: of 8 kB, not found in shared buffers."""


def row(point: Point) -> Iterator[str]:
    figures = (
        f"{point.p50_ms:>8.2f} {point.p99_ms:>8.2f} {point.postgres_ms:>7.3f}",
        f"{point.statements:>7.1f} {point.blocks_read:>7.1f} {point.wal_bytes / 1000:>7.1f}",
        f"{point.answer_bytes / 1000:>9.1f} {point.database_bytes / 1e9:>6.2f}",
        f"{point.steal:>6.0%} {point.foreign:>7.0%}",
    )
    yield f"{point.work:22} {point.size:>12,} {' '.join(figures)}"
    yield from (f"    INVALID: {problem}" for problem in point.wrong)


def curves(points: Sequence[Point]) -> dict[tuple[str, str], list[Point]]:
    found: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        found.setdefault(point.line, []).append(point)
    return found


def growth(points: Sequence[Point]) -> Iterator[str]:
    """Of each curve the last point over the first."""
    for (curve, work), line in curves(points).items():
        first, last = line[0], line[-1]
        if first is last:
            continue
        grown = f"{last.size / first.size:,.0f} times the {curve}: "
        grown += f"p50 {last.p50_ms / first.p50_ms:.2f} times"
        if first.statements:
            grown += f", PG {last.postgres_ms / first.postgres_ms:.2f} times"
        more = 1000 * (last.p50_ms - first.p50_ms) / (last.size - first.size)
        items = f", {more:.1f} µs each" if curve == BY_HELD else ""
        yield f"{work:22} {grown}{items}"
