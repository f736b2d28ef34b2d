"""The GraphiQL page: its HTML answer with strict security headers, and its vendored assets."""

import html
import os
from functools import cache
from pathlib import Path

from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

# page.html names this path relative to /graphql.
ASSETS_PATH = "/graphql/assets"

_ASSETS_FOLDER = Path(__file__).parent / "static" / "graphiql"

_CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        # The hash allows the one inline style, a scroll lock, that GraphiQL's dialogs add.
        "style-src 'self' 'sha256-Y/huXlwoYkVyQlxwSVcCi1RCDGDCSVBzDt0hYP9qlTc='",
        "img-src 'self' data:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

_PAGE_HEADERS = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept",
    # The page may hold a credential.
    "Cache-Control": "no-store",
}


class _Assets(StaticFiles):
    """Static files that browsers keep for a year when the URL names a version."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        versioned = scope["query_string"].startswith(b"v=")
        # A URL without a version is asked for again each time; the ETag makes that cheap.
        response.headers["Cache-Control"] = (
            "public, max-age=31536000, immutable" if versioned else "no-cache"
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def graphiql_assets() -> StaticFiles:
    """The application to mount at ASSETS_PATH."""
    return _Assets(directory=_ASSETS_FOLDER)


def graphiql_response(demo_token: str | None) -> Response:
    """The page; a demo token is prefilled as the Authorization header."""
    # Escaping quotes too keeps any token inside its HTML attribute.
    content = _page().replace("{{ demo_token }}", html.escape(demo_token or "", quote=True))
    return HTMLResponse(content, headers=_PAGE_HEADERS)


@cache
def _page() -> str:
    return (_ASSETS_FOLDER / "page.html").read_text(encoding="utf-8")
