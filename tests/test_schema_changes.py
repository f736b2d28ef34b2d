"""The check for breaking changes of the GraphQL schema: what it finds and what it lets pass."""

from pathlib import Path

import pytest
from graphql import build_schema

from tests.schema_changes import unsaid_changes

RELEASED = """
type Query { user(id: ID!): User products(first: Int = 50, type: Kind): [Product!] }
type User { id: ID! name: String }
type Product { id: ID! price: Int! }
union Result = User | Product
enum Kind { ONE TWO }
input Input { id: ID! note: String }
type Mutation { change(input: Input!): Result }
"""
BREAKING = [
    ("price: Int!", "", "Product.price was removed."),
    ("price: Int!", "price: Float!", "Product.price changed type from Int! to Float!."),
    ("price: Int!", "price: Int", "Product.price changed type from Int! to Int."),
    ("union Result = User | Product", "union Result = User", "Product was removed from union"),
    ("enum Kind { ONE TWO }", "enum Kind { ONE }", "Enum value Kind.TWO was removed."),
    ("(id: ID!)", "(id: ID!, at: Int!)", "A required argument Query.user(at:) was added."),
    ("(id: ID!)", "(name: ID!)", "Argument Query.user(id:) was removed."),
    ("note: String", "note: String other: Int!", "A required field Input.other was added."),
    ("note: String", "note: Int", "Input.note changed type from String to Int."),
    ("type Mutation", "type Changes", "Mutation was removed."),
]
HARMLESS = [
    ("price: Int!", "price: Int! name: String"),
    ("price: Int!", 'price: Int! @deprecated(reason: "soon")'),
    ("name: String", "name: String!"),
    ("(id: ID!)", "(id: ID!, at: Int)"),
    ("note: String", "note: String other: Int"),
    ("enum Kind { ONE TWO }", "enum Kind { ONE TWO THREE }"),
    ("union Result = User | Product", "union Result = User | Product | More type More { a: Int }"),
]
HEADING = "# Changelog\n\n## [Unreleased]\n\n### Changed\n\n"
OLDER = "\n## [1.0.0] - 2026-01-01\n\n"


def changed(old: str, new: str) -> str:
    assert old in RELEASED
    schema = RELEASED.replace(old, new)
    build_schema(schema)
    return schema


@pytest.mark.parametrize(("old", "new", "words"), BREAKING)
def test_a_breaking_change_has_to_be_said(old: str, new: str, words: str) -> None:
    current = changed(old, new)
    unsaid = unsaid_changes(RELEASED, current, HEADING)
    assert words in " ".join(unsaid)
    said = "\n".join(f"- {change}" for change in unsaid)
    assert unsaid_changes(RELEASED, current, HEADING + said) == []
    # it may run over several lines, but it stands in the part of what is not released yet
    wrapped = said.replace(" ", "\n  ")
    assert unsaid_changes(RELEASED, current, HEADING + wrapped + OLDER) == []
    for changelog in ("", said, HEADING + OLDER + said, "# Changelog\n" + OLDER + said):
        assert unsaid_changes(RELEASED, current, changelog) == unsaid


@pytest.mark.parametrize(("old", "new"), HARMLESS)
def test_other_changes_need_not(old: str, new: str) -> None:
    assert unsaid_changes(RELEASED, changed(old, new), "") == []


def test_each_change_has_to_be_said() -> None:
    current = changed("price: Int!", "").replace("name: String", "")
    first, second = sorted(unsaid_changes(RELEASED, current, HEADING))
    assert unsaid_changes(RELEASED, current, HEADING + first) == [second]
    assert unsaid_changes(RELEASED, current, HEADING + second) == [first]


def test_the_committed_schemas() -> None:
    """What CI checks: the committed schema breaks nothing unsaid."""
    root = Path(__file__).parent.parent
    released, current = root / "docs" / "released.graphql", root / "schema.graphql"
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    assert unsaid_changes(released.read_text(), current.read_text(), changelog) == []
