"""The memory of each server process while it is loaded for ten minutes: make bench-memory.

Purchases, then inventories that are not cached, in turn, over two processes. Memory must come to
rest: what is kept by design, such as plans of documents and valid tokens, is bounded.
"""

import argparse
import json
import secrets
import tempfile
import time
from pathlib import Path

from bench.suite import rows
from bench.suite.load import require_wrk, write_tokens, wrk
from bench.suite.noise import python_build
from bench.suite.ours import Economy
from bench.suite.processes import resident_megabytes
from bench.suite.requests import request_of
from bench.suite.seed import seed
from bench.suite.servers import servers

PROCESSES = 2
STEP_SECONDS = 15
LOADS = (
    rows.ours(rows.PURCHASE, processes=PROCESSES, connections=64),
    rows.ours(rows.UNCACHED, processes=PROCESSES, connections=32),
)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-memory", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--save", type=Path, help="write the JSON there, too")
    return parser.parse_args()


def measure(economy: Economy, folder: Path, minutes: float) -> list[list[float]]:
    """Megabytes of the processes, the largest first: at the start, and after each step."""
    with economy.serving(folder, processes=PROCESSES, has_short_ttl=True) as served:
        samples = [resident_megabytes(served.pid)]
        began_at = time.monotonic()
        for number in range(round(minutes * 60 / STEP_SECONDS)):
            row = LOADS[number % len(LOADS)]
            load = wrk(
                served.port,
                request_of(row, economy.server_key),
                connections=row.connections,
                seconds=STEP_SECONDS,
                prefix=f"{secrets.token_hex(4)}-",
                folder=folder,
            )
            if load.failures or load.errors:
                raise SystemExit(f"{load.failures} failures, {load.errors} errors: {load.sample}")
            samples.append(resident_megabytes(served.pid))
            passed, rate = time.monotonic() - began_at, load.successes / load.seconds
            sizes = ", ".join(f"{size:.0f}" for size in samples[-1])
            print(f"{passed:>5.0f} s  {row.work:22} {rate:>8,.0f}/s  {sizes} MB", flush=True)
    return samples


def main() -> None:
    options = arguments()
    require_wrk()
    with tempfile.TemporaryDirectory() as temporary, servers() as world:
        seed(world)
        economy = Economy.of(world)
        write_tokens(economy.tokens, Path(temporary))
        samples = measure(economy, Path(temporary), options.minutes)
    if options.save:
        told = {"step_seconds": STEP_SECONDS, "megabytes": samples, "python": python_build()}
        options.save.write_text(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
