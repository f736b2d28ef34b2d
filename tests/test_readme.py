"""The line that seeding prints for whoever reads the README works."""

import json
import subprocess

from tests.live import live_server, run_economy


def test_the_line_that_seeding_prints_buys_something(sqlite_url: str) -> None:
    with live_server(database_url=sqlite_url) as server:
        port = server.url.rpartition(":")[2]
        seeded = run_economy("seed", database_url=sqlite_url, port=port)
        line = next(line for line in seeded.stdout.splitlines() if "curl" in line)
        bought = subprocess.run(
            ["bash", "-c", f"{line} --silent"], capture_output=True, text=True, check=True
        )
    assert json.loads(bought.stdout)["transaction"]["balance_after"] == 9_900
