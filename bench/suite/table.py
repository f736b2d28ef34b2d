"""The table that a run prints."""

from collections.abc import Iterator

from bench.suite.results import Figure, Results
from bench.suite.rows import Row
from bench.suite.targets import targets

HEAD = (
    f"{'':62} {'/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'CPU ms':>7} {'PG ms':>6} {'÷ pgb.':>6}"
    f" {'÷ peer':>6} {'steal':>6} {'foreign':>7}  build"
)


def lines(results: Results) -> Iterator[str]:
    yield HEAD
    for row in results.samples:
        yield line(results, row)
        yield from (f"    INVALID: {problem}" for problem in dict.fromkeys(results.wrong(row)))
    yield "CPU: of the server's processes for one request; PG: of PostgreSQL's. ÷: throughput over"
    yield "that of pgbench's one statement, and of the faster peer with as many connections."
    yield ""
    yield f"{'':50} {'value':>8} {'must':>6} {'goal':>6}"
    for one in targets(results):
        value = "-" if one.value is None else f"{one.value:.2f}"
        yield f"{one.what:50} {value:>8} {one.must:>6g} {one.goal:>6g}  {one.verdict}"
    yield ""
    starts = ", ".join(f"{seconds:.2f}" for seconds in results.start_seconds)
    yield f"start to ready: {starts} s"
    for name, sizes in results.megabytes_after.items():
        before = ", ".join(f"{size:.0f}" for size in results.megabytes_before[name])
        yield f"memory of {name}: {before} MB, at the end {', '.join(f'{s:.0f}' for s in sizes)} MB"
    yield f"economy verify: {results.verified}"
    yield ", ".join(f"{name}: {value}" for name, value in results.machine.items() if value)


def line(results: Results, row: Row) -> str:
    def shown(figure: Figure, width: int, digits: int) -> str:
        return _number(results.median(row, figure), width, digits)

    figures = (
        shown(lambda sample: sample.per_second, 8, 0),
        shown(lambda sample: sample.p50_ms, 8, 2),
        shown(lambda sample: sample.p99_ms, 8, 2),
        shown(lambda sample: sample.cpu_ms, 7, 3),
        shown(lambda sample: sample.postgres_ms, 6, 3),
        _number(results.to_pgbench(row), 6, 2),
        _number(results.to_faster_peer(row), 6, 2),
        _percent(results.median(row, lambda sample: sample.steal), 6),
        _percent(results.median(row, lambda sample: sample.foreign), 7),
    )
    return f"{row.name:62} {' '.join(figures)}  {results.builds.get(row.subject, '')}"


def _number(value: float | None, width: int, digits: int) -> str:
    return f"{'-' if value is None else f'{value:,.{digits}f}':>{width}}"


def _percent(value: float | None, width: int) -> str:
    return f"{'-' if value is None else f'{value:.0%}':>{width}}"
