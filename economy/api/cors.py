"""Which web pages of other origins may call: an allow-list."""

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from economy.settings import Settings

REQUEST_HEADERS = ("Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "X-Api-Key")
ANSWER_HEADERS = (
    *("ETag", "Idempotent-Replayed", "RateLimit", "RateLimit-Policy"),
    *("Retry-After", "WWW-Authenticate", "X-Request-Id"),
)
PREFLIGHT_TTL_SECONDS = 600


def add_cors(app: FastAPI, settings: Settings) -> None:
    app.add_middleware(
        CORSMiddleware,
        allow_origins=[origin.strip().rstrip("/") for origin in settings.cors_origins.split(",")],
        allow_methods=["GET", "POST"],
        allow_headers=[*REQUEST_HEADERS, "X-Request-Id"],
        expose_headers=ANSWER_HEADERS,
        max_age=PREFLIGHT_TTL_SECONDS,
    )
