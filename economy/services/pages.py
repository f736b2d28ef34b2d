"""Keyset pages: a cursor names the position of the last row seen, so depth costs nothing."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from economy.errors import invalid
from economy.services.access import parse_id

Row = TypeVar("Row")

_PREFIX = "after:"


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    rows: Sequence[Row]
    cursors: Sequence[str]  # one a row
    has_next: bool
    has_previous: bool

    @classmethod
    def cut(
        cls, rows: Sequence[Row], first: int, after: str | None, cursor: Callable[[Row], str]
    ) -> "Page[Row]":
        """`rows` holds one more than `first` when there is a next page."""
        mine = rows[:first]
        return cls(mine, [cursor(row) for row in mine], len(rows) > first, after is not None)

    @property
    def next_cursor(self) -> str | None:
        return self.cursors[-1] if self.has_next else None


def cursor_of(position: int) -> str:
    """Opaque to clients: they must not build it."""
    return base64.urlsafe_b64encode(f"{_PREFIX}{position}".encode()).decode()


def position_of(cursor: str | None) -> int | None:
    """Raises InvalidInput for what `cursor_of` did not make."""
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        raise _not_a_cursor() from None
    position = parse_id(text.removeprefix(_PREFIX)) if text.startswith(_PREFIX) else None
    if position is None:
        raise _not_a_cursor()
    return position


def _not_a_cursor() -> Exception:
    return invalid("after", "This is not a cursor of ours.")
