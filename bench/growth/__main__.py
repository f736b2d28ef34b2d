"""What a purchase, an inventory and a page of history cost as the work grows: make bench-growth.

A lone client asks `economy serve` over HTTP, GraphQL, with PostgreSQL (each commit is on disk) and
Valkey of the bench's own. Beside the latency stands the time that PostgreSQL says it has spent on
the statements, which is the quieter figure. What is compared is asked in turns where one database
serves for it. Milliseconds are of this machine: look at the shapes.

Of 10^7 users each holds one product, and 10,000 from all over the range, who are asked, hold ten:
ten for each would be another 15 GB. Nobody is asked twice for an inventory
that is not to be cached. The rows are made by SQL, and could not be verified (see filling.py).
"""

import argparse
import dataclasses
import json
import shutil
import tempfile
import time
from pathlib import Path

from bench.growth.measure import Point
from bench.growth.parts import MOST_SAMPLES, ROWS, SMALLEST, points
from bench.growth.plot import svg
from bench.growth.servers import GROWING, counting_servers
from bench.growth.stage import Stage
from bench.growth.table import HEAD, MEANING, growth, row
from bench.suite.noise import machine
from tests.servers import FOLDERS

GIGABYTES = {100_000: 4, 1_000_000: 6}  # that are needed at most; else:
MOST_GIGABYTES = 15


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-growth", description=__doc__)
    parser.add_argument("--largest", type=int, default=ROWS[-1], help="number of users and rows")
    parser.add_argument("--samples", type=int, default=2_000, help="requests of each point")
    parser.add_argument("--save", type=Path, help="write JSON there, and a plot beside it")
    options = parser.parse_args()
    if options.largest < SMALLEST:
        parser.error(f"--largest is {SMALLEST} or more")
    if not 100 <= options.samples <= MOST_SAMPLES:
        parser.error(f"--samples is 100 to {MOST_SAMPLES}")
    return options


def require_disk(largest: int) -> None:
    needed = next((need for most, need in GIGABYTES.items() if largest <= most), MOST_GIGABYTES)
    free = shutil.disk_usage(FOLDERS).free / 1e9
    if free < needed:
        raise SystemExit(f"{FOLDERS} has {free:.0f} GB free, it takes {needed}")


def measure(options: argparse.Namespace) -> tuple[dict[str, object], list[Point]]:
    found: list[Point] = []
    with tempfile.TemporaryDirectory() as temporary, counting_servers() as servers:
        described: dict[str, object] = {**machine(servers.cluster.data), **GROWING}
        stage = Stage(servers, Path(temporary), options.largest, options.samples)
        for point in points(stage):
            if not found or found[-1].curve != point.curve:
                print(f"\nby {point.curve}\n{HEAD}", flush=True)
            print(*row(point), sep="\n", flush=True)
            found.append(point)
    return described, found


def write(path: Path, described: dict[str, object], found: list[Point]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {"machine": described, "points": [dataclasses.asdict(point) for point in found]}
    path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    path.with_suffix(".svg").write_text(svg(found))


def main() -> None:
    options, began_at = arguments(), time.monotonic()
    require_disk(options.largest)
    described, found = measure(options)
    print("", MEANING, "", *growth(found), sep="\n")
    print(f"{time.monotonic() - began_at:,.0f} seconds")
    if options.save:
        write(options.save, described, found)
    if any(point.wrong for point in found):
        raise SystemExit("some of it is INVALID")


if __name__ == "__main__":
    main()
