"""Lists and rates of settings: checked. Each raises ValueError, which says what to write."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from ipaddress import ip_network
from urllib.parse import urlsplit

_RATE = re.compile(r"[1-9][0-9]{0,5}/[1-9][0-9]{0,5}")


def rate(value: str) -> str:
    if value and _RATE.fullmatch(value) is None:
        raise ValueError("must be like 120/10, for 120 in 10 seconds; empty: no limit")
    return value


def origins(value: str) -> str:
    """One that no browser sends would allow nobody, and nothing would tell of it."""
    for origin in _listed(value):
        url = urlsplit(origin.rstrip("/"))
        is_bare = url.scheme in ("http", "https") and url.geturl() == f"{url.scheme}://{url.netloc}"
        if origin != "*" and not (is_bare and url.netloc):
            raise ValueError("must be like https://game.example, several by commas, without a path")
    return value


def proxies(value: str) -> str:
    """A name would be compared with addresses, and never be met."""
    for address in _listed(value):
        if address == "*":
            continue
        try:
            ip_network(address)
        except ValueError:
            raise ValueError("must be addresses such as 10.0.0.1 or 10.0.0.0/8, or *") from None
    return value


def with_the_closest(name: str, known: Iterable[str], *, prefix: str) -> str:
    """A name that is misspelt, and what was probably meant; the prefix would make all alike."""
    bare = (one.removeprefix(prefix) for one in known)
    meant = get_close_matches(name.upper().removeprefix(prefix), bare, n=1)
    return f"{name} (did you mean {prefix}{meant[0]}?)" if meant else name


def _listed(value: str) -> list[str]:
    return [part.strip() for part in value.split(",")] if value else []
