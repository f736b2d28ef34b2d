"""URLs of settings: checked, and as the drivers want them. Each raises ValueError, without the URL,
which may hold a password."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from redis.asyncio.connection import ConnectionPool, parse_url
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

# What people paste from elsewhere -> what SQLAlchemy's asynchronous drivers need.
DATABASE_SCHEMES = {
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
}
# The driver takes others of libpq's for mistakes of the program. `ssl` is its word for sslmode.
DATABASE_OPTIONS = {"host", "port", "user", "password", "database", "ssl", "sslmode", "passfile"}
DATABASE_OPTIONS |= {"target_session_attrs"}


def optional(check: Callable[[str], str]) -> Callable[[str | None], str | None]:
    """An empty one is none."""
    return lambda url: check(url) if url else None


def database_url(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in DATABASE_SCHEMES:
        raise ValueError("must start with postgresql:// or sqlite:///")
    url = f"{DATABASE_SCHEMES[scheme]}://{rest}"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError("is not the URL of a database") from None
    if scheme.startswith("sqlite") and parsed.database in (None, "", ":memory:"):
        raise ValueError("must name a file: each connection would have its own database")
    if scheme.startswith("postgres") and not parsed.query.keys() <= DATABASE_OPTIONS:
        # which one is not told: it may be part of a password that was written wrongly
        raise ValueError(f"knows no other options than {', '.join(sorted(DATABASE_OPTIONS))}")
    if "sslmode" in parsed.query:  # libpq's word; asyncpg's is ssl
        ssl = parsed.query["sslmode"]
        parsed = parsed.difference_update_query(["sslmode"]).update_query_dict({"ssl": ssl})
        url = parsed.render_as_string(hide_password=False)
    return url


def replica_url(url: str) -> str:
    if not url.startswith("postgres"):
        raise ValueError("must start with postgresql://")
    return database_url(url)


def redis_url(url: str) -> str:
    try:
        options = dict(parse_url(url))
        # an option that there is not; nothing connects before it is used
        ConnectionPool.from_url(url).make_connection()  # type: ignore[no-untyped-call]
        number = urlsplit(url).path.strip("/")
        is_wrong = "path" not in options and number != "" and not number.isdecimal()
    except (TypeError, ValueError):
        is_wrong = True
    if is_wrong:
        raise ValueError("must be like redis://host:6379/0")
    for option in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        if option in options and not Path(str(options[option])).is_file():
            raise ValueError(f"{option} names no file")
    return url


def broker_url(url: str) -> str:
    if "://" not in url:
        raise ValueError("must be like redis://host:6379/1")
    return url


def otlp_endpoint(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be like http://collector:4318")
    return url
