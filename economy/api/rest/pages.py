"""The pages /docs (Swagger UI) and /redoc: vendored, under a strict policy."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from economy.api.assets import Assets, page_headers

_FOLDER = Path(__file__).parent / "static"
ASSETS_PATH = "/docs/assets"  # the pages name this path relative to /docs and /redoc
PAGES = {"/docs": "swagger.html", "/redoc": "redoc.html"}

# both write their styles into the page
_HEADERS = page_headers(styles="'self' 'unsafe-inline'", cache_control="no-cache")


def add_pages(app: FastAPI) -> None:
    for path, name in PAGES.items():
        app.add_route(path, _page(_FOLDER / name), methods=["GET"], include_in_schema=False)
    app.mount(ASSETS_PATH, Assets(directory=_FOLDER))


def _page(file: Path) -> Callable[[Request], Awaitable[Response]]:
    content = file.read_text(encoding="utf-8")

    async def answer(_request: Request) -> Response:
        return HTMLResponse(content, headers=_HEADERS)

    return answer
