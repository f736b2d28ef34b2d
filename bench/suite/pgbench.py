"""Load on PostgreSQL itself, by pgbench: what the database does without any server before it."""

import re
import statistics
import subprocess
import tempfile
from pathlib import Path

from bench.suite import rows
from bench.suite.load import Load
from bench.suite.servers import PLAIN, Servers

SCRIPTS = {
    rows.PURCHASE: "purchase_one.sql",
    rows.MANY_STATEMENTS: "purchase_many.sql",
    rows.INVENTORY: "inventory.sql",
}
FOLDER = Path(__file__).parent / "sql"
THREADS = 2
PROCESSED = re.compile(r"transactions actually processed: (\d+)")
FAILED = re.compile(r"failed transactions: (\d+)")
RATE = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)


def pgbench(servers: Servers, work: str, *, clients: int, seconds: float, prefix: str) -> Load:
    command = [
        *(servers.cluster.binaries / "pgbench", "--no-vacuum", "--protocol=prepared", "--log"),
        *(f"--client={clients}", f"--jobs={THREADS}", f"--time={max(1, round(seconds))}"),
        *(f"--define=run={prefix}", f"--file={FOLDER / SCRIPTS[work]}"),
        *(f"--host={servers.socket_folder}", "--username=postgres", PLAIN),
    ]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=folder,  # its log
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        milliseconds = _milliseconds(Path(folder))
    processed, failed = PROCESSED.search(done.stdout), FAILED.search(done.stdout)
    rate = RATE.search(done.stdout)
    if done.returncode != 0 or processed is None or failed is None or rate is None:
        raise SystemExit(f"pgbench failed: {done.stdout}{done.stderr}")
    hundredths = statistics.quantiles(milliseconds, n=100)
    return Load(
        successes=int(processed[1]),
        failures=int(failed[1]),
        errors=0,
        seconds=int(processed[1]) / float(rate[1]),  # without the time to connect
        p50_ms=hundredths[49],
        p99_ms=hundredths[98],
        sample="",
    )


def _milliseconds(folder: Path) -> list[float]:
    """Of each transaction: the third word of a line of the log."""
    return [
        int(line.split()[2]) / 1000
        for log in folder.glob("pgbench_log.*")
        for line in log.read_text().splitlines()
    ]
