"""Headers as ASGI has them, read without Starlette's classes, which the hot path would feel."""

from collections.abc import Mapping

from starlette.types import Scope

Pairs = list[tuple[bytes, bytes]]


def header(scope: Scope, name: bytes) -> str | None:
    """The first of that name, which is in lower case."""
    for one, value in scope["headers"]:
        if one == name:
            return str(value, "latin-1")
    return None


def joined_header(scope: Scope, name: bytes) -> str | None:
    """All of that name as one list: RFC 9110, section 5.3."""
    values = [str(value, "latin-1") for one, value in scope["headers"] if one == name]
    return ", ".join(values) if values else None


def pairs(headers: Mapping[str, str]) -> Pairs:
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
    ]
