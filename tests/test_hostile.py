"""The hostile corpus at every door: refused at once and in words, with nothing left behind."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote_plus

import httpx
import pytest

from economy.errors import ErrorCode
from tests.journal import nothing_changes
from tests.rest import WRITES, assert_problem, post_text, problem
from tests.shop import Headers, Shop

CORPUS = Path(__file__).parent / "hostile"
REPEATED = ".repeat.json"
MAX_FILE_BYTES = 2_000  # what is larger is told by what repeats in it
MAX_URL_BYTES = 8_000
MAX_ANSWER_BYTES = 20_000  # whatever was sent
MAX_CPU_SECONDS = 1.0  # ten times what the slowest takes

GRAPHQL = "application/graphql-response+json"
BAD_REQUEST = {"BAD_REQUEST"}
BAD_DOCUMENT = {"GRAPHQL_VALIDATION_FAILED"}
NOT_PERSISTED = {"PERSISTED_QUERY_NOT_SUPPORTED"}
MALFORMED = problem(400, "MALFORMED_JSON", "The body is not JSON.")
TOO_LARGE = problem(413, "CONTENT_TOO_LARGE", "The body is larger than 65536 bytes.")


# what is refused does not come as far as the database
ON_POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Input(NamedTuple):
    name: str
    status: int  # of GraphQL's answer
    kind: str
    content: bytes


def inputs(folder: str) -> list[Input]:
    found = []
    for file in sorted((CORPUS / folder).iterdir()):
        content = file.read_bytes()
        if file.name.endswith(REPEATED):
            content = repeated(content)
        name, *status, kind = file.name.removesuffix(REPEATED).split(".")
        found.append(Input(name, int("".join(status) or 400), kind, content))
    return found


def repeated(pieces: bytes) -> bytes:
    """The README beside the corpus describes it."""
    whole = []
    for piece in json.loads(pieces):
        text, times = (piece, 1) if isinstance(piece, str) else piece
        whole += [
            text.replace("<n>", str(number)).replace("<n+1>", str(number + 1))
            for number in range(times)
        ]
    return "".join(whole).encode()


BODIES = inputs("bodies")
DOCUMENTS = inputs("documents")


def test_what_is_repeated_is_numbered() -> None:
    assert repeated(b'["{", ["a<n>: b<n+1> ", 2], "}"]') == b"{a0: b1 a1: b2 }"


def test_the_corpus_is_there_and_small() -> None:
    assert len(BODIES) > 200
    assert len(DOCUMENTS) > 300
    for folder, corpus in (("bodies", BODIES), ("documents", DOCUMENTS)):
        assert len({one.content for one in corpus}) == len(corpus)
        for file in (CORPUS / folder).iterdir():
            assert file.stat().st_size <= MAX_FILE_BYTES, file.name


@asynccontextmanager
async def nothing_is_left(shop: Shop, caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    tables = ['SELECT * FROM "user" ORDER BY id', "SELECT * FROM product ORDER BY id"]
    before = [await shop.world.sql(table) for table in tables]
    async with nothing_changes(shop.world):
        yield
    assert [await shop.world.sql(table) for table in tables] == before
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@asynccontextmanager
async def bounded(name: str) -> AsyncIterator[None]:
    started_at = time.process_time()
    yield
    assert time.process_time() - started_at < MAX_CPU_SECONDS, name


async def assert_serving(shop: Shop, name: str) -> None:
    answer = await shop.graphql("{ product(id: 1) { price } }", shop.server)
    assert answer == {"data": {"product": {"price": 100}}}, name


async def post_graphql(shop: Shop, one: Input, content: bytes) -> httpx.Response:
    """The answer as a client of today gets it; one that asks for plain JSON gets the same."""
    async with bounded(one.name):
        response = await post_text(shop, "/graphql", accepting(shop, GRAPHQL), content)
    async with bounded(one.name):
        plain = await post_text(shop, "/graphql", accepting(shop, "application/json"), content)
    assert response.status_code == one.status, (one.name, response.text)
    assert len(response.content) <= MAX_ANSWER_BYTES, one.name
    assert response.headers["content-type"] == f"{GRAPHQL}; charset=utf-8"
    assert plain.headers["content-type"] == "application/json; charset=utf-8"
    assert plain.json() == response.json(), one.name
    # in the status it is told only what is wrong with the request itself
    is_bad_request = codes_of(response) == BAD_REQUEST
    assert plain.status_code == (one.status if is_bad_request else 200), one.name
    return response


def accepting(shop: Shop, media_type: str) -> Headers:
    return shop.server | {"Accept": media_type}


def codes_of(response: httpx.Response) -> set[str]:
    return {error["extensions"]["code"] for error in response.json().get("errors", [])}


def assert_answered(response: httpx.Response, name: str, *refusals: set[str]) -> None:
    """By GraphQL: refused for one of these, or answered with no error but typed ones."""
    if response.status_code == 200:
        assert "data" in response.json(), name
        assert codes_of(response) <= {code.value for code in ErrorCode}, name
    else:
        assert response.json().keys() == {"errors"}, name
        assert codes_of(response) in refusals, (name, response.text)


async def assert_bodies_over_graphql(shop: Shop, bodies: list[Input]) -> None:
    for one in bodies:
        response = await post_graphql(shop, one, one.content)
        assert_answered(response, one.name, BAD_REQUEST, BAD_DOCUMENT, NOT_PERSISTED)
        await assert_serving(shop, one.name)


async def assert_documents(shop: Shop, documents: list[Input]) -> None:
    for one in documents:
        body = json.dumps({"query": one.content.decode()}, ensure_ascii=False).encode()
        response = await post_graphql(shop, one, body)
        assert_answered(response, one.name, BAD_REQUEST if one.status == 413 else BAD_DOCUMENT)
        await assert_serving(shop, one.name)


@ON_POSTGRESQL
async def test_bodies_over_graphql(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    async with nothing_is_left(shop, caplog):
        await assert_bodies_over_graphql(shop, BODIES)


@ON_POSTGRESQL
async def test_documents(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    async with nothing_is_left(shop, caplog):
        await assert_documents(shop, DOCUMENTS)


@ON_SQLITE
async def test_what_is_executed(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    async with nothing_is_left(shop, caplog):
        await assert_bodies_over_graphql(shop, [one for one in BODIES if one.status == 200])
        await assert_documents(shop, [one for one in DOCUMENTS if one.status == 200])


@ON_POSTGRESQL
async def test_documents_by_get(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    async with nothing_is_left(shop, caplog):
        for one in DOCUMENTS:
            url = f"/graphql?query={quote_plus(one.content)}"
            if len(url) > MAX_URL_BYTES:
                continue
            async with bounded(one.name):
                response = await shop.client.get(url, headers=accepting(shop, GRAPHQL))
            is_mutation = one.status == 200 and one.content.startswith(b"mutation")
            assert response.status_code == (405 if is_mutation else one.status), one.name
            assert response.headers["content-type"] == f"{GRAPHQL}; charset=utf-8"
            assert_answered(response, one.name, BAD_REQUEST if is_mutation else BAD_DOCUMENT)
            await assert_serving(shop, one.name)


@ON_POSTGRESQL
@pytest.mark.parametrize("path", [path for path, _ in WRITES])
async def test_bodies_over_rest(shop: Shop, caplog: pytest.LogCaptureFixture, path: str) -> None:
    headers = shop.server | {"Idempotency-Key": "key"}
    async with nothing_is_left(shop, caplog):
        for one in BODIES:
            async with bounded(one.name):
                response = await post_text(shop, path, headers, one.content)
            assert_refused_by_rest(response, one)
            await assert_serving(shop, one.name)


def assert_refused_by_rest(response: httpx.Response, one: Input) -> None:
    """What GraphQL executes, too: it is no body of REST's."""
    assert len(response.content) <= MAX_ANSWER_BYTES, one.name
    if one.status == 413:
        assert_problem(response, TOO_LARGE)
    elif one.kind == "json" or (one.kind == "deep" and response.status_code != 400):
        body = response.json()
        assert (response.status_code, body["code"]) == (422, "INVALID_INPUT"), one.name
        assert body["errors"], one.name
        assert_problem(response, body)
    else:
        assert (response.status_code, one.name) == (400, one.name)
        assert_problem(response, MALFORMED)
