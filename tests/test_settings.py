"""Settings: what production refuses, how URLs are read, and messages that name the variable."""

import os
from typing import Any

import pytest
from pydantic import ValidationError

from economy.settings import DEVELOPMENT_JWT_SECRET, Environment, Settings

SECRET = "a-secret-of-production-32-bytes!"
PRODUCTION: dict[str, Any] = {
    "environment": "production",
    "jwt_secret": SECRET,
    "database_url": "postgresql://db/economy",
    "redis_url": "redis://cache:6379/0",
}
NO_SECRET = "set ECONOMY_JWT_SECRET to a random secret of your own"
SHORT_SECRET = "ECONOMY_JWT_SECRET needs at least 32 bytes"
NO_POSTGRES = "set ECONOMY_DATABASE_URL to a PostgreSQL database (not SQLite)"
NO_REDIS = "set ECONOMY_REDIS_URL (an in-process cache is for development)"


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith("ECONOMY_")]:
        monkeypatch.delenv(name)
    return monkeypatch


def problems_of(**values: Any) -> list[tuple[str, str]]:
    """What is wrong with the settings: name and message; never the value, which may be secret."""
    with pytest.raises(ValidationError) as refusal:
        Settings(**values)
    return [(".".join(map(str, one["loc"])), one["msg"]) for one in refusal.value.errors()]


def test_development_needs_nothing() -> None:
    settings = Settings()
    assert settings.environment is Environment.DEVELOPMENT
    assert settings.is_development
    assert settings.is_sqlite
    assert settings.database_url == "sqlite+aiosqlite:///economy.db"
    assert settings.redis_url is None
    assert settings.jwt_secret.get_secret_value() == DEVELOPMENT_JWT_SECRET
    assert settings.base_url == "http://127.0.0.1:8000"
    assert (settings.inventory_ttl_seconds, settings.popular_products_ttl_seconds) == (300, 3_600)
    assert settings.catalogue_ttl_seconds == 60
    assert settings.max_top_up_amount == 1_000_000
    assert (settings.broker_url, settings.jobs_in_server) == (None, True)
    assert settings.jobs_every_seconds == 60
    assert settings.trusted_proxies == "127.0.0.1"


RATES = {
    "rate_limit_player_money": "120/10",
    "rate_limit_player_reads": "300/10",
    "rate_limit_server_money": "",
    "rate_limit_server_reads": "",
    "rate_limit_failed_authentication": "30/60",
}
NO_RATES = [
    *("120", "/", "120/", "/10", "0/10", "10/0", "-1/10", "1/-1", "+1/1", "01/10", "1/010"),
    *("1.5/10", "1/1.5", "1e2/10", "1 / 10", "1/10/10", "1/10s", "120/10, 300/60", "1\n/10"),
    *("1000000/1", "1/1000000", "unlimited", "none", "٣/10", "1/٣", "0"),
]


@pytest.mark.parametrize("name", RATES)
def test_rate_limits(empty_environment: pytest.MonkeyPatch, name: str) -> None:
    """So many in so many seconds, or nothing: no limit."""
    assert getattr(Settings(), name) == RATES[name]
    for value in ["", "1/1", "120/10", "999999/999999"]:
        assert getattr(Settings.model_validate({name: f" {value}\n"}), name) == value
        empty_environment.setenv(f"ECONOMY_{name.upper()}", value)
        assert getattr(Settings(), name) == value
    empty_environment.delenv(f"ECONOMY_{name.upper()}")
    expected = "Value error, must be like 120/10, for 120 in 10 seconds; empty: no limit"
    for value in NO_RATES:
        assert problems_of(**{name: value}) == [(name, expected)], value


def test_jobs_and_proxies(empty_environment: pytest.MonkeyPatch) -> None:
    empty_environment.setenv("ECONOMY_BROKER_URL", "")
    empty_environment.setenv("ECONOMY_JOBS_IN_SERVER", "false")
    empty_environment.setenv("ECONOMY_TRUSTED_PROXIES", "")
    settings = Settings()
    assert (settings.broker_url, settings.jobs_in_server) == (None, False)
    assert settings.trusted_proxies == ""
    for url in ["redis://broker:6379/1", "amqp://user:password@broker//", "memory://"]:
        assert Settings(broker_url=url).broker_url == url
    for proxies in ["*", "10.0.0.1, 10.0.0.2", "10.0.0.0/8"]:
        assert Settings(trusted_proxies=proxies).trusted_proxies == proxies


def test_production() -> None:
    settings = Settings(**PRODUCTION)
    assert not settings.is_development
    assert not settings.is_sqlite
    assert settings.jwt_secret.get_secret_value() == SECRET


@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        ({"jwt_secret": DEVELOPMENT_JWT_SECRET}, [NO_SECRET]),
        ({"jwt_secret": "x" * 31}, [SHORT_SECRET]),
        ({"jwt_secret": ""}, [SHORT_SECRET]),
        ({"database_url": "sqlite:///economy.db"}, [NO_POSTGRES]),
        ({"redis_url": None}, [NO_REDIS]),
        ({"redis_url": ""}, [NO_REDIS]),
        (
            {"jwt_secret": "x", "database_url": "sqlite:///economy.db", "redis_url": ""},
            [SHORT_SECRET, NO_POSTGRES, NO_REDIS],
        ),
    ],
)
def test_production_refuses(changes: dict[str, Any], messages: list[str]) -> None:
    expected = "Value error, production refuses to start: " + "; ".join(messages)
    assert problems_of(**(PRODUCTION | changes)) == [("", expected)]


def test_production_without_anything() -> None:
    messages = "; ".join([NO_SECRET, NO_POSTGRES, NO_REDIS])
    expected = f"Value error, production refuses to start: {messages}"
    assert problems_of(environment="production") == [("", expected)]


def test_secret_counts_in_bytes() -> None:
    assert problems_of(**(PRODUCTION | {"jwt_secret": "ж" * 15}))
    assert Settings(**(PRODUCTION | {"jwt_secret": "ж" * 16})).environment == "production"


def test_key_set_replaces_the_secret() -> None:
    changes = {"jwt_secret": DEVELOPMENT_JWT_SECRET, "jwt_jwks": "https://example.com/jwks.json"}
    assert Settings(**(PRODUCTION | changes)).jwt_jwks == "https://example.com/jwks.json"


def test_refusal_tells_no_secret() -> None:
    with pytest.raises(ValidationError) as refusal:
        Settings(**(PRODUCTION | {"redis_url": "", "jwt_secret": f"{SECRET}-of-ours"}))
    assert "of-ours" not in str(refusal.value)
    assert SECRET not in repr(Settings(**PRODUCTION))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgres://u:p%40ss@db:5433/main", "postgresql+asyncpg://u:p%40ss@db:5433/main"),
        ("postgresql://db/main", "postgresql+asyncpg://db/main"),
        ("postgresql+asyncpg://db/main", "postgresql+asyncpg://db/main"),
        ("  postgresql://db/main\n", "postgresql+asyncpg://db/main"),
        ("postgres://db/main?sslmode=require", "postgresql+asyncpg://db/main?ssl=require"),
        (
            "postgres://u:p%40s+s@db/main?sslmode=disable&host=x",
            "postgresql+asyncpg://u:p%40s+s@db/main?host=x&ssl=disable",
        ),
        ("sqlite:///file.db", "sqlite+aiosqlite:///file.db"),
        ("sqlite:////data/file.db", "sqlite+aiosqlite:////data/file.db"),
        ("sqlite+aiosqlite:///file.db", "sqlite+aiosqlite:///file.db"),
    ],
)
def test_database_urls(url: str, expected: str) -> None:
    settings = Settings(database_url=url)
    assert settings.database_url == expected
    assert settings.is_sqlite == ("sqlite" in url)


SCHEME = "must start with postgresql:// or sqlite:///"
OPTIONS = (
    "knows no other options than database, host, passfile, password, port, ssl, sslmode,"
    " target_session_attrs, user"
)
MEMORY = "must name a file: each connection would have its own database"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", SCHEME),
        ("economy.db", SCHEME),
        ("mysql://db/main", SCHEME),
        ("postgresql+psycopg://db/main", SCHEME),
        ("POSTGRESQL://db/main", SCHEME),
        ("postgresql://db:port/main", "is not the URL of a database"),
        ("sqlite://", MEMORY),
        ("sqlite:///", MEMORY),
        ("sqlite:///:memory:", MEMORY),
        ("postgresql://db/main?application_name=shop", OPTIONS),
    ],
)
def test_wrong_database_urls(url: str, message: str) -> None:
    assert problems_of(database_url=url) == [("database_url", f"Value error, {message}")]


def test_redis_urls() -> None:
    for url in ["redis://cache:6379/0", "rediss://u:p@cache/1", "unix:///run/redis.sock?db=2"]:
        assert Settings(redis_url=url).redis_url == url
    for url in [
        *("cache:6379", "http://cache", "redis://cache:port", "redis://cache/zero"),
        *("redis://cache/0?colour=blue", "redis://cache?db=x"),
    ]:
        expected = "Value error, must be like redis://host:6379/0"
        assert problems_of(redis_url=url) == [("redis_url", expected)]
    url = "rediss://cache:6379/0?ssl_ca_certs=/nowhere.pem"
    assert problems_of(redis_url=url) == [("redis_url", "Value error, ssl_ca_certs names no file")]


@pytest.mark.parametrize(
    ("name", "right", "wrong", "message"),
    [
        (
            "cors_origins",
            ["", "*", "https://game.example", "https://game.example/, http://localhost:3000"],
            ["game.example", "https://game.example/shop", "https://a.example,b.example", "://"],
            "must be like https://game.example, several by commas, without a path",
        ),
        (
            "trusted_proxies",
            ["", "*", "::1, 10.0.0.0/8"],
            ["proxy", "10.0.0.1:80", "10.0.0.1/8", "10.0.0.1,"],
            "must be addresses such as 10.0.0.1 or 10.0.0.0/8, or *",
        ),
        (
            "otlp_endpoint",
            ["http://collector:4318", "https://collector.example/otlp"],
            ["collector:4318", "http://", "grpc://collector:4317"],
            "must be like http://collector:4318",
        ),
    ],
)
def test_lists_and_addresses(name: str, right: list[str], wrong: list[str], message: str) -> None:
    """Each of the wrong ones would be taken, and never work."""
    for value in right:
        assert getattr(Settings.model_validate({name: value}), name) == value
    for value in wrong:
        assert problems_of(**{name: value}) == [(name, f"Value error, {message}")], value


def test_variables(empty_environment: pytest.MonkeyPatch) -> None:
    for name, value in PRODUCTION.items():
        empty_environment.setenv(f"ECONOMY_{name.upper()}", value)
    empty_environment.setenv("ECONOMY_HOST", "0.0.0.0")
    empty_environment.setenv("ECONOMY_PORT", " 9000 ")
    settings = Settings()
    assert settings.environment is Environment.PRODUCTION
    assert settings.database_url == "postgresql+asyncpg://db/economy"
    assert settings.base_url == "http://127.0.0.1:9000"


def test_unknown_variables_are_refused(empty_environment: pytest.MonkeyPatch) -> None:
    empty_environment.setenv("ECONOMY_DATABSE_URL", "postgresql://db/economy")
    empty_environment.setenv("economy_colour", "blue")
    meant = "ECONOMY_DATABSE_URL (did you mean ECONOMY_DATABASE_URL?), economy_colour"
    expected = f"Value error, there is no such setting: {meant}"
    assert problems_of() == [("", expected)]
    assert problems_of(colour="blue") == [("colour", "Extra inputs are not permitted")]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "port",
            "abc",
            "Input should be a valid integer, unable to parse string as an integer",
        ),
        ("port", "65536", "Input should be less than or equal to 65535"),
        ("workers", "0", "Input should be greater than or equal to 1"),
        ("environment", "staging", "Input should be 'development' or 'production'"),
        (
            "log_level",
            "verbose",
            "Input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'",
        ),
        ("host", "", "String should have at least 1 character"),  # it would listen everywhere
        ("jwt_audience", " ", "String should have at least 1 character"),
        ("statement_timeout_ms", "86400001", "Input should be less than or equal to 86400000"),
        ("inventory_ttl_seconds", "315360001", "Input should be less than or equal to 315360000"),
        ("token_ttl_seconds", "315360001", "Input should be less than or equal to 315360000"),
        ("max_top_up_amount", str(2**53), f"Input should be less than or equal to {2**53 - 1}"),
        ("redis_timeout_seconds", "0", "Input should be greater than 0"),
        ("catalogue_ttl_seconds", "0", "Input should be greater than or equal to 1"),
        ("jobs_every_seconds", "0", "Input should be greater than or equal to 1"),
        ("jobs_every_seconds", "3601", "Input should be less than or equal to 3600"),
        ("jobs_in_server", "maybe", "Input should be a valid boolean, unable to interpret input"),
    ],
)
def test_wrong_values_name_the_variable(
    empty_environment: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    empty_environment.setenv(f"ECONOMY_{name.upper()}", value)
    assert problems_of() == [(name, message)]


def test_settings_never_change() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="Instance is frozen"):
        settings.port = 1  # type: ignore[misc]
