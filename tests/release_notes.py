"""Prints the notes of a release out of CHANGELOG.md, and refuses a tag that is not one.

`python -m tests.release_notes v0.2.0`; it needs nothing but Python.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


class NotARelease(Exception):
    """What has to be done before the tag is set."""


def notes_of(version: str, changelog: str) -> str:
    """What stands under the version's heading."""
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$"
    found = re.search(rf"{heading}(.*?)(?=^## |^\[[^\]]+\]: |\Z)", changelog, re.M | re.S)
    if found is None:
        raise NotARelease(f"CHANGELOG.md has no heading `## [{version}] - YYYY-MM-DD`")
    if not found[1].strip():
        raise NotARelease(f"CHANGELOG.md says nothing of {version}")
    return found[1].strip() + "\n"


def release_notes(tag: str, root: Path = ROOT) -> str:
    """Raises NotARelease."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    if tag != f"v{project['version']}":
        raise NotARelease(f"the tag is {tag}, pyproject.toml says {project['version']}")
    released = (root / "docs" / "released.graphql").read_bytes()
    if released != (root / "schema.graphql").read_bytes():
        raise NotARelease("docs/released.graphql is not schema.graphql: a release copies it")
    return notes_of(project["version"], (root / "CHANGELOG.md").read_text(encoding="utf-8"))


def main() -> None:
    try:
        sys.stdout.write(release_notes(sys.argv[1]))
    except NotARelease as refusal:
        sys.exit(f"not a release: {refusal}")


if __name__ == "__main__":
    main()
