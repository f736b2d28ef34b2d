"""Runs the README's examples in order, as a reader would, and compares what they print."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.live import ECONOMY, environment, live_server, run_economy

ROOT = Path(__file__).parent.parent
ADDRESS = "http://127.0.0.1:8000"
BLOCK = re.compile(r"^```(sh|json|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ANYTHING = "…"  # stands in the README for what differs each time


def examples() -> list[tuple[str, str | None]]:
    """(shell lines, what is printed): an answer stands right behind its command."""
    blocks = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    found: list[tuple[str, str | None]] = []
    for language, content in blocks:
        if language == "sh":
            found.append((content, None))
        elif found and found[-1][1] is None and "ECONOMY_" not in content:
            found[-1] = (found[-1][0], content)
    return found


def assert_alike(actual: Any, expected: Any) -> None:
    if expected == ANYTHING:
        return
    if isinstance(expected, dict):
        assert isinstance(actual, dict)
        assert actual.keys() == expected.keys()
        for key, value in expected.items():
            assert_alike(actual[key], value)
    elif isinstance(expected, list):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            assert_alike(one, other)
    else:
        assert actual == expected


def test_the_examples_print_what_the_readme_says(sqlite_url: str) -> None:
    assert run_economy("seed", database_url=sqlite_url).returncode == 0
    commands = examples()
    assert len(commands) >= 8
    # one shell, so that variables live on; NUL separates the answers
    script = "printf '\\0'\n".join(command for command, _ in commands)
    with live_server(database_url=sqlite_url) as server:
        script = script.replace(ADDRESS, server.url).replace(".venv/bin/economy", str(ECONOMY))
        shell = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env=environment(database_url=sqlite_url),
            capture_output=True,
            text=True,
            check=False,
        )
    assert shell.returncode == 0, shell.stderr
    for (command, expected), printed in zip(commands, shell.stdout.split("\0"), strict=True):
        if expected is None:
            assert printed == "", command
        elif expected.startswith("{"):
            assert_alike(json.loads(printed), json.loads(expected))
        else:
            pattern = re.escape(expected).replace(ANYTHING, ".+")
            assert re.fullmatch(pattern, printed), printed


def test_the_line_that_seeding_prints_buys_something(sqlite_url: str) -> None:
    with live_server(database_url=sqlite_url) as server:
        port = server.url.rpartition(":")[2]
        seeded = run_economy("seed", database_url=sqlite_url, port=port)
        line = next(line for line in seeded.stdout.splitlines() if "curl" in line)
        bought = subprocess.run(
            ["bash", "-c", f"{line} --silent"], capture_output=True, text=True, check=True
        )
    assert json.loads(bought.stdout)["transaction"]["balance_after"] == 9_900
