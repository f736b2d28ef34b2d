"""How OpenAPI documents the error answers: examples made from the errors themselves."""

from typing import Any

from economy import errors
from economy.api.rest.errors import MALFORMED_JSON, MEDIA_TYPE, Problem, problem, problem_of
from economy.errors import EconomyError
from economy.models.inventory import HOLDING_LIMIT
from economy.models.user import BALANCE_LIMIT

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
INVALID_INPUT = errors.invalid("quantity", "quantity must be 1 to 1000.")
KEY_MISSING = errors.IdempotencyKeyMissing()
KEY_REUSED = errors.IdempotencyKeyReused("order-1")
UNAVAILABLE = errors.Unavailable()
CONFLICT = errors.ConcurrencyConflict()

# every endpoint that needs a credential
ALWAYS = (UNAUTHENTICATED, UNAVAILABLE)
_NOT_JSON = problem(400, MALFORMED_JSON, "The body is not JSON.")


def problems(*possible: EconomyError, has_body: bool = False) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an endpoint: one entry a status, one example a code."""
    bodies = [problem_of(error) for error in (*possible, *ALWAYS)]
    if has_body:
        bodies.append(_NOT_JSON)
    responses: dict[int | str, dict[str, Any]] = {}
    for body in sorted(bodies, key=lambda body: int(body["status"])):
        response = responses.setdefault(
            body["status"],
            {
                "model": Problem,
                "description": body["title"],
                "content": {MEDIA_TYPE: {"examples": {}}},
            },
        )
        response["content"][MEDIA_TYPE]["examples"][body["code"]] = {"value": body}
    return responses
