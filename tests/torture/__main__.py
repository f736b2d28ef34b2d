"""The long torture, and the long model-based run: make torture."""

import argparse
import asyncio
import os
import random
import subprocess
import sys
import time
import traceback
from pathlib import Path

from tests.torture.campaign import Results, all_series, run_series
from tests.torture.report import table
from tests.torture.rounds import LONG

ROOT = Path(__file__).parent.parent.parent
MODEL_TESTS = "tests/test_model.py"  # as many examples as TEST_MODEL_EXAMPLES says


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=50)
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options.add_argument("--examples", type=int, default=200, help="of the model; 0 leaves it out")
    chosen = options.parse_args()
    print(f"seed {chosen.seed}, {chosen.rounds} rounds", flush=True)
    started_at = time.monotonic()
    results = asyncio.run(torture(chosen.rounds, chosen.seed))
    print(table(results.rounds))
    print(f"seed {chosen.seed}, {time.monotonic() - started_at:.0f} seconds")
    is_model_right = run_model(chosen.examples)
    for problem in results.problems:
        print(problem)
    sys.exit(0 if results.are_good and is_model_right else 1)


async def torture(rounds: int, seed: int) -> Results:
    dice, results = random.Random(seed), Results()
    for series in all_series(rounds, dice):
        try:
            await run_series(series, dice, results, size=LONG, tell=tell)
        except Exception:  # what has been done is reported
            results.problems.append(traceback.format_exc())
    return results


def tell(line: str) -> None:
    print(line, flush=True)


def run_model(examples: int) -> bool:
    if examples == 0:
        return True
    environment = os.environ | {"TEST_MODEL_EXAMPLES": str(examples)}
    command = [sys.executable, "-m", "pytest", "-q", "-rP", "--no-header", MODEL_TESTS]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, encoding="utf-8", check=False
    )
    if done.returncode == 0:
        print("\n".join(line for line in done.stdout.splitlines() if line.startswith("model:")))
    else:
        print(f"model, {examples} examples: FAILED\n{done.stdout}")
    return done.returncode == 0


if __name__ == "__main__":
    main()
