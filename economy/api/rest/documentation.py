"""How OpenAPI documents the error answers: examples made from the errors themselves."""

from typing import Any

from fastapi import Body, FastAPI
from pydantic.json_schema import models_json_schema

from economy import errors
from economy.api.body import MAX_BODY_BYTES
from economy.api.rest.errors import CODES, MEDIA_TYPE, Problem, problem, problem_of
from economy.errors import EconomyError
from economy.models.inventory import HOLDING_LIMIT
from economy.models.user import BALANCE_LIMIT
from economy.settings import Settings

UNAUTHENTICATED = errors.Unauthenticated()
FORBIDDEN = errors.Forbidden()
USER_NOT_FOUND = errors.UserNotFound("42")
PRODUCT_NOT_FOUND = errors.ProductNotFound("7")
INSUFFICIENT_FUNDS = errors.InsufficientFunds(40, 100)
ALREADY_OWNED = errors.AlreadyOwned("7")
ALREADY_TAKEN = errors.AlreadyTaken(("external_reference",))
PRODUCT_UNAVAILABLE = errors.ProductUnavailable("7")
HOLDING_LIMIT_REACHED = errors.HoldingLimit("7", HOLDING_LIMIT, HOLDING_LIMIT)
PRODUCT_NOT_CONSUMABLE = errors.ProductNotConsumable("7")
NOT_ENOUGH_ITEMS = errors.NotEnoughItems("7", 1)
PRICE_CHANGED = errors.PriceChanged(120)
BALANCE_LIMIT_REACHED = errors.BalanceLimit(BALANCE_LIMIT - 10, BALANCE_LIMIT)
INVALID_QUANTITY = errors.invalid("quantity", "quantity must be 1 to 1000.")
INVALID_AMOUNT = errors.invalid("amount", "amount must be 1 to 1000000.")
INVALID_PAGE = errors.invalid("first", "first must be 1 to 100.")
INVALID_LIMIT = errors.invalid("limit", "limit must be 1 to 100.")
INVALID_TYPE = errors.invalid("type", "Input should be 'consumable' or 'permanent'")
KEY_MISSING = errors.IdempotencyKeyMissing()
KEY_REUSED = errors.IdempotencyKeyReused("order-1")
UNAVAILABLE = errors.Unavailable()
CONFLICT = errors.ConcurrencyConflict()
RATE_LIMITED = errors.RateLimited(4, "money", 120, 10)

# every endpoint that needs a credential
ALWAYS = (UNAUTHENTICATED, RATE_LIMITED, UNAVAILABLE)
# every endpoint that takes a body
_UNREADABLE = (
    problem(400, CODES[400], "The body is not JSON."),
    problem(413, CODES[413], f"The body is larger than {MAX_BODY_BYTES} bytes."),
    problem(415, CODES[415], "Send application/json."),
)
_NOT_MODIFIED = {
    "description": "What `If-None-Match` names is current still",
    "headers": {"ETag": {"description": "Of the body", "schema": {"type": "string"}}},
}
_SCHEMAS = "#/components/schemas/"


def problems(*possible: EconomyError, has_body: bool = False) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an endpoint: one entry a status, one example a code.

    Without a body it is a read, which may be conditional.
    """
    bodies = [problem_of(error, is_in_body=has_body) for error in (*possible, *ALWAYS)]
    if has_body:
        bodies.extend(_UNREADABLE)
    responses: dict[int | str, dict[str, Any]] = {} if has_body else {304: _NOT_MODIFIED}
    for body in sorted(bodies, key=lambda body: int(body["status"])):
        content = {"schema": {"$ref": f"{_SCHEMAS}{Problem.__name__}"}, "examples": {}}
        response = responses.setdefault(
            body["status"], {"description": body["title"], "content": {MEDIA_TYPE: content}}
        )
        response["content"][MEDIA_TYPE]["examples"][body["code"]] = {"value": body}
    return responses


def idempotency_key(*, is_required: bool) -> dict[str, Any]:
    """The `openapi_extra` of an endpoint. A parameter of the function would answer 422, not 400."""
    header = {
        "name": "Idempotency-Key",
        "in": "header",
        "required": is_required,
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$", "examples": ["order-1"]},
        "description": "1 to 255 visible ASCII characters, raw or in quotes. The same key with "
        "the same input answers again and does nothing again.",
    }
    return {"parameters": [header]}


def body_examples(**bodies: dict[str, Any]) -> Any:
    """Marks a body parameter: one example for each kind of caller."""
    return Body(openapi_examples={caller: {"value": body} for caller, body in bodies.items()})


def complete_document(app: FastAPI, settings: Settings) -> None:
    """Add what FastAPI cannot know: the schema of `problems`, and the configured bounds."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        document = make()
        # as the `model` of a response it would stand for application/json
        _, definitions = models_json_schema(
            [(Problem, "serialization")], ref_template=f"{_SCHEMAS}{{model}}"
        )
        schemas = document["components"]["schemas"]
        schemas.update(definitions["$defs"])
        schemas["AddFundsBody"]["properties"]["amount"]["maximum"] = settings.max_top_up_amount
        return document

    app.openapi = openapi  # type: ignore[method-assign]
