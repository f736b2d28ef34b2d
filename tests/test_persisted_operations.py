"""Operations by their SHA-256: the three modes, both methods, wrong hashes, wrong manifests."""

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from economy.api.graphql.persisted import InvalidManifest, read_manifest
from economy.settings import PersistedOperationsMode, Settings
from tests.journal import nothing_changes
from tests.live import run_economy
from tests.rest import open_shop
from tests.shop import Shop

GRAPHQL = {"Accept": "application/graphql-response+json"}
PRICE = "query Price($id: ID!) { product(id: $id) { price } }\n"
BUY = """mutation Buy($key: String!) { purchase(input: {productId: 1, idempotencyKey: $key}) {
    ... on PurchaseSuccess { user { balance } replayed } } }"""
TWO = "query One { product(id: 1) { price } } query Two { product(id: 2) { price } }"
TOO_DEEP = '{ __type(name: "A")' + " { ofType" * 8 + " { name }" + " }" * 8 + " }"
NEVER_STORED = "{ product(id: 1) { id } }"
UNKNOWN = "0" * 64


def sha256(document: str) -> str:
    return hashlib.sha256(document.encode()).hexdigest()


def by_hash(hashed: object, version: object = 1) -> dict[str, Any]:
    """As Apollo's clients send it."""
    return {"persistedQuery": {"version": version, "sha256Hash": hashed}}


Open = Callable[[str], AbstractAsyncContextManager[Shop]]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps({sha256(one): one for one in (PRICE, BUY, TWO, TOO_DEEP)}))
    return file


@pytest.fixture
def open_in(sqlite_url: str, manifest: Path) -> Open:
    @asynccontextmanager
    async def open_with(mode: str) -> AsyncIterator[Shop]:
        settings = Settings(
            database_url=sqlite_url,
            jobs_in_server=False,
            persisted_operations=PersistedOperationsMode(mode),
            persisted_operations_file=str(manifest),
        )
        async with open_shop(settings) as shop:
            yield shop

    return open_with


async def post(shop: Shop, **values: Any) -> httpx.Response:
    return await shop.client.post("/graphql", json=values, headers=shop.server | GRAPHQL)


async def get(shop: Shop, **values: Any) -> httpx.Response:
    params = {
        name: json.dumps(value) if isinstance(value, dict) else value
        for name, value in values.items()
    }
    return await shop.client.get("/graphql", params=params, headers=shop.server | GRAPHQL)


def refused(response: httpx.Response) -> tuple[int, str, str]:
    body = response.json()
    assert body.keys() == {"errors"}, body
    assert response.headers["content-type"] == f"{GRAPHQL['Accept']}; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    [error] = body["errors"]
    return response.status_code, error["extensions"]["code"], error["message"]


NOT_FOUND = (400, "PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound")
NOT_LISTED = (400, "PERSISTED_QUERY_NOT_FOUND", "Only persisted operations are run here.")
NOT_SUPPORTED = (400, "PERSISTED_QUERY_NOT_SUPPORTED", "PersistedQueryNotSupported")
MISMATCH = (400, "BAD_REQUEST", "`sha256Hash` is not the SHA-256 of `query`.")


def answered(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    assert response.json().keys() == {"data"}
    return response.json()["data"]


@pytest.mark.parametrize("mode", ["prefer", "only"])
async def test_a_known_hash_runs(open_in: Open, mode: str) -> None:
    async with open_in(mode) as shop:
        for send in (get, post):
            for hashed in (sha256(PRICE), sha256(PRICE).upper()):
                for id_, price in (("1", 100), ("2", 500)):
                    response = await send(shop, extensions=by_hash(hashed), variables={"id": id_})
                    assert answered(response) == {"product": {"price": price}}
            for name, price in (("One", 100), ("Two", 500)):
                response = await send(shop, extensions=by_hash(sha256(TWO)), operationName=name)
                assert answered(response) == {"product": {"price": price}}
            # whole, with and without its hash, which says the same
            for extensions in ({}, by_hash(sha256(PRICE)), {"persistedQuery": None, "other": 1}):
                response = await send(
                    shop, query=PRICE, extensions=extensions, variables={"id": "1"}
                )
                assert answered(response) == {"product": {"price": 100}}


@pytest.mark.parametrize("mode", ["off", "prefer", "only"])
async def test_a_hash_that_is_not_known(open_in: Open, mode: str) -> None:
    expected = NOT_SUPPORTED if mode == "off" else NOT_FOUND
    async with open_in(mode) as shop:
        for send in (get, post):
            for hashed in (UNKNOWN, sha256(NEVER_STORED), sha256(PRICE)[:-1], "", PRICE):
                response = await send(shop, extensions=by_hash(hashed))
                assert refused(response) == expected, hashed
        # clients of plain JSON look into the body
        response = await shop.client.post("/graphql", json={"extensions": by_hash(UNKNOWN)})
        assert response.status_code == 200
        assert response.json()["errors"][0]["extensions"] == {"code": expected[1]}


async def test_what_is_sent_whole_is_never_kept(open_in: Open) -> None:
    """There is no way to add an operation but the manifest."""
    async with open_in("prefer") as shop:
        for send in (get, post):
            extensions = by_hash(sha256(NEVER_STORED))
            response = await send(shop, query=NEVER_STORED, extensions=extensions)
            assert answered(response) == {"product": {"id": "1"}}
            assert refused(await send(shop, extensions=extensions)) == NOT_FOUND


async def test_off_runs_what_is_sent_whole(open_in: Open) -> None:
    async with open_in("off") as shop:
        for send in (get, post):
            for extensions in ({}, by_hash(sha256(NEVER_STORED))):
                response = await send(shop, query=NEVER_STORED, extensions=extensions)
                assert answered(response) == {"product": {"id": "1"}}
            assert refused(await send(shop, extensions=by_hash(sha256(PRICE)))) == NOT_SUPPORTED


async def test_only_runs_nothing_else(open_in: Open) -> None:
    """Not even what differs in a space, or what tools ask of the schema."""
    async with open_in("only") as shop:
        await shop.world.credit(shop.world.anna, 100)
        others = (NEVER_STORED, PRICE.strip(), "{ __schema { queryType { name } } }", "{")
        for send in (get, post):
            for document in others:
                extensions = by_hash(sha256(document))
                assert refused(await send(shop, query=document)) == NOT_LISTED
                response = await send(shop, query=document, extensions=extensions)
                assert refused(response) == NOT_LISTED
        async with nothing_changes(shop.world):
            mutation = BUY.replace("Buy", "Other")
            assert refused(await post(shop, query=mutation, variables={"key": "k"})) == NOT_LISTED


async def test_mutations_by_hash(open_in: Open) -> None:
    """By POST alone; the key replays over both forms."""
    async with open_in("only") as shop:
        await shop.world.credit(shop.world.anna, 250)
        headers = shop.player(shop.world.anna) | GRAPHQL
        values = {"extensions": by_hash(sha256(BUY)), "variables": {"key": "k"}}
        async with nothing_changes(shop.world):
            response = await get(shop, **values)
            assert (response.status_code, response.headers["allow"]) == (405, "POST")
        forms = (values, {"query": BUY, "variables": {"key": "k"}}, values)
        for replayed, form in zip((False, True, True), forms, strict=True):
            response = await shop.client.post("/graphql", json=form, headers=headers)
            assert answered(response) == {
                "purchase": {"user": {"balance": 150}, "replayed": replayed}
            }


@pytest.mark.parametrize("mode", ["off", "prefer", "only"])
async def test_a_hash_of_another_document(open_in: Open, mode: str) -> None:
    """Neither of the two is run."""
    async with open_in(mode) as shop:
        await shop.world.credit(shop.world.anna, 100)
        async with nothing_changes(shop.world):
            for hashed in (UNKNOWN, sha256(PRICE), sha256(BUY + " ")):
                values = {"query": BUY, "extensions": by_hash(hashed), "variables": {"key": "k"}}
                for send in (get, post):
                    assert refused(await send(shop, **values)) == MISMATCH


async def test_a_known_document_has_the_same_limits(open_in: Open) -> None:
    async with open_in("only") as shop:
        response = await post(shop, extensions=by_hash(sha256(TOO_DEEP)))
        code, message = "GRAPHQL_VALIDATION_FAILED", "The document is nested deeper than 8 levels."
        assert refused(response) == (400, code, message)


VERSION = "`persistedQuery` must be an object with `version` 1."
STRING = "`sha256Hash` must be a string."
MALFORMED: list[tuple[object, str]] = [
    (by_hash(sha256(PRICE), version=2), VERSION),
    (by_hash(sha256(PRICE), version="1"), VERSION),
    (by_hash(sha256(PRICE), version=None), VERSION),
    ({"persistedQuery": {"sha256Hash": sha256(PRICE)}}, VERSION),
    ({"persistedQuery": []}, VERSION),
    ({"persistedQuery": sha256(PRICE)}, VERSION),
    ({"persistedQuery": 1}, VERSION),
    ({"persistedQuery": {}}, VERSION),
    ({"persistedQuery": {"version": 1}}, STRING),
    (by_hash(None), STRING),
    (by_hash(1), STRING),
    (by_hash([sha256(PRICE)]), STRING),
    ({}, "`query` must be a document."),
    ({"persistedQuery": None}, "`query` must be a document."),
    ([], "`extensions` must be a JSON object."),
]


async def test_extensions_of_the_wrong_form(open_in: Open) -> None:
    async with open_in("prefer") as shop:
        for extensions, message in MALFORMED:
            response = await post(shop, extensions=extensions, variables={"id": "1"})
            assert refused(response) == (400, "BAD_REQUEST", message), extensions
            response = await get(shop, extensions=json.dumps(extensions), variables={"id": "1"})
            assert refused(response) == (400, "BAD_REQUEST", message), extensions


def test_manifests(manifest: Path) -> None:
    """As maps, as graphql-codegen writes them, and as Apollo's tool does."""
    documents = {sha256(one): one for one in (PRICE, BUY)}
    operations = [
        {"id": hashed, "body": document, "name": "Any", "type": "query"}
        for hashed, document in documents.items()
    ]
    apollo = {"format": "apollo-persisted-query-manifest", "version": 1, "operations": operations}
    codegen = {f"sha256:{hashed}": document for hashed, document in documents.items()}
    upper_case = {hashed.upper(): document for hashed, document in documents.items()}
    for content in (documents, apollo, codegen, upper_case):
        manifest.write_text(json.dumps(content))
        assert read_manifest(manifest) == documents
    manifest.write_text("{}")
    assert read_manifest(manifest) == {}


async def test_a_hash_with_the_name_of_its_algorithm(open_in: Open) -> None:
    async with open_in("only") as shop:
        hashed = f"sha256:{sha256(PRICE).upper()}"
        response = await post(shop, extensions=by_hash(hashed), variables={"id": "1"})
        assert response.json() == {"data": {"product": {"price": 100}}}


WRONG_HASH = json.dumps({UNKNOWN: PRICE})
WRONG_MANIFESTS: list[tuple[str | bytes, str]] = [
    (WRONG_HASH, f": {UNKNOWN} is not the SHA-256 of its document"),
    (json.dumps({f"sha1:{sha256(PRICE)}": PRICE}), " is not the SHA-256 of its document"),
    (json.dumps({"operations": [{"id": UNKNOWN, "body": PRICE}]}), f": {UNKNOWN} is not"),
    *(
        (json.dumps(content), " is no object of SHA-256 to document")
        for content in (
            *([], [PRICE], 1, None, {UNKNOWN: 1}, {UNKNOWN: None}),
            *({"operations": [1]}, {"operations": [{"id": [], "body": PRICE}]}),
            *({"operations": [{"id": UNKNOWN}]}, {"operations": [{"id": UNKNOWN, "body": 1}]}),
        )
    ),
    *((content, " is not JSON: ") for content in ("", "{", b"\xff", "[" * 5_000)),
]


@pytest.mark.parametrize(("content", "message"), WRONG_MANIFESTS)
def test_wrong_manifests(manifest: Path, content: str | bytes, message: str) -> None:
    manifest.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InvalidManifest) as caught:
        read_manifest(manifest)
    assert str(caught.value).startswith(str(manifest))
    assert message in str(caught.value)


@pytest.mark.parametrize("content", [WRONG_HASH, "no JSON", None])
def test_the_server_does_not_start_with_a_wrong_manifest(
    sqlite_url: str, manifest: Path, content: str | None
) -> None:
    manifest.unlink()
    if content is not None:
        manifest.write_text(content)
    run = run_economy(
        *("serve", "--port", "0"),
        database_url=sqlite_url,
        persisted_operations="prefer",
        persisted_operations_file=str(manifest),
    )
    assert (run.returncode, run.stdout) == (1, "")
    [line] = run.stderr.splitlines()
    assert line.startswith(f"Error: ECONOMY_PERSISTED_OPERATIONS_FILE: {manifest}")
