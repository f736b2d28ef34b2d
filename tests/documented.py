"""What a page of the documentation says: its examples, tables, links and anchors."""

import json
import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from tests.live import ECONOMY, environment

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
ADDRESS = "http://127.0.0.1:8000"
ANYTHING = "…"  # stands in a page for what differs each time
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLE = re.compile(
    r"^```sh\n(.*?)^```$(?:\s*^```(?:json|text)\n(.*?)^```$)?", re.MULTILINE | re.DOTALL
)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CELLS = re.compile(r"(?<!\\)\|")


class Example(NamedTuple):
    command: str
    printed: str | None


class Link(NamedTuple):
    page: Path
    target: str


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def examples_in(page: Path) -> list[Example]:
    """Each `sh` block, with the `json` or `text` block that stands right behind it."""
    return [Example(*found.groups()) for found in EXAMPLE.finditer(text_of(page))]


def run_examples(examples: list[Example], url: str, database_url: str) -> None:
    """In order and in one shell, as a reader would; asserts that each prints what the page says."""
    # NUL separates what is printed
    script = "printf '\\0'\n".join(example.command for example in examples)
    script = script.replace(ADDRESS, url).replace(".venv/bin/economy", str(ECONOMY))
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shell = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=environment(database_url=database_url) | {"GAME_URL": url, "PATH": programs},
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert shell.returncode == 0, shell.stderr
    for example, printed in zip(examples, shell.stdout.split("\0"), strict=True):
        _assert_printed(example, printed)


def _assert_printed(example: Example, printed: str) -> None:
    if example.printed is None:
        assert printed == "", example.command
    elif example.printed.startswith("{"):
        _assert_alike(json.loads(printed), json.loads(example.printed))
    else:
        pattern = re.escape(example.printed).replace(ANYTHING, ".+")
        assert re.fullmatch(pattern, printed), printed


def _assert_alike(actual: Any, expected: Any) -> None:
    if expected == ANYTHING:
        return
    if isinstance(expected, dict):
        assert isinstance(actual, dict)
        assert actual.keys() == expected.keys()
        for key, value in expected.items():
            _assert_alike(actual[key], value)
    elif isinstance(expected, list):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            _assert_alike(one, other)
    else:
        assert actual == expected


def rows_of(page: Path, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its own two lines."""
    _, found, section = text_of(page).partition(f"\n{heading}\n")
    assert found, f"{page.name} has no {heading!r}"
    lines = re.split(r"^#", section, maxsplit=1, flags=re.MULTILINE)[0].splitlines()
    table = [line for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in CELLS.split(line)[1:-1]] for line in table[2:]]


def links_in(page: Path) -> Iterator[Link]:
    """Those within the repository."""
    for target in LINK.findall(FENCED.sub("", text_of(page))):
        if not re.match(r"[a-z]+:", target):
            yield Link(page, unquote(target))


def is_broken(link: Link) -> bool:
    path, _, anchor = link.target.partition("#")
    file = (link.page.parent / path).resolve() if path else link.page
    if not file.exists() or not file.is_relative_to(ROOT):
        return True
    return bool(anchor) and (file.suffix != ".md" or anchor not in anchors_of(file))


def anchors_of(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = HEADING.findall(FENCED.sub("", text_of(page)))
    return {_slug(re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading)) for heading in headings}


def _slug(heading: str) -> str:
    kept = (
        character
        for character in heading.strip().lower()
        if character in " -_" or unicodedata.category(character)[0] in "LNM"
    )
    return "".join(kept).replace(" ", "-")
