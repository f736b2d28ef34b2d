"""What a tag has to agree with before it is released, and the notes that are cut out."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.release_notes import ROOT, NotARelease, notes_of, release_notes

CHANGELOG = """# Changelog

## [Unreleased]

- Not yet.

## [1.10.0] - 2026-12-01

### Added

- Gifts, as `giftItem`.

## [1.1.0] - 2026-11-30

## [1.0.0] - 2026-11-24

- The first.

[1.0.0]: https://example.com/v1.0.0
"""

# `python -m tests.release_notes` without the packages of this environment
PROGRAM = """
import runpy, sys
sys.path.insert(0, "")
runpy.run_module("tests.release_notes", run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Ready to be released as 1.10.0."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "economy"\nversion = "1.10.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    (tmp_path / "schema.graphql").write_text("type Query { a: Int }\n")
    (tmp_path / "docs" / "released.graphql").write_text("type Query { a: Int }\n")
    return tmp_path


def refusal(tag: str, checkout: Path) -> str:
    with pytest.raises(NotARelease) as raised:
        release_notes(tag, checkout)
    return str(raised.value)


def test_the_notes_are_what_stands_under_the_heading(checkout: Path) -> None:
    assert release_notes("v1.10.0", checkout) == "### Added\n\n- Gifts, as `giftItem`.\n"
    assert notes_of("1.0.0", CHANGELOG) == "- The first.\n"


@pytest.mark.parametrize("tag", ["1.10.0", "v1.10.1", "v1.1.0", "v1.10.0rc1", "main"])
def test_another_tag_than_the_version_is_refused(tag: str, checkout: Path) -> None:
    assert refusal(tag, checkout) == f"the tag is {tag}, pyproject.toml says 1.10.0"


def test_a_version_without_notes_is_refused(checkout: Path) -> None:
    with pytest.raises(NotARelease, match=r"^CHANGELOG\.md says nothing of 1\.1\.0$"):
        notes_of("1.1.0", CHANGELOG)
    for heading in ("## [1.10.0]", "## 1.10.0 - 2026-12-01", "## [1x10.0] - 2026-12-01"):
        changelog = CHANGELOG.replace("## [1.10.0] - 2026-12-01", heading)
        (checkout / "CHANGELOG.md").write_text(changelog)
        expected = "CHANGELOG.md has no heading `## [1.10.0] - YYYY-MM-DD`"
        assert refusal("v1.10.0", checkout) == expected


def test_a_schema_that_was_not_copied_is_refused(checkout: Path) -> None:
    (checkout / "schema.graphql").write_text("type Query { a: Int b: Int }\n")
    expected = "docs/released.graphql is not schema.graphql: a release copies it"
    assert refusal("v1.10.0", checkout) == expected


def test_the_command_prints_the_notes_or_fails(checkout: Path) -> None:
    """As the workflow runs it: with Python alone, nothing installed."""
    (checkout / "tests").mkdir()
    for name in ("__init__.py", "release_notes.py"):
        shutil.copy(ROOT / "tests" / name, checkout / "tests" / name)

    def run(tag: str) -> tuple[int, str, str]:
        command = [sys.executable, "-I", "-S", "-c", PROGRAM, tag]
        done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    assert run("v1.10.0") == (0, "### Added\n\n- Gifts, as `giftItem`.\n", "")
    refused = "not a release: the tag is v2.0.0, pyproject.toml says 1.10.0\n"
    assert run("v2.0.0") == (1, "", refused)
