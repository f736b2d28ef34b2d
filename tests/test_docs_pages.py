"""Swagger UI and ReDoc work offline: unchanged vendored files, no foreign address, a policy."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from economy.api.rest import pages
from economy.api.rest.pages import ASSETS_PATH, PAGES
from economy.app import create_app
from economy.settings import Environment, Settings

FOLDER = pages._FOLDER
INTEGRITY = {
    "swagger-ui-bundle.js": "gjRm0bEPMeTmMh5jT2cHccIwCUZSTd8YC+j0d0sXw0MdGEfScduGpSyF3ZSSLkX9",
    "swagger-ui.css": "WlYgdmXYOOBWL5apwjDEZwN+U3HmXSSu5R6V5aGxEcf7z+KuRNwBhoxKVN1i3D5I",
    "redoc.standalone.js": "w447zOpYfw/1Tv/5AK9NfHTlQIqE3RVR6KY62jCyy9zNDgO64cMwGGP1Fj0zJVf5",
}
OURS = {"swagger.html", "swagger.js", "redoc.html", "redoc.js", "redoc.css"}
LICENCES = {
    "swagger-ui.LICENSE": "Apache License",
    "swagger-ui.NOTICE": "swagger-ui",
    "swagger-ui-bundle.js.LICENSE.txt": "@license",
    "redoc.LICENSE": "MIT",
    "redoc.standalone.js.LICENSE.txt": "@license",
}
LOADED = {
    "/docs": {"swagger-ui.css", "swagger-ui-bundle.js", "swagger.js"},
    "/redoc": {"redoc.css", "redoc.standalone.js", "redoc.js"},
}
every_page = pytest.mark.parametrize("path", PAGES)


class Tags(HTMLParser):
    """The tags of a page with their attributes, and what stands between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())

    def addresses(self) -> list[str]:
        """What a browser loads by itself."""
        loaded = [attrs.get("src") or attrs.get("href") for _, attrs in self.tags]
        return [address for address in loaded if address is not None]


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Nobody in particular; not even a database is needed."""
    async with client_of(Settings(jobs_in_server=False)) as client:
        yield client


def client_of(settings: Settings) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(settings))
    return httpx.AsyncClient(transport=transport, base_url="http://test")


def test_every_vendored_file_is_unchanged() -> None:
    files = {path.name for path in FOLDER.iterdir()}
    assert files == INTEGRITY.keys() | OURS | LICENCES.keys() | {"README.md"}
    table = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name, expected in INTEGRITY.items():
        digest = hashlib.sha384((FOLDER / name).read_bytes()).digest()
        assert base64.b64encode(digest).decode() == expected, name
        assert f"`sha384-{expected}`" in table


def test_every_vendored_package_keeps_its_licence() -> None:
    for name, words in LICENCES.items():
        assert words in (FOLDER / name).read_text(encoding="utf-8"), name


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_files_name_no_foreign_address(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    if name == "redoc.css":  # it hides a picture by its address
        text = re.sub(
            r'^img\[src\^="https://cdn\.redoc\.ly"\] \{\n  display: none;\n\}', "", text, flags=re.M
        )
    assert not re.search(r"""https?:|["'(]//""", text)


@every_page
async def test_a_page_loads_our_own_files_alone(client: httpx.AsyncClient, path: str) -> None:
    page = await client.get(path)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    parsed = Tags(page.text)
    # no script and no style within the page
    assert parsed.texts == ["Economy: REST", "Loading..."]
    assert all("src" in attrs for tag, attrs in parsed.tags if tag == "script")
    assert not [name for _, attrs in parsed.tags for name in attrs if name.startswith("on")]

    addresses = [one for one in parsed.addresses() if one != "data:,"]
    loaded = {Path(address.partition("?")[0]).name for address in addresses}
    assert loaded == LOADED[path]
    for address in addresses:
        url = urljoin(path, address)
        assert url.startswith(f"{ASSETS_PATH}/")
        asset = await client.get(url)
        assert asset.status_code == 200
        name = Path(address.partition("?")[0]).name
        assert asset.content == (FOLDER / name).read_bytes()
        assert asset.headers["x-content-type-options"] == "nosniff"
        # what may change with the next version is asked for again
        is_kept = "immutable" in asset.headers["cache-control"]
        assert is_kept == ("?v=" in address) == (name in INTEGRITY)


@every_page
async def test_a_page_shows_our_document(client: httpx.AsyncClient, path: str) -> None:
    """Relative to the page: it works behind a path prefix, too."""
    script = (FOLDER / PAGES[path].replace(".html", ".js")).read_text(encoding="utf-8")
    [address] = re.findall(r'"([^"]*openapi\.json)"', script)
    document = await client.get(urljoin(path, address))
    assert document.status_code == 200
    assert document.json()["info"]["title"] == "Economy"
    assert not [name for name in document.json()["paths"] if "graphql" in name.lower()]


@every_page
async def test_the_policy(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    policy = dict(
        directive.strip().split(" ", 1)
        for directive in headers["content-security-policy"].split(";")
    )
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-cache"


async def test_no_credential_is_asked_for(redis_url: str) -> None:
    """In production neither, and a bad one does not matter."""
    production = Settings.model_validate(
        {
            "environment": Environment.PRODUCTION,
            "database_url": "postgresql://nobody@127.0.0.1:1/nothing",  # never asked
            "redis_url": redis_url,
            "jwt_secret": "production-secret-of-at-least-32-bytes",
        }
    )
    async with client_of(production) as client:
        for path in (*PAGES, "/openapi.json", f"{ASSETS_PATH}/swagger-ui.css"):
            for headers in ({}, {"Authorization": "Bearer nonsense"}, {"X-Api-Key": "eck_no"}):
                assert (await client.get(path, headers=headers)).status_code == 200, path


async def test_other_files_are_not_served(client: httpx.AsyncClient) -> None:
    for name in ("nothing.js", "", "../pages.py", "..%2Fpages.py", "%2e%2e/pages.py", "..\\x"):
        assert (await client.get(f"{ASSETS_PATH}/{name}")).status_code == 404, name
    for path in PAGES:
        response = await client.post(path)
        assert (response.status_code, response.json()["status"]) == (405, 405)


@pytest.mark.parametrize("name", ["swagger-ui-bundle.js", "redoc.standalone.js"])
def test_versions_stand_in_the_addresses(name: str) -> None:
    """Browsers keep a version for a year: a new file needs a new address."""
    table = (FOLDER / "README.md").read_text(encoding="utf-8")
    [version] = re.findall(rf"\| ([0-9.]+) \| `(?:bundles/)?{re.escape(name)}`", table)
    page = (FOLDER / ("swagger.html" if "swagger" in name else "redoc.html")).read_text()
    assert f'{name}?v={version}"' in page
