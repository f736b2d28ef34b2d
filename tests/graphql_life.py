"""The mutations of the life of a transaction, each asking for everything that it may answer."""

from typing import Any

from economy.services.access import Scope
from tests.graphql_answers import ITEM
from tests.shop import Headers, Shop

TRANSACTION = """id kind status product { id } quantity amount balanceAfter failureCode createdAt
    completedAt debtAfter targetId shortfall"""
USER = "id username email balance debt deletedAt"
BOOKING = f"transaction {{ {TRANSACTION} }} user {{ {USER} }} replayed"
WITH_ITEM = f"{BOOKING} item {{ {ITEM} }}"
SUCCESSES = {
    "beginTopUp": ("BeginTopUpInput", BOOKING),
    "completeTopUp": ("SettleTopUpInput", BOOKING),
    "failTopUp": ("SettleTopUpInput", BOOKING),
    "reverseTransaction": ("ReverseTransactionInput", WITH_ITEM),
    "grantItem": ("GrantItemInput", WITH_ITEM),
    "revokeItem": ("RevokeItemInput", WITH_ITEM),
    "debitFunds": ("DebitFundsInput", BOOKING),
    "deleteUser": ("DeleteUserInput", f"user {{ {USER} }}"),
}
# the members of each union besides its success
BEGUN = ["UserNotFound", "BalanceLimit", "AlreadyTaken", "InvalidInput", "Idempotency"]
GIVEN = ["UserNotFound", "ProductNotFound", "InvalidInput", "Idempotency"]
MEMBERS = {
    "beginTopUp": BEGUN,
    "completeTopUp": [
        *("UserNotFound", "TransactionNotFound", "TopUpExpired", "PaymentFailed", "BalanceLimit"),
        "AlreadyTaken",
    ],
    "failTopUp": ["UserNotFound", "TransactionNotFound", "TopUpCompleted"],
    "reverseTransaction": [
        *("UserNotFound", "TransactionNotFound", "NotReversible", "AlreadyReversed"),
        *("InsufficientFunds", "NotEnoughItems", "BalanceLimit", "InvalidInput", "Idempotency"),
    ],
    "grantItem": [*GIVEN, "AlreadyOwned", "HoldingLimit"],
    "revokeItem": [*GIVEN, "NotEnoughItems"],
    "debitFunds": ["UserNotFound", "InsufficientFunds", "InvalidInput", "Idempotency"],
    "deleteUser": ["UserNotFound"],
}
FIELDS = {
    "UserNotFound": "userId",
    "ProductNotFound": "productId",
    "TransactionNotFound": "transactionId",
    "NotReversible": "transactionId",
    "AlreadyReversed": "transactionId",
    "TopUpExpired": "transactionId",
    "PaymentFailed": "transactionId",
    "TopUpCompleted": "transactionId",
    "BalanceLimit": "balance limit",
    "HoldingLimit": "productId held limit",
    "InsufficientFunds": "balance required",
    "NotEnoughItems": "productId held",
    "AlreadyOwned": "productId",
    "AlreadyTaken": "field",
    "InvalidInput": "field",
    "Idempotency": "idempotencyKey",
}
NIL = "00000000-0000-0000-0000-000000000000"
INPUTS: dict[str, dict[str, Any]] = {
    "beginTopUp": {"userId": "1", "amount": 5, "idempotencyKey": "new"},
    "completeTopUp": {"userId": "1", "transactionId": NIL},
    "failTopUp": {"userId": "1", "transactionId": NIL},
    "reverseTransaction": {"userId": "1", "transactionId": NIL, "idempotencyKey": "new"},
    "grantItem": {"userId": "1", "productId": "1", "idempotencyKey": "new"},
    "revokeItem": {"userId": "1", "productId": "1", "idempotencyKey": "new"},
    "debitFunds": {"userId": "1", "amount": 5, "idempotencyKey": "new"},
    "deleteUser": {"userId": "1"},
}
SCOPES: dict[str, set[Scope]] = {field: {Scope.FUNDS_WRITE} for field in SUCCESSES} | {
    "reverseTransaction": {Scope.FUNDS_WRITE, Scope.ITEMS_WRITE},
    "grantItem": {Scope.ITEMS_WRITE},
    "revokeItem": {Scope.ITEMS_WRITE},
    "deleteUser": {Scope.USERS_WRITE},
}


def document(field: str) -> str:
    input_type, answer = SUCCESSES[field]
    members = {f"{field[0].upper()}{field[1:]}Success": answer}
    members |= {f"{name}Error": FIELDS[name] for name in MEMBERS[field]}
    spreads = " ".join(f"... on {member} {{ {fields} }}" for member, fields in members.items())
    return f"""mutation ($input: {input_type}!) {{ {field}(input: $input) {{
        __typename ... on EconomyError {{ code message retryable }} {spreads} }} }}"""


async def mutate(shop: Shop, field: str, headers: Headers | None = None, **values: Any) -> Any:
    """The member that answers a server key; there are no errors beside it."""
    values = INPUTS[field] | values
    body = await shop.graphql(document(field), headers or shop.server, input=values)
    assert body.keys() == {"data"}, body
    return body["data"][field]
