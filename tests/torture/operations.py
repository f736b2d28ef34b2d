"""What clients ask for, as requests over GraphQL and REST."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

TRANSACTION = (
    "transaction { id kind status quantity amount balanceAfter failureCode createdAt completedAt "
    "debtAfter targetId shortfall product { id } }"
)


class Kind(StrEnum):
    """Named as the journal names its rows; what settles a top-up has none of its own."""

    PURCHASE = "purchase"
    TOP_UP = "top_up"
    USE = "use"
    DEBIT = "debit"
    GRANT = "grant"
    REVOCATION = "revocation"
    REVERSAL = "reversal"
    BEGIN = "begin"
    COMPLETE = "complete"
    FAIL = "fail"


class _Mutation(NamedTuple):
    name: str
    input_type: str


_MUTATIONS = {
    Kind.PURCHASE: _Mutation("purchase", "PurchaseInput"),
    Kind.TOP_UP: _Mutation("addFunds", "AddFundsInput"),
    Kind.USE: _Mutation("useItem", "UseItemInput"),
    Kind.DEBIT: _Mutation("debitFunds", "DebitFundsInput"),
    Kind.GRANT: _Mutation("grantItem", "GrantItemInput"),
    Kind.REVOCATION: _Mutation("revokeItem", "RevokeItemInput"),
    Kind.REVERSAL: _Mutation("reverseTransaction", "ReverseTransactionInput"),
    Kind.BEGIN: _Mutation("beginTopUp", "BeginTopUpInput"),
    Kind.COMPLETE: _Mutation("completeTopUp", "SettleTopUpInput"),
    Kind.FAIL: _Mutation("failTopUp", "SettleTopUpInput"),
}
_SETTLEMENTS = {Kind.COMPLETE: "COMPLETED", Kind.FAIL: "PAYMENT_FAILED"}
_GIVES_COINS, _TAKES_COINS = (Kind.TOP_UP, Kind.COMPLETE), (Kind.PURCHASE, Kind.DEBIT)
_GIVES_ITEMS, _TAKES_ITEMS = (Kind.PURCHASE, Kind.GRANT), (Kind.USE, Kind.REVOCATION)


class Request(NamedTuple):
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """One thing that is wanted once. `asked` is in the words of GraphQL."""

    kind: Kind
    user_id: int
    key: str  # of a settlement, which is sent without one, only our own name
    headers: dict[str, str] = field(repr=False)
    asked: dict[str, Any]

    @property
    def journal_key(self) -> tuple[int, str, str]:
        """What is unique of its row; of a settlement, of the row that says it was too late."""
        if outcome := _SETTLEMENTS.get(self.kind):
            return (self.user_id, "top_up_settlement", f"{self.target_id}:{outcome}")
        kind = Kind.TOP_UP if self.kind is Kind.BEGIN else self.kind
        return (self.user_id, kind.value, self.key)

    @property
    def is_settlement(self) -> bool:
        return self.kind in _SETTLEMENTS

    @property
    def target_id(self) -> str | None:
        found: str | None = self.asked.get("transactionId")
        return found

    @property
    def has_rest(self) -> bool:
        return self.kind in (Kind.PURCHASE, Kind.TOP_UP, Kind.USE)

    def as_rest(self) -> Request:
        headers = self.headers | {"Idempotency-Key": self.key}
        if self.kind is Kind.TOP_UP:
            body = {"amount": self.asked["amount"]}
            if reference := self.asked.get("externalReference"):
                body["external_reference"] = reference
            return Request(f"/users/{self.user_id}/add-funds", headers, body)
        body = {"user_id": self.user_id, "quantity": self.asked["quantity"]}
        path = f"/products/{self.asked['productId']}/{self.kind.value}"
        return Request(path, headers, body)

    def as_graphql(self) -> Request:
        name, input_type = _MUTATIONS[self.kind]
        success = f"{name[0].upper()}{name[1:]}Success"
        document = (
            f"mutation($input: {input_type}!) {{ answer: {name}(input: $input) {{ __typename "
            f"... on {success} {{ {TRANSACTION} user {{ balance debt }} replayed }} "
            f"... on EconomyError {{ code }} }} }}"
        )
        asked = self.asked | {"userId": str(self.user_id)}
        if not self.is_settlement:
            asked["idempotencyKey"] = self.key
        body = {"query": document, "variables": {"input": asked}}
        return Request("/graphql", self.headers, body)


@dataclass(frozen=True)
class Outcome:
    """A final answer: the transaction in the words of the journal, or the code of a decline."""

    code: str | None
    replayed: bool = False
    transaction: dict[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> tuple[str | None, str | None]:
        """What each answer to the same key has in common."""
        return (self.code, self.transaction.get("id"))


def coins_moved(operation: Operation, outcome: Outcome) -> int:
    """With sign, as the answer tells."""
    if outcome.code is not None:
        return 0
    amount: int = outcome.transaction["amount"]
    if operation.kind is Kind.REVERSAL:
        return amount if outcome.transaction["product_id"] else -amount
    return amount * ((operation.kind in _GIVES_COINS) - (operation.kind in _TAKES_COINS))


def items_moved(operation: Operation, outcome: Outcome) -> tuple[int, int] | None:
    """Which product, and how many of it, with sign. None: the operation is not of that kind."""
    if outcome.code is not None or outcome.transaction["product_id"] is None:
        return None
    quantity: int = outcome.transaction["quantity"]
    gives = operation.kind in _GIVES_ITEMS
    takes = operation.kind in (*_TAKES_ITEMS, Kind.REVERSAL)
    return (outcome.transaction["product_id"], quantity * (gives - takes))
