"""Which web pages of other origins may call: an allow-list."""

from typing import Any

from economy.settings import Settings

REQUEST_HEADERS = ("Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "X-Api-Key")
ANSWER_HEADERS = (
    *("ETag", "Idempotent-Replayed", "RateLimit", "RateLimit-Policy"),
    *("Retry-After", "WWW-Authenticate", "X-Request-Id"),
)
PREFLIGHT_TTL_SECONDS = 600


def cors_options(settings: Settings) -> dict[str, Any]:
    """Of Starlette's CORSMiddleware."""
    return {
        "allow_origins": [
            origin.strip().rstrip("/") for origin in settings.cors_origins.split(",")
        ],
        "allow_methods": ["GET", "POST"],
        "allow_headers": [*REQUEST_HEADERS, "X-Request-Id"],
        "expose_headers": ANSWER_HEADERS,
        "max_age": PREFLIGHT_TTL_SECONDS,
    }
