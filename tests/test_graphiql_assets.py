"""The GraphiQL page works offline: unchanged vendored files, no foreign origin, a strict policy."""

import asyncio
import base64
import hashlib
import re
from html.parser import HTMLParser

import httpx
import pytest

from economy.api.graphql import graphiql
from economy.api.graphql.graphiql import ASSETS_PATH, graphiql_assets, graphiql_response

FOLDER = graphiql._ASSETS_FOLDER

INTEGRITY = {
    "graphiql.min.js": "HbRVEFG0JGJZeAHCJ9Xm2+tpknBQ7QZmNlO/DgZtkZ0aJSypT96YYGRNod99l9Ie",
    "graphiql.min.css": "Mq3vbRBY71jfjQAt/DcjxUIYY33ksal4cgdRt9U/hNPvHBCaT2JfJ/PTRiPKf0aM",
    "plugin-explorer.umd.js": "2oonKe47vfHIZnmB6ZZ10vl7T0Y+qrHQF2cmNTaFDuPshpKqpUMGMc9jgj9MLDZ9",
    "plugin-explorer.css": "5DFJlDPW2tSATRbM8kzoP1j194jexLswuNmClWoRr2Q0x7R68JIQzPHZ02Faktwi",
    "react.production.min.js": "tMH8h3BGESGckSAVGZ82T9n90ztNXxvdwvdM6UoR56cYcf+0iGXBliJ29D+wZ/x8",
    "react-dom.production.min.js": (
        "bm7MnzvK++ykSwVJ2tynSE5TRdN+xL418osEVF2DE/L/gfWHj91J2Sphe582B1Bh"
    ),
}


class PageParser(HTMLParser):
    """Collects the tags of a page with their attributes, as a browser reads them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def values(self, attribute: str) -> list[str]:
        return [attrs[attribute] or "" for _, attrs in self.tags if attribute in attrs]


def page(demo_token: str | None) -> PageParser:
    return PageParser(bytes(graphiql_response(demo_token).body).decode())


async def get_asset(path: str) -> httpx.Response:
    transport = httpx.ASGITransport(graphiql_assets())
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get(path)


def test_every_vendored_file_is_unchanged() -> None:
    ours = {"page.js", "page.css"}
    files = {path.name for path in FOLDER.iterdir() if path.suffix in {".js", ".css"}}
    assert files == INTEGRITY.keys() | ours
    for name, expected in INTEGRITY.items():
        digest = hashlib.sha384((FOLDER / name).read_bytes()).digest()
        assert base64.b64encode(digest).decode() == expected, name


def test_every_vendored_package_keeps_its_licence() -> None:
    for package in ("graphiql", "plugin-explorer", "react", "react-dom"):
        assert "Permission is hereby granted" in (FOLDER / f"{package}.LICENSE").read_text()


@pytest.mark.parametrize("name", ["page.html", "page.js", "page.css"])
def test_our_files_name_no_foreign_origin(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert not re.search(r"""https?://|["'(]//""", text)


def test_the_page_has_no_inline_script_and_its_assets_are_served() -> None:
    parsed = page(None)
    scripts = [attrs for tag, attrs in parsed.tags if tag == "script"]
    styles = [attrs for tag, attrs in parsed.tags if attrs.get("rel") == "stylesheet"]
    assert all("src" in attrs for attrs in scripts)
    assert not any(name.startswith("on") for _, attrs in parsed.tags for name in attrs)

    urls = [str(attrs.get("src") or attrs.get("href")) for attrs in scripts + styles]
    assert {url.split("?")[0] for url in urls} == {
        f"{ASSETS_PATH.removeprefix('/')}/{name}" for name in [*INTEGRITY, "page.js", "page.css"]
    }
    for url in urls:
        response = asyncio.run(get_asset(url.split("/assets")[1]))
        assert response.status_code == 200
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert ("immutable" in response.headers["Cache-Control"]) == ("?v=" in url)


@pytest.mark.parametrize(
    "token",
    [
        "header.payload.signature",
        "</script><script>alert(1)</script>\"'&",
        '"><img src=x onerror=alert(1)>',
        "{{ demo_token }}",
        "&quot; onclick=alert(1)",
    ],
)
def test_a_token_stays_inside_its_attribute(token: str) -> None:
    parsed = page(token)
    assert parsed.values("data-demo-token") == [token]
    plain = page(None)
    assert [tag for tag, _ in parsed.tags] == [tag for tag, _ in plain.tags]
    assert [attrs.keys() for _, attrs in parsed.tags] == [attrs.keys() for _, attrs in plain.tags]


def test_without_a_token_none_is_prefilled() -> None:
    assert page(None).values("data-demo-token") == [""]


def test_the_headers_are_strict() -> None:
    headers = graphiql_response("token").headers
    policy = dict(
        directive.strip().split(" ", 1)
        for directive in headers["Content-Security-Policy"].split(";")
    )
    assert policy.pop("script-src") == "'self'"
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert "unsafe-" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Type"] == "text/html; charset=utf-8"


def test_no_credential_is_stored() -> None:
    script = (FOLDER / "page.js").read_text(encoding="utf-8")
    assert "shouldPersistHeaders: false" in script
    # The history keeps headers in its storage, so that storage may not be the browser's.
    assert "storage: memoryStorage()" in script
    assert "localStorage" not in script
    assert "onEditHeaders" not in script
