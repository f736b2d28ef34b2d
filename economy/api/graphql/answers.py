"""What a client gets to see of a result: data, and errors that are typed or masked."""

import logging
from typing import Any

from graphql import ExecutionResult, GraphQLError

from economy.api.graphql.errors import extensions_of
from economy.api.requests import request_id
from economy.errors import EconomyError

BAD_REQUEST = "BAD_REQUEST"  # the HTTP request is not a GraphQL request
INVALID_DOCUMENT = "GRAPHQL_VALIDATION_FAILED"  # the document or its variables
INTERNAL_ERROR = "INTERNAL_ERROR"  # a bug of ours

LONGEST_MESSAGE = 1_000  # messages quote the document, whose names may be of any length

logger = logging.getLogger(__name__)


def formatted(result: ExecutionResult) -> dict[str, Any]:
    """A response as the specification shapes it: without `data` when nothing was executed."""
    answer: dict[str, Any] = {}
    if result.errors:
        answer["errors"] = [_formatted_error(error) for error in result.errors]
    if result.data is not None:
        answer["data"] = result.data
    return answer


def request_error(message: str, code: str = BAD_REQUEST) -> dict[str, Any]:
    return {"errors": [{"message": message, "extensions": {"code": code}}]}


def refusal(error: EconomyError) -> dict[str, Any]:
    return {"errors": [{"message": error.message, "extensions": extensions_of(error)}]}


def internal_error(error: Exception) -> dict[str, Any]:
    """Nothing was executed, by a fault of ours."""
    logger.error("a request failed", exc_info=error)
    return {"errors": [_masked()]}


def _formatted_error(error: GraphQLError) -> dict[str, Any]:
    original = error.original_error
    shown: dict[str, Any] = {**error.formatted, "message": error.message[:LONGEST_MESSAGE]}
    if isinstance(original, EconomyError):
        shown["extensions"] = extensions_of(original)
    elif original is None or isinstance(original, GraphQLError) or error.path is None:
        # without a path no resolver had run yet: a number of thousands of digits is a ValueError
        shown["extensions"] = {"code": INVALID_DOCUMENT}
    else:
        logger.error("a resolver failed at %s", error.path, exc_info=original)
        shown |= _masked()
    return shown


def _masked() -> dict[str, Any]:
    """The error itself is in the log, under that id: its words may give away too much."""
    extensions = {"code": INTERNAL_ERROR, "requestId": request_id()}
    return {"message": "Something went wrong on our side.", "extensions": extensions}
