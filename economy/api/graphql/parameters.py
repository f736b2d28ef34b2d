"""Reads a GraphQL request out of an HTTP request, or says what is wrong with it."""

from typing import Any, NamedTuple

import orjson
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope

from economy.api.body import read_body
from economy.api.graphql.persisted import digits_of, matches
from economy.api.headers import header


class BadRequest(Exception):
    def __init__(self, message: str, status: int = 400, **headers: str) -> None:
        self.message = message
        self.status = status
        self.headers = headers


class Parameters(NamedTuple):
    query: str | None
    sha256: str | None  # of a persisted operation; one of the two is given
    variables: dict[str, Any]
    operation_name: str | None
    is_get: bool


async def read_parameters(scope: Scope, receive: Receive) -> Parameters:
    """Raises BadRequest."""
    if scope["method"] == "GET":
        return _checked(dict(QueryParams(scope["query_string"])), is_get=True)
    if scope["method"] != "POST":
        raise BadRequest("GraphQL is asked by GET or POST.", 405, Allow="GET, POST")
    if not _is_json(header(scope, b"content-type") or ""):
        raise BadRequest("Send application/json in UTF-8.", 415)
    try:
        body = await read_body(receive)
    except HTTPException as error:
        raise BadRequest(error.detail, error.status_code) from None
    return _checked(_loaded(body, "The body"), is_get=False)


def _checked(values: Any, *, is_get: bool) -> Parameters:
    if not isinstance(values, dict):
        raise BadRequest("The body must be a JSON object.")
    query = values.get("query") or None
    sha256 = _hash_in(_object(values, "extensions", is_get=is_get))
    if not isinstance(query, str | None) or (query is None and sha256 is None):
        raise BadRequest("`query` must be a document.")
    if query is not None and sha256 is not None and not matches(query, sha256):
        raise BadRequest("`sha256Hash` is not the SHA-256 of `query`.")
    operation_name = values.get("operationName")
    if not isinstance(operation_name, str | None):
        raise BadRequest("`operationName` must be a string.")
    return Parameters(
        query,
        sha256,
        _object(values, "variables", is_get=is_get),
        operation_name or None,
        is_get,
    )


def _object(values: dict[str, Any], name: str, *, is_get: bool) -> dict[str, Any]:
    value = values.get(name)
    if is_get and value:
        value = _loaded(value, f"`{name}`")
    if value is None or value == "":
        return {}
    if not isinstance(value, dict):
        raise BadRequest(f"`{name}` must be a JSON object.")
    return value


def _hash_in(extensions: dict[str, Any]) -> str | None:
    """Other extensions are none of ours."""
    persisted = extensions.get("persistedQuery")
    if persisted is None:
        return None
    if not isinstance(persisted, dict) or persisted.get("version") != 1:
        raise BadRequest("`persistedQuery` must be an object with `version` 1.")
    sha256 = persisted.get("sha256Hash")
    if not isinstance(sha256, str):
        raise BadRequest("`sha256Hash` must be a string.")
    return digits_of(sha256)


def _loaded(text: bytes | str, what: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"{what} is not JSON: {error.msg}.") from None


def _is_json(content_type: str) -> bool:
    media, _, charset = content_type.partition(";")
    name, _, value = charset.strip().partition("=")
    is_utf8 = name.strip().lower() != "charset" or value.strip('" ').lower() in ("utf-8", "utf8")
    return media.strip().lower() == "application/json" and is_utf8
