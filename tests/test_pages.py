"""Cursors and pages, without a database."""

import base64

import pytest

from economy.errors import InvalidInput
from economy.services.pages import Page, cursor_of, position_of


def encoded(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).decode()


@pytest.mark.parametrize("position", [1, 2, 12345, 2**53, 2**63 - 1])
def test_a_cursor_leads_back(position: int) -> None:
    assert position_of(cursor_of(position)) == position


def test_without_a_cursor_it_is_the_first_page() -> None:
    assert position_of(None) is None


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "abc",
        "1",
        "after:1",
        "курсор",
        "\ud800",
        "\x00",
        "A" * 10_000,
        cursor_of(17)[:-1],  # cut off
        cursor_of(17) + "=",
        f" {cursor_of(17)}",
        encoded(b"before:1"),
        encoded(b"after:"),
        encoded(b"after:0"),
        encoded(b"after:-1"),
        encoded(b"after:01"),
        encoded(b"after:1 "),
        encoded(f"after:{2**63}".encode()),
        encoded(b"after:\xff"),
    ],
)
def test_what_is_no_cursor(cursor: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        position_of(cursor)
    [problem] = caught.value.problems
    assert (problem.path, problem.message) == (("after",), "This is not a cursor of ours.")


@pytest.mark.parametrize(
    ("rows", "after", "kept", "next_position", "has_previous"),
    [
        ([], None, [], None, False),
        ([1, 2], None, [1, 2], None, False),
        ([1, 2, 3], None, [1, 2, 3], None, False),
        ([1, 2, 3, 4], None, [1, 2, 3], 3, False),
        ([5, 6, 7, 8], "cursor", [5, 6, 7], 7, True),
        ([], "cursor", [], None, True),
    ],
)
def test_a_page_of_three(
    rows: list[int],
    after: str | None,
    kept: list[int],
    next_position: int | None,
    has_previous: bool,
) -> None:
    page = Page.cut(rows, 3, after, cursor_of)
    assert page.rows == kept
    assert [position_of(cursor) for cursor in page.cursors] == kept
    assert page.has_next == (next_position is not None)
    assert page.has_previous == has_previous
    assert position_of(page.next_cursor) == next_position
