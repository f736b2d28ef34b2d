"""All of the service measured beside PostgreSQL and its peers, in one run: make bench.

Figures are of this machine and this hour: look at the ratios, and at the noise beside each row.
"""

import argparse
import contextlib
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.suite import peers, rows
from bench.suite.load import require_wrk, write_tokens
from bench.suite.measure import Bench
from bench.suite.noise import machine, python_build
from bench.suite.ours import Economy
from bench.suite.plot import svg
from bench.suite.probe import Served
from bench.suite.processes import resident_megabytes
from bench.suite.results import Results
from bench.suite.rows import Row
from bench.suite.seed import seed
from bench.suite.servers import DURABILITY, PLAIN, Servers, servers
from bench.suite.table import lines
from bench.suite.targets import targets

LATEST = Path(__file__).parent.parent / "results/latest.json"
WARM_UP_SECONDS = 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=7, help="of each row in each round")
    parser.add_argument("--all", action="store_true", help="every combination: about an hour")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--without-peers", action="store_true", help="no npm")
    parser.add_argument("--save", type=Path, help="write the JSON there, too; the plot beside it")
    return parser.parse_args()


def chosen(options: argparse.Namespace) -> list[Row]:
    candidates = rows.all_rows() if options.all else rows.usual_rows()
    found = [
        row
        for row in candidates
        if options.only in row.name and not (options.without_peers and row.subject in rows.PEERS)
    ]
    if not found:
        raise SystemExit(f"no row's name contains {options.only!r}")
    return found


@contextlib.contextmanager
def started(
    world: Servers, economy: Economy, wanted: Sequence[Row], folder: Path
) -> Iterator[Bench]:
    """The servers that the rows need run from the first round to the last."""
    served: dict[tuple[str, int], Served] = {}
    uncached = None
    with contextlib.ExitStack() as stack:
        for row in wanted:
            key = (row.subject, row.processes)
            if row.work == rows.UNCACHED:
                uncached = uncached or stack.enter_context(
                    economy.serving(folder, processes=row.processes, has_short_ttl=True)
                )
            elif key in served or row.subject == rows.PGBENCH:
                continue
            elif row.subject == rows.OURS:
                served[key] = stack.enter_context(economy.serving(folder, processes=row.processes))
            else:
                served[key] = stack.enter_context(
                    peers.peer(row.subject, world, processes=row.processes, folder=folder)
                )
        yield Bench(world, economy, served, uncached, folder)


def measure(
    bench: Bench, wanted: Sequence[Row], options: argparse.Namespace, into: Results
) -> None:
    """Every other round goes backwards, so that no row always follows the same one."""
    into.samples = {row: [] for row in wanted}
    for row in wanted:
        bench.measure(row, WARM_UP_SECONDS)
    into.megabytes_before = megabytes(bench)
    for number in range(options.rounds):
        for row in wanted if number % 2 == 0 else reversed(wanted):
            sample = bench.measure(row, options.seconds)
            into.samples[row].append(sample)
            told = "INVALID: " + "; ".join(sample.wrong) if sample.wrong else ""
            print(f"{number + 1}  {row.name:62} {sample.per_second:>8,.0f}/s {told}", flush=True)
    into.megabytes_after = megabytes(bench)


def megabytes(bench: Bench) -> dict[str, list[float]]:
    """Of each of our processes, by server."""
    ours = {
        f"{subject}, processes: {processes}": served
        for (subject, processes), served in bench.served.items()
        if subject == rows.OURS
    }
    return {name: resident_megabytes(served.pid) for name, served in ours.items()}


def describe(world: Servers, options: argparse.Namespace, into: Results) -> None:
    postgres = f"PostgreSQL {world.value(PLAIN, 'SHOW server_version')}"
    durability = {name: world.value(PLAIN, f"SHOW {name}") for name in DURABILITY}
    into.machine = machine(world.cluster.data) | {"postgresql": postgres} | durability
    into.machine |= {"rounds": options.rounds, "seconds": options.seconds}
    into.builds = {rows.OURS: python_build(), rows.PGBENCH: postgres}
    if not options.without_peers:
        into.builds |= peers.versions()


def write(results: Results, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    told = results.as_json()
    told["targets"] = [vars(one) | {"verdict": one.verdict} for one in targets(results)]
    path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    path.with_suffix(".svg").write_text(svg(results))


def main() -> None:
    options, results, began_at = arguments(), Results(), time.monotonic()
    wanted = chosen(options)
    require_wrk()
    if any(row.subject in rows.PEERS for row in wanted):
        peers.install()
    with tempfile.TemporaryDirectory() as temporary, servers() as world:
        folder = Path(temporary)
        print("seeding 10,000 users, 100 products, ten inventory rows each", flush=True)
        seed(world)
        economy = Economy.of(world)
        write_tokens(economy.tokens, folder)
        describe(world, options, results)
        results.start_seconds = [
            economy.seconds_to_ready(folder, processes=2) for _ in range(options.rounds)
        ]
        with started(world, economy, wanted, folder) as bench:
            measure(bench, wanted, options, results)
        results.verified = economy.verify()
    print(*lines(results), sep="\n")
    print(f"{time.monotonic() - began_at:,.0f} seconds")
    for path in filter(None, (LATEST, options.save)):
        write(results, path)


if __name__ == "__main__":
    main()
