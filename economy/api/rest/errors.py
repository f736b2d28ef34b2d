"""Our errors as problem+json (RFC 9457): status, code, and what a caller can act on."""

import logging
from collections.abc import Sequence
from dataclasses import fields
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from economy.api.refusals import headers_of_refusal
from economy.api.requests import HEADER, request_id
from economy.errors import Decline, EconomyError, ErrorCode, InvalidInput
from economy.services.access import parse_id

MEDIA_TYPE = "application/problem+json"
REPLAYED = "Idempotent-Replayed"

STATUS: dict[ErrorCode, int] = {
    ErrorCode.UNAUTHENTICATED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.USER_NOT_FOUND: 404,
    ErrorCode.PRODUCT_NOT_FOUND: 404,
    ErrorCode.INSUFFICIENT_FUNDS: 402,
    ErrorCode.ALREADY_OWNED: 409,
    ErrorCode.ALREADY_TAKEN: 409,
    ErrorCode.PRODUCT_UNAVAILABLE: 409,
    ErrorCode.HOLDING_LIMIT: 409,
    ErrorCode.PRODUCT_NOT_CONSUMABLE: 409,
    ErrorCode.NOT_ENOUGH_ITEMS: 409,
    ErrorCode.PRICE_CHANGED: 409,
    ErrorCode.BALANCE_LIMIT: 409,
    ErrorCode.TRANSACTION_NOT_FOUND: 404,
    ErrorCode.NOT_REVERSIBLE: 409,
    ErrorCode.ALREADY_REVERSED: 409,
    ErrorCode.PAYMENT_FAILED: 409,
    ErrorCode.TOP_UP_EXPIRED: 409,
    ErrorCode.TOP_UP_COMPLETED: 409,
    ErrorCode.INVALID_INPUT: 422,
    ErrorCode.IDEMPOTENCY_KEY_MISSING: 400,
    ErrorCode.IDEMPOTENCY_KEY_REUSED: 422,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.CONFLICT: 503,
    ErrorCode.UNAVAILABLE: 503,
}
# what only HTTP knows
MALFORMED_JSON = "MALFORMED_JSON"
CONTENT_TOO_LARGE = "CONTENT_TOO_LARGE"
UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
INTERNAL_ERROR = "INTERNAL_ERROR"
_PREFIX = "Value error, "  # Pydantic's, of what our own validators say
LONGEST_NAME = 200  # of which a pointer shows that much
MOST_ERRORS = 10  # that one answer names: it shall not be many times as long as the request
CODES = {400: MALFORMED_JSON, 413: CONTENT_TOO_LARGE, 415: UNSUPPORTED_MEDIA_TYPE}

logger = logging.getLogger(__name__)


class WrongField(BaseModel):
    pointer: str = Field(description="JSON pointer into the body, or the parameter's name")
    detail: str = Field(description="What is wrong with it, for developers")


class Problem(BaseModel):
    """An error. Members beyond these depend on the code (`balance`, `required`, `held`, ...)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="An URN of the code")
    title: str = Field(description="The status in words")
    status: int
    code: str = Field(description="The same code as over GraphQL")
    detail: str = Field(description="For developers, in English")
    retryable: bool = Field(description="Whether the same request may succeed when sent again")
    errors: list[WrongField] | None = Field(default=None, description="Each wrong field")


def problem(
    status: int, code: str, detail: str, *, retryable: bool = False, **members: Any
) -> dict[str, Any]:
    return {
        "type": f"urn:economy:error:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "retryable": retryable,
        **members,
    }


def problem_of(error: EconomyError, *, is_in_body: bool = True) -> dict[str, Any]:
    """`is_in_body`: the input is there, else it is in the query."""
    members = {
        field.name: _as_json(field.name, getattr(error, field.name))
        for field in fields(error)
        if field.name not in ("replayed", "reason", "problems")
    }
    if isinstance(error, InvalidInput):
        members["errors"] = [
            {
                "pointer": _pointer("body" if is_in_body else "query", wrong.path),
                "detail": wrong.message,
            }
            for wrong in error.problems
        ]
    return problem(
        STATUS[error.code], error.code.value, error.message, retryable=error.retryable, **members
    )


def add_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(EconomyError, _on_economy_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_bug)


async def _on_economy_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, EconomyError)
    headers = dict(headers_of_refusal(error))
    if isinstance(error, Decline) and error.replayed:
        headers[REPLAYED] = "true"
    return _response(problem_of(error, is_in_body=request.method != "GET"), headers)


async def _on_invalid_request(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    if isinstance(error.body, bytes):  # FastAPI has parsed what calls itself JSON
        return _response(problem(415, UNSUPPORTED_MEDIA_TYPE, "Send application/json."))
    errors = [
        {"pointer": _pointer(str(place), path), "detail": wrong["msg"].removeprefix(_PREFIX)}
        for wrong in error.errors()
        for place, *path in [wrong["loc"]]
    ][:MOST_ERRORS]
    detail = "; ".join(f"{one['pointer']}: {one['detail']}" for one in errors)
    return _response(problem(422, ErrorCode.INVALID_INPUT.value, detail, errors=errors))


async def _on_http_exception(_request: Request, error: Exception) -> JSONResponse:
    """404 of an unknown route, 405, and a body that is not JSON (400) or too large (413)."""
    assert isinstance(error, HTTPException)
    status = error.status_code
    code = CODES.get(status) or HTTPStatus(status).name
    return _response(problem(status, code, str(error.detail)), dict(error.headers or {}))


async def _on_bug(_request: Request, error: Exception) -> JSONResponse:
    response = masked(error)
    # this is outside of what adds it to the others
    response.headers[HEADER.decode()] = request_id()
    return response


def masked(error: Exception) -> JSONResponse:
    """A bug: the error itself is in the log, under the id that the client is told."""
    logger.error("a request failed", exc_info=error)
    return _response(
        problem(
            500,
            INTERNAL_ERROR,
            "Something went wrong on our side.",
            request_id=request_id(),
        )
    )


def _response(body: dict[str, Any], headers: dict[str, str] | None = None) -> JSONResponse:
    headers = {"Cache-Control": "no-store"} | (headers or {})
    return JSONResponse(body, body["status"], headers=headers, media_type=MEDIA_TYPE)


def _pointer(place: str, path: Sequence[str | int]) -> str:
    # RFC 6901; a name that a client has made up may be of any length
    steps = [str(step)[:LONGEST_NAME].replace("~", "~0").replace("/", "~1") for step in path]
    return "/".join(("#", *steps)) if place == "body" else "/".join(steps)


def _as_json(name: str, value: Any) -> Any:
    """Ids of users and products are integers over REST; one that cannot exist stays as sent."""
    if name in ("user_id", "product_id"):
        return parse_id(value) or value
    return list(value) if isinstance(value, tuple) else value
