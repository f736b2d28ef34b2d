"""Every knob of the service, read from ECONOMY_* variables; no other file reads the environment."""

import os
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from economy import setting_values, urls

PREFIX = "ECONOMY_"
DEVELOPMENT_JWT_SECRET = "development-secret-never-use-it-in-production"  # noqa: S105
SHORTEST_JWT_SECRET = 32  # RFC 7518, section 3.2: an HS256 key has at least 256 bits

LONGEST_MS = 24 * 3600 * 1000
LONGEST_SECONDS = 10 * 365 * 24 * 3600  # beyond some bound a clock, or Redis, cannot tell it
FILLED = Field(min_length=1)
TTL = Field(ge=1, le=LONGEST_SECONDS)
RATE = AfterValidator(setting_values.rate)


class Environment(StrEnum):
    DEVELOPMENT = "development"
    PRODUCTION = "production"


class LogLevel(StrEnum):
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class LogFormat(StrEnum):
    LINE = "line"
    JSON = "json"


class Introspection(StrEnum):
    """Who may ask a GraphQL schema about itself."""

    EVERYBODY = "everybody"
    SERVER_KEYS = "server-keys"
    NOBODY = "nobody"


class PersistedOperationsMode(StrEnum):
    OFF = "off"
    PREFER = "prefer"  # by hash, or whole
    ONLY = "only"  # nothing else is run


class Settings(BaseSettings):
    """One instance is built at start and handed to whoever needs it; it never changes."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        str_strip_whitespace=True,
        hide_input_in_errors=True,  # the input holds secrets
    )

    environment: Annotated[
        Environment, Field(description="development | production; production refuses unsafe values")
    ] = Environment.DEVELOPMENT
    log_level: Annotated[LogLevel, Field(description="the least that is told")] = LogLevel.INFO
    log_format: Annotated[
        LogFormat | None, Field(description="line | json; by default json in production")
    ] = None

    otlp_endpoint: Annotated[
        str | None,
        AfterValidator(urls.optional(urls.otlp_endpoint)),
        Field(description="of an OpenTelemetry collector, such as http://collector:4318"),
    ] = None
    traced_share: Annotated[
        float, Field(ge=0, le=1, description="of the traces that begin here, how many are kept")
    ] = 1.0

    host: Annotated[str, FILLED, Field(description="where `economy serve` listens")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="0: any that is free")] = 8000
    request_timeout_seconds: Annotated[
        float, Field(gt=0, le=600, description="after which a request is answered with 503")
    ] = 30.0
    drain_seconds: Annotated[
        float,
        Field(ge=0, le=600, description="after SIGTERM: not ready, but all is still answered"),
    ] = 0.0
    shutdown_seconds: Annotated[
        int, Field(ge=1, le=600, description="after that: the most that open requests may take")
    ] = 20
    cors_origins: Annotated[
        str,
        AfterValidator(setting_values.origins),
        Field(description="origins whose pages may call, by commas, such as https://game.example"),
    ] = ""
    workers: Annotated[int, Field(ge=1, le=64, description="server processes")] = 1

    database_url: Annotated[
        str,
        AfterValidator(urls.database_url),
        Field(description="postgresql://user:password@host/name or sqlite:///file.db"),
    ] = "sqlite+aiosqlite:///economy.db"
    database_replica_url: Annotated[
        str | None,
        AfterValidator(urls.optional(urls.replica_url)),
        Field(description="a streaming standby, for reads that may be stale: history, ranking"),
    ] = None
    database_statement_caches: Annotated[
        bool, Field(description="false behind pgbouncer in transaction mode")
    ] = True
    database_pool_size: Annotated[int, Field(ge=2, le=100, description="connections a process")] = 6
    database_pool_timeout_seconds: Annotated[
        float, Field(gt=0, le=60, description="the longest wait for a connection")
    ] = 5.0
    statement_timeout_ms: Annotated[
        int, Field(ge=100, le=LONGEST_MS, description="the longest statement; PostgreSQL only")
    ] = 10_000
    lock_timeout_ms: Annotated[
        int, Field(ge=100, le=LONGEST_MS, description="how long to wait for a lock")
    ] = 2_000

    redis_url: Annotated[
        str | None,
        AfterValidator(urls.optional(urls.redis_url)),
        Field(description="redis://host:6379/0; empty: an in-process cache"),
    ] = None
    redis_timeout_seconds: Annotated[
        float, Field(gt=0, le=10, description="after which Redis is cut off until it answers again")
    ] = 0.25
    inventory_ttl_seconds: Annotated[
        int, TTL, Field(description="a cached inventory; a change of it is seen at once")
    ] = 5 * 60
    catalogue_ttl_seconds: Annotated[int, TTL, Field(description="cached products")] = 60
    popular_products_ttl_seconds: Annotated[int, TTL, Field(description="their ranking")] = 60 * 60

    broker_url: Annotated[
        str | None,
        AfterValidator(urls.optional(urls.broker_url)),
        Field(description="Celery's, such as redis://host:6379/1, for `economy worker` and `beat`"),
    ] = None
    worker_metrics_port: Annotated[
        int | None, Field(ge=1, le=65535, description="where `economy worker` has its /metrics")
    ] = None
    jobs_in_server: Annotated[
        bool, Field(description="without a broker, `economy serve` runs the periodic jobs itself")
    ] = True
    jobs_every_seconds: Annotated[
        int, Field(ge=1, le=3600, description="how often the jobs look whether something is due")
    ] = 60

    rate_limit_player_money: Annotated[
        str, RATE, Field(description="money operations of one player, as 120 in 10 seconds")
    ] = "120/10"
    rate_limit_player_reads: Annotated[str, RATE, Field(description="reads of one player")] = (
        "300/10"
    )
    rate_limit_server_money: Annotated[str, RATE, Field(description="of one server key")] = ""
    rate_limit_server_reads: Annotated[str, RATE, Field(description="of one server key")] = ""
    rate_limit_failed_authentication: Annotated[
        str, RATE, Field(description="bad credentials from one address; empty: no limit")
    ] = "30/60"
    trusted_proxies: Annotated[
        str,
        AfterValidator(setting_values.proxies),
        Field(description="addresses whose X-Forwarded-For is believed, by commas; * for all"),
    ] = "127.0.0.1"

    jwt_secret: Annotated[
        SecretStr, Field(description="HS256 secret of player tokens, at least 32 bytes")
    ] = SecretStr(DEVELOPMENT_JWT_SECRET)
    jwt_jwks: Annotated[
        str | None,
        Field(description="file or https URL of a JWKS; replaces the secret: tokens are RS256"),
    ] = None
    jwt_audience: Annotated[str, FILLED, Field(description="a token's `aud`")] = "economy"
    jwt_issuer: Annotated[str, FILLED, Field(description="a token's `iss`")] = "economy"
    token_ttl_seconds: Annotated[
        int, Field(ge=60, le=LONGEST_SECONDS, description="life of a token of `economy token`")
    ] = 30 * 24 * 3600

    max_top_up_amount: Annotated[
        int, Field(ge=1, le=2**53 - 1, description="the most that one add-funds may credit")
    ] = 1_000_000

    top_up_expires_after_seconds: Annotated[
        int,
        Field(ge=60, le=LONGEST_SECONDS, description="a top-up that is still pending then fails"),
    ] = 24 * 3600

    ready_needs_sound_ledger: Annotated[
        bool, Field(description="not ready while the last verification has found a broken row")
    ] = False

    introspection: Annotated[
        Introspection | None,
        Field(description="everybody | server-keys | nobody; development: everybody, else keys"),
    ] = None
    graphiql: Annotated[
        bool | None, Field(description="the page at /graphql; on in development only by default")
    ] = None
    persisted_operations: Annotated[
        PersistedOperationsMode, Field(description="GraphQL by hash: off | prefer | only")
    ] = PersistedOperationsMode.OFF
    persisted_operations_file: Annotated[
        str | None, Field(description="JSON manifest: SHA-256 to document, or Apollo's")
    ] = None

    posting_batch_size: Annotated[
        int, Field(ge=1, le=1024, description="the most operations that share one commit")
    ] = 64
    posting_lanes: Annotated[
        int, Field(ge=1, le=32, description="batches in flight a process (SQLite: always 1)")
    ] = 2
    posting_queue_limit: Annotated[
        int, Field(ge=1, description="operations waiting; beyond it callers get UNAVAILABLE")
    ] = 5_000

    @field_validator("jwt_jwks", "persisted_operations_file")
    @classmethod
    def _empty_is_none(cls, value: str | None) -> str | None:
        return value or None

    @model_validator(mode="after")
    def _refuse_unknown_variables(self) -> Self:
        """A misspelt variable would otherwise be a silent default."""
        known = {PREFIX + name.upper() for name in type(self).model_fields}
        unknown = sorted(
            name
            for name in os.environ
            if name.upper().startswith(PREFIX) and name.upper() not in known
        )
        if unknown:
            told = ", ".join(
                setting_values.with_the_closest(name, known, prefix=PREFIX) for name in unknown
            )
            raise ValueError(f"there is no such setting: {told}")
        return self

    @model_validator(mode="after")
    def _require_manifest(self) -> Self:
        is_on = self.persisted_operations is not PersistedOperationsMode.OFF
        if is_on and self.persisted_operations_file is None:
            raise ValueError("set ECONOMY_PERSISTED_OPERATIONS_FILE, too")
        return self

    @model_validator(mode="after")
    def _refuse_unsafe_production(self) -> Self:
        if self.environment is not Environment.PRODUCTION:
            return self
        wrong = []
        secret = self.jwt_secret.get_secret_value()
        if self.jwt_jwks is None:
            if secret == DEVELOPMENT_JWT_SECRET:
                wrong.append("set ECONOMY_JWT_SECRET to a random secret of your own")
            elif len(secret.encode()) < SHORTEST_JWT_SECRET:
                wrong.append(f"ECONOMY_JWT_SECRET needs at least {SHORTEST_JWT_SECRET} bytes")
        if self.jwt_jwks is not None and self.jwt_jwks.startswith("http://"):
            wrong.append("ECONOMY_JWT_JWKS must be a file or an https URL")
        if self.is_sqlite:
            wrong.append("set ECONOMY_DATABASE_URL to a PostgreSQL database (not SQLite)")
        if self.redis_url is None:
            wrong.append("set ECONOMY_REDIS_URL (an in-process cache is for development)")
        if wrong:
            raise ValueError("production refuses to start: " + "; ".join(wrong))
        return self

    @property
    def is_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite")

    @property
    def introspection_for(self) -> Introspection:
        by_default = Introspection.EVERYBODY if self.is_development else Introspection.SERVER_KEYS
        return self.introspection or by_default

    @property
    def has_graphiql(self) -> bool:
        return self.is_development if self.graphiql is None else self.graphiql

    @property
    def logs_json(self) -> bool:
        by_default = LogFormat.LINE if self.is_development else LogFormat.JSON
        return (self.log_format or by_default) is LogFormat.JSON

    @property
    def is_development(self) -> bool:
        return self.environment is Environment.DEVELOPMENT

    @property
    def base_url(self) -> str:
        """Where a person on this machine reaches the server."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104
        return f"http://{host}:{self.port}"
