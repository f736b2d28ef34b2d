"""The GraphiQL page: its HTML answer with strict security headers, and its vendored assets."""

import html
from functools import cache
from pathlib import Path

from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from economy.api.assets import Assets

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


def graphiql_assets() -> StaticFiles:
    """The application to mount at ASSETS_PATH."""
    return Assets(directory=_ASSETS_FOLDER)


def graphiql_response(demo_token: str | None) -> Response:
    """The page; a demo token is prefilled as the Authorization header."""
    # Escaping quotes too keeps any token inside its HTML attribute.
    content = _page().replace("{{ demo_token }}", html.escape(demo_token or "", quote=True))
    return HTMLResponse(content, headers=_PAGE_HEADERS)


@cache
def _page() -> str:
    return (_ASSETS_FOLDER / "page.html").read_text(encoding="utf-8")
