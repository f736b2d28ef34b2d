"""URLs of settings: checked, and as the drivers want them. Each raises ValueError, without the URL,
which may hold a password."""

from collections.abc import Callable

from redis.asyncio.connection import parse_url
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
        parse_url(url)
    except ValueError:
        raise ValueError("must be like redis://host:6379/0") from None
    return url


def broker_url(url: str) -> str:
    if "://" not in url:
        raise ValueError("must be like redis://host:6379/1")
    return url


def otlp_endpoint(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("must be like http://collector:4318")
    return url
