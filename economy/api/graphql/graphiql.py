"""The GraphiQL page: its HTML answer with strict security headers, and its vendored assets."""

import html
from functools import cache
from pathlib import Path

from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from economy.api.assets import Assets, page_headers

# page.html names this path relative to /graphql.
ASSETS_PATH = "/graphql/assets"

_ASSETS_FOLDER = Path(__file__).parent / "static" / "graphiql"

_PAGE_HEADERS = {
    "Vary": "Accept",
    **page_headers(
        # The hash allows the one inline style, a scroll lock, that GraphiQL's dialogs add.
        styles="'self' 'sha256-Y/huXlwoYkVyQlxwSVcCi1RCDGDCSVBzDt0hYP9qlTc='",
        fonts="'self' data:",
        cache_control="no-store",  # The page may hold a credential.
    ),
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
