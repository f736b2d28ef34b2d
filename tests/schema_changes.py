"""Fails on a change of the GraphQL schema that breaks clients of the last release unsaid.

`docs/released.graphql` is the schema of the last release. A breaking change must be named in
CHANGELOG.md, under the heading of what is not released yet, as it is printed here.
"""

import re
import sys
from pathlib import Path

from graphql import build_schema as parse_schema
from graphql import find_breaking_changes

from economy.api.graphql.schema import build_schema

ROOT = Path(__file__).parent.parent
UNRELEASED = re.compile(r"^## \[Unreleased\]$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def unsaid_changes(released: str, current: str, changelog: str) -> list[str]:
    """The breaking changes, in words, that the changelog's unreleased part does not name."""
    found = UNRELEASED.search(changelog)
    said = " ".join(found[1].split()) if found else ""
    changes = find_breaking_changes(parse_schema(released), parse_schema(current))
    return [
        change.description
        for change in changes
        # not as the end of another's words
        if not re.search(rf"(?<![\w.]){re.escape(change.description)}", said)
    ]


def main() -> None:
    released = (ROOT / "docs" / "released.graphql").read_text(encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    unsaid = unsaid_changes(released, build_schema().as_str(), changelog)
    for change in unsaid:
        print(f"breaks clients, and CHANGELOG.md does not say so: {change}")
    sys.exit(1 if unsaid else 0)


if __name__ == "__main__":
    main()
