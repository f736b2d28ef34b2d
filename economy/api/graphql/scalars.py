"""The schema's own scalars and enums."""

import re
from datetime import datetime
from enum import Enum
from typing import Any, NewType, TypeVar
from uuid import UUID

import strawberry
from graphql import GraphQLError, IntValueNode, ValueNode
from strawberry.schema.config import StrawberryConfig

from economy.models.user import BALANCE_LIMIT

Amount = NewType("Amount", int)
T = TypeVar("T")


def given(value: T | None) -> T | None:
    """An optional input that was left out is None to services, as an explicit null is."""
    return None if value is strawberry.UNSET else value


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_AMOUNT_RANGE = f"an amount is a whole number from 0 to {BALANCE_LIMIT}"


def _parse_amount(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= BALANCE_LIMIT:  # bool is an int to Python
        raise GraphQLError(f"Not an Amount: {_AMOUNT_RANGE}.")
    return value


def _parse_amount_literal(node: ValueNode, _variables: object = None) -> int:
    # told by its length before int(): Python refuses thousands of digits with an error of its own
    if not isinstance(node, IntValueNode) or len(node.value) > len(str(BALANCE_LIMIT)):
        raise GraphQLError(f"Not an Amount: {_AMOUNT_RANGE}.", node)
    return _parse_amount(int(node.value))


def _parse_uuid(value: Any) -> UUID:
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise GraphQLError("Not a UUID: 32 hexadecimal digits in five groups.")
    return UUID(value)


def schema_config() -> StrawberryConfig:
    amount = strawberry.scalar(
        name="Amount",
        description=(
            "Whole units of virtual currency, 0 to 9007199254740991 (2^53-1), as a JSON integer: "
            "exact in every client."
        ),
        serialize=int,
        parse_value=_parse_amount,
        parse_literal=_parse_amount_literal,
    )
    instant = strawberry.scalar(
        name="DateTime",
        description="RFC 3339 instant in UTC.",
        serialize=datetime.isoformat,
        parse_value=datetime.fromisoformat,
    )
    uuid = strawberry.scalar(
        name="UUID",
        description="RFC 9562 identifier, in lower case and with dashes.",
        serialize=str,
        parse_value=_parse_uuid,
    )
    return StrawberryConfig(scalar_map={Amount: amount, datetime: instant, UUID: uuid})


def value_of(member: Enum | None) -> str | None:
    """The word that services know an enum's member by."""
    return None if member is None or member is strawberry.UNSET else str(member.value)


@strawberry.enum(description="Whether a product is used up or owned for ever.")
class ProductType(Enum):
    CONSUMABLE = strawberry.enum_value(
        "consumable", description="Can be held many times, and is used up."
    )
    PERMANENT = strawberry.enum_value("permanent", description="Is owned once, for ever.")


@strawberry.enum(description="What a transaction did.")
class TransactionKind(Enum):
    PURCHASE = strawberry.enum_value("purchase", description="Coins were spent on a product.")
    TOP_UP = strawberry.enum_value("top_up", description="Coins were credited.")
    USE = strawberry.enum_value("use", description="Held items were used up.")
    DEBIT = strawberry.enum_value("debit", description="Coins were taken by a server.")
    GRANT = strawberry.enum_value("grant", description="Items were given by a server.")
    REVOCATION = strawberry.enum_value("revocation", description="Items were taken by a server.")
    REVERSAL = strawberry.enum_value("reversal", description="A purchase or top-up was undone.")
    TOP_UP_SETTLEMENT = strawberry.enum_value(
        "top_up_settlement", description="News of a payment that came too late; always failed."
    )


@strawberry.enum(description="How far a transaction is.")
class TransactionStatus(Enum):
    PENDING = strawberry.enum_value("pending", description="Accepted, nothing moved yet.")
    COMPLETED = strawberry.enum_value("completed", description="Done: coins and items moved.")
    FAILED = strawberry.enum_value("failed", description="Declined: nothing moved.")


@strawberry.enum(description="Why an operation was refused. New codes may be added.")
class ErrorCode(Enum):
    INSUFFICIENT_FUNDS = strawberry.enum_value(
        "INSUFFICIENT_FUNDS", description="The balance does not cover the price."
    )
    ALREADY_OWNED = strawberry.enum_value(
        "ALREADY_OWNED", description="The product is permanent and owned already."
    )
    PRICE_CHANGED = strawberry.enum_value(
        "PRICE_CHANGED", description="The price is not the expected one any more."
    )
    PRODUCT_NOT_FOUND = strawberry.enum_value(
        "PRODUCT_NOT_FOUND", description="There is no such product."
    )
    PRODUCT_UNAVAILABLE = strawberry.enum_value(
        "PRODUCT_UNAVAILABLE", description="The product is not on sale."
    )
    PRODUCT_NOT_CONSUMABLE = strawberry.enum_value(
        "PRODUCT_NOT_CONSUMABLE", description="A permanent product cannot be used up."
    )
    NOT_ENOUGH_ITEMS = strawberry.enum_value(
        "NOT_ENOUGH_ITEMS", description="Fewer items are held than were to be used."
    )
    HOLDING_LIMIT = strawberry.enum_value(
        "HOLDING_LIMIT", description="More of one product than a user may hold."
    )
    USER_NOT_FOUND = strawberry.enum_value("USER_NOT_FOUND", description="There is no such user.")
    BALANCE_LIMIT = strawberry.enum_value(
        "BALANCE_LIMIT", description="The balance would be more than a user may hold."
    )
    ALREADY_TAKEN = strawberry.enum_value(
        "ALREADY_TAKEN", description="A value that must be unique is another's already."
    )
    INVALID_INPUT = strawberry.enum_value(
        "INVALID_INPUT", description="The input is outside of its documented bounds."
    )
    TRANSACTION_NOT_FOUND = strawberry.enum_value(
        "TRANSACTION_NOT_FOUND", description="The user has no such transaction."
    )
    NOT_REVERSIBLE = strawberry.enum_value(
        "NOT_REVERSIBLE", description="The transaction is no completed purchase or top-up."
    )
    ALREADY_REVERSED = strawberry.enum_value(
        "ALREADY_REVERSED", description="The transaction was reversed before."
    )
    PAYMENT_FAILED = strawberry.enum_value(
        "PAYMENT_FAILED", description="The payment of a pending top-up has failed."
    )
    TOP_UP_EXPIRED = strawberry.enum_value(
        "TOP_UP_EXPIRED", description="A pending top-up was not paid in time."
    )
    TOP_UP_COMPLETED = strawberry.enum_value(
        "TOP_UP_COMPLETED", description="The top-up was completed before."
    )
    IDEMPOTENCY_KEY_REUSED = strawberry.enum_value(
        "IDEMPOTENCY_KEY_REUSED", description="The key was used before with other input."
    )
