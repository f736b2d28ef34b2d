"""The throughput of each row as bars, in SVG."""

from collections.abc import Iterator
from html import escape

from bench.suite import rows
from bench.suite.results import Results, per_second
from bench.suite.rows import Row

COLOURS = {rows.OURS: "#2563eb", rows.PGBENCH: "#6b7280"}
OTHERS = "#d97706"
LABELS, BARS, FIGURES = 430, 360, 150  # pixels across
STEP = 20
TITLES = {
    "Writes": rows.WRITES,
    "Reads": (*rows.READS, rows.POPULAR),
}


def svg(results: Results) -> str:
    body = list(_body(results))
    height = 30 + STEP * (len(results.samples) + 2 * len(TITLES))
    width = LABELS + BARS + FIGURES
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
            *body,
            "</svg>\n",
        ]
    )


def _body(results: Results) -> Iterator[str]:
    y = 24
    for title, works in TITLES.items():
        group = [row for row in results.samples if row.work in works]
        if not group:
            continue
        group.sort(key=lambda row: -(results.median(row, per_second) or 0))
        largest = results.median(group[0], per_second) or 1
        yield f'<text x="8" y="{y}" font-weight="bold">{title}, per second (p99)</text>'
        for row in group:
            y += STEP
            yield from _bar(results, row, y, largest)
        y += 2 * STEP


def _bar(results: Results, row: Row, y: int, largest: float) -> Iterator[str]:
    rate = results.median(row, per_second) or 0
    p99 = results.median(row, lambda sample: sample.p99_ms) or 0
    length = BARS * rate / largest
    figure = f"{rate:,.0f} ({p99:,.0f} ms)" + (" INVALID" if results.wrong(row) else "")
    colour = COLOURS.get(row.subject, OTHERS)
    yield f'<text x="{LABELS - 8}" y="{y}" text-anchor="end">{escape(row.name)}</text>'
    yield f'<rect x="{LABELS}" y="{y - 11}" width="{length:.1f}" height="14" fill="{colour}"/>'
    yield f'<text x="{LABELS + length + 6:.1f}" y="{y}">{figure}</text>'
