"""The laws of the house that no linter holds: sizes and names."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "economy").rglob("*.py"))
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 50
NAMES_WITHOUT_A_ROLE = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_is_small_and_says_its_role(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_FILE_LINES
    assert file.stem not in NAMES_WITHOUT_A_ROLE
    tree = ast.parse(text)
    assert ast.get_docstring(tree) or not tree.body  # an empty __init__.py has no role
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= MAX_FUNCTION_LINES, node.name


def test_there_are_sources() -> None:
    assert len(SOURCES) > 50
