"""The curves in SVG: one panel for what grows, a line for each kind of request."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from bench.growth import parts
from bench.growth.measure import Point
from bench.growth.table import curves

COLOURS = {
    parts.BUYING: "#2563eb",
    parts.NOT_CACHED: "#d97706",
    parts.CACHED: "#047857",
    parts.SHORT_PAGE: "#9333ea",
    parts.PAGE: "#9333ea",
}
INK, GRID = "#111827", "#e5e7eb"
WIDTH, HEIGHT = 440, 320  # pixels of a panel
LEFT, RIGHT, TOP, BOTTOM = 60, 24, 92, 52
LINE = 16  # pixels from one line of a legend to the next
MOST_STEPS = 5  # of the upright axis


def svg(points: Sequence[Point]) -> str:
    names = list(dict.fromkeys(point.curve for point in points))
    width, height = 2 * WIDTH, 30 + HEIGHT * math.ceil(len(names) / 2)
    body = [
        f'<text x="{LEFT}" y="20">Solid: p50 of a lone client over HTTP. '
        "Dashed: of it, PostgreSQL's own time (mean).</text>"
    ]
    for number, name in enumerate(names):
        x, y = WIDTH * (number % 2), 30 + HEIGHT * (number // 2)
        body.append(f'<g transform="translate({x} {y})">')
        body.extend(_Panel(name, [point for point in points if point.curve == name]).drawn())
        body.append("</g>")
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="sans-serif" font-size="12" '
            f'fill="{INK}">',
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
            *body,
            "</svg>\n",
        ]
    )


@dataclass(frozen=True)
class _Panel:
    name: str
    points: Sequence[Point]

    def drawn(self) -> Iterator[str]:
        yield f'<text x="{LEFT}" y="24" font-weight="bold">By {escape(self.name)}</text>'
        yield from self._upright_axis()
        yield from self._level_axis()
        for number, ((_, work), line) in enumerate(curves(self.points).items()):
            yield from self._line(work, line, COLOURS[work], 24 + LINE * (number + 1))

    def _x(self, size: int) -> float:
        sizes = [point.size for point in self.points]
        least, most = min(sizes), max(sizes)
        share = math.log(size / least) / math.log(most / least) if most > least else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def _y(self, milliseconds: float) -> float:
        return TOP + (1 - milliseconds / (self._step * self._steps)) * (HEIGHT - TOP - BOTTOM)

    @property
    def _most(self) -> float:
        return max(max(point.p50_ms, point.postgres_ms) for point in self.points)

    @property
    def _step(self) -> float:
        """1, 2 or 5 of a power of ten."""
        least = self._most / MOST_STEPS
        power = 10.0 ** math.floor(math.log10(least))
        return next(power * digit for digit in (1, 2, 5, 10) if power * digit >= least)

    @property
    def _steps(self) -> int:
        return math.ceil(self._most / self._step)

    def _upright_axis(self) -> Iterator[str]:
        for number in range(self._steps + 1):
            y = self._y(number * self._step)
            yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{GRID}"/>'
            yield (
                f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
                f"{number * self._step:g}</text>"
            )
        middle = (TOP + HEIGHT - BOTTOM) / 2
        yield f'<text transform="translate(18 {middle}) rotate(-90)" text-anchor="middle">ms</text>'

    def _level_axis(self) -> Iterator[str]:
        for size in sorted({point.size for point in self.points}):
            yield _centred(self._x(size), HEIGHT - BOTTOM + 18, _short(size))
        middle = (LEFT + WIDTH - RIGHT) / 2
        yield _centred(middle, HEIGHT - BOTTOM + 36, escape(f"{self.name} (logarithmic)"))

    def _line(self, work: str, line: Sequence[Point], colour: str, legend: int) -> Iterator[str]:
        yield f'<path d="M{LEFT} {legend - 4}h22" stroke="{colour}" stroke-width="2"/>'
        yield f'<text x="{LEFT + 28}" y="{legend}">{escape(work)}</text>'
        solid = [(self._x(point.size), self._y(point.p50_ms)) for point in line]
        dashed = [(self._x(point.size), self._y(point.postgres_ms)) for point in line]
        for places, dashes in ((solid, ""), (dashed, ' stroke-dasharray="5 4"')):
            steps = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
            yield f'<path d="M{steps}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'
            for x, y in places:
                yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'


def _centred(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{text}</text>'


def _short(size: int) -> str:
    """
    >>> _short(20_000_000)
    '20 M'
    """
    return f"{size // 1_000_000} M" if size >= 1_000_000 else f"{size:,}"
