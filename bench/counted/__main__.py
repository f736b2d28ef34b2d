"""Counts what operations cost, without a clock, and fails where it is more: make bench-counted.

SQL statements, round trips, bytes and function calls of each request, alone and with others at
once, against the ceilings in bench/counted.json. Caches are as the name of the operation says.
"""

import argparse
import asyncio
import platform
import sys
from collections.abc import Iterator, Mapping

import uvloop

from bench.counted.ceilings import (
    FILE,
    judges_calls,
    problems,
    read_ceilings,
    write_ceilings,
)
from bench.counted.counting import Figures, count
from bench.counted.economy import open_economy
from bench.counted.operations import OPERATIONS, Operation
from bench.counted.servers import Servers, open_servers

HEAD = (
    f"{'':40} {'PostgreSQL':^31} {'Redis':^31} {'answer':>7} {'function':>8}\n"
    f"{'of one request':40} {'stmts':>6} {'trips':>6} {'B sent':>8} {'B recv':>8}"
    f" {'cmds':>6} {'trips':>6} {'B sent':>8} {'B recv':>8} {'bytes':>7} {'calls':>8}"
)
WIDTHS = (6, 6, 8, 8, 6, 6, 8, 8, 7, 8)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-counted", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"new ceilings into {FILE.name}")
    return parser.parse_args()


async def count_all(servers: Servers) -> dict[Operation, Figures]:
    async with open_economy(servers) as economy:
        await economy.seed()
        return {one: await count(economy, servers, one) for one in OPERATIONS}


def lines(counted: Mapping[Operation, Figures]) -> Iterator[str]:
    yield HEAD
    for operation, figures in counted.items():
        shown = (f"{_shown(value):>{width}}" for value, width in zip(figures, WIDTHS, strict=True))
        yield f"{operation.name:40} {' '.join(shown)}"


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) or value >= 100 else f"{value:,.2f}"


def main() -> None:
    options, python = arguments(), f"{platform.python_implementation()} {platform.python_version()}"
    if options.write and not judges_calls():
        raise SystemExit(f"{python} is not the Python whose function calls are judged")
    with open_servers() as servers, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        counted = runner.run(count_all(servers))
    print(*lines(counted), sep="\n")
    if options.write:
        write_ceilings(counted)
        return
    if not judges_calls():
        print(f"Function calls are not judged: their ceilings are not those of {python}.")
    found = list(problems(counted, read_ceilings(), with_calls=judges_calls()))
    if found:
        print("", *found, "", sep="\n")
        print("If it shall cost that much: make bench-counted ARGS=--write")
        sys.exit(1)
    print(f"Nothing is above its ceiling in bench/{FILE.name}.")


if __name__ == "__main__":
    main()
