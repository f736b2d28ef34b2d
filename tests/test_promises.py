"""Each test that a page of promises names exists, and each promise names one."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs"
NAMED = re.compile(r"`(test_\w+\.py)::(\w+)`")
ROW = re.compile(r"^\| (.+) \|$", re.MULTILINE)


def functions_of(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, functions)}


@pytest.mark.parametrize("page", ["RELIABILITY.md", "INVARIANTS.md"])
def test_what_a_page_names_exists(page: str) -> None:
    named = NAMED.findall((DOCS / page).read_text(encoding="utf-8"))
    assert len(named) > 30
    wrong = [f"{file}::{name}" for file, name in named if name not in functions_of(file)]
    assert wrong == []


@pytest.mark.parametrize("page", ["RELIABILITY.md", "INVARIANTS.md"])
def test_each_line_of_its_table_names_a_test(page: str) -> None:
    _, *lines = ROW.findall((DOCS / page).read_text(encoding="utf-8"))
    assert len(lines) > 20
    assert [line for line in lines if not NAMED.search(line)] == []
