"""The mutations, each asking for everything that it may answer, and what refusals look like."""

from typing import Any

from tests.graphql_answers import ITEM, PRODUCT, TRANSACTION, USER
from tests.shop import Headers, Shop

BOOKING = f"transaction {{ {TRANSACTION} }} user {{ {USER} }} replayed"
WITH_ITEM = f"{BOOKING} item {{ {ITEM} }}"
REFUSALS = {
    "AlreadyOwnedError": "productId",
    "AlreadyTakenError": "field",
    "BalanceLimitError": "balance limit",
    "HoldingLimitError": "productId held limit",
    "IdempotencyError": "idempotencyKey",
    "InsufficientFundsError": "balance required",
    "InvalidInputError": "field",
    "NotEnoughItemsError": "productId held",
    "PriceChangedError": "price",
    "ProductNotConsumableError": "productId",
    "ProductNotFoundError": "productId",
    "ProductUnavailableError": "productId",
    "UserNotFoundError": "userId",
}


def _mutation(field: str, answer: str, *refusals: str) -> str:
    name = field[0].upper() + field[1:]
    members = {f"{name}Success": answer} | {refusal: REFUSALS[refusal] for refusal in refusals}
    spreads = " ".join(f"... on {member} {{ {fields} }}" for member, fields in members.items())
    return f"""mutation ($input: {name}Input!) {{ {field}(input: $input) {{
        __typename ... on EconomyError {{ code message retryable }} {spreads} }} }}"""


MUTATIONS = {
    "purchase": _mutation(
        "purchase",
        WITH_ITEM,
        "UserNotFoundError",
        "ProductNotFoundError",
        "ProductUnavailableError",
        "InsufficientFundsError",
        "AlreadyOwnedError",
        "HoldingLimitError",
        "PriceChangedError",
        "InvalidInputError",
        "IdempotencyError",
    ),
    "addFunds": _mutation(
        "addFunds",
        BOOKING,
        "UserNotFoundError",
        "BalanceLimitError",
        "AlreadyTakenError",
        "InvalidInputError",
        "IdempotencyError",
    ),
    "useItem": _mutation(
        "useItem",
        WITH_ITEM,
        "UserNotFoundError",
        "ProductNotFoundError",
        "ProductNotConsumableError",
        "NotEnoughItemsError",
        "InvalidInputError",
        "IdempotencyError",
    ),
    "createUser": _mutation(
        "createUser", f"user {{ {USER} }}", "AlreadyTakenError", "InvalidInputError"
    ),
    "createProduct": _mutation("createProduct", f"product {{ {PRODUCT} }}", "InvalidInputError"),
    "updateProduct": _mutation(
        "updateProduct", f"product {{ {PRODUCT} }}", "ProductNotFoundError", "InvalidInputError"
    ),
}


async def mutate(shop: Shop, field: str, headers: Headers | None, **values: Any) -> Any:
    """The member of the union that answers; there are no errors beside it."""
    body = await shop.graphql(MUTATIONS[field], headers, input=values)
    assert body.keys() == {"data"}, body
    return body["data"][field]


def refusal(member: str, code: str, message: str, **fields: Any) -> dict[str, Any]:
    """A member of the union that says why not."""
    return {"__typename": member, "code": code, "message": message, "retryable": False, **fields}


def invalid_input(field: str, message: str) -> dict[str, Any]:
    return refusal("InvalidInputError", "INVALID_INPUT", message, field=[field])
