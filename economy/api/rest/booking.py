"""The answers to money operations: one shape, with or without the item."""

from datetime import datetime
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel, Field

from economy.api.rest.errors import REPLAYED
from economy.api.rest.item import InventoryItem
from economy.api.rest.product import Product
from economy.models.product import ProductRow
from economy.models.transaction import TransactionKind, TransactionRow, TransactionStatus
from economy.models.user import UserRow
from economy.services.access import Actor
from economy.services.operations import Booking


class User(BaseModel):
    id: int
    username: str
    email: str | None = Field(
        description="Null unless asked by the user itself or by a server key that may read users"
    )
    balance: int = Field(description="In coins, right after the operation")
    debt: int = Field(description="In coins: what later credits repay first")
    created_at: datetime
    deleted_at: datetime | None


class Transaction(BaseModel):
    id: UUID
    kind: TransactionKind
    status: TransactionStatus
    product: Product | None
    quantity: int | None
    amount: int = Field(description="The coins that moved")
    balance_after: int | None
    failure_code: str | None
    created_at: datetime
    completed_at: datetime | None
    debt_after: int | None
    target_id: UUID | None = Field(description="The transaction that a reversal undoes")
    shortfall: int | None = Field(description="Of a reversal: coins that were spent before")


class FundsAdded(BaseModel):
    transaction: Transaction
    user: User
    replayed: bool = Field(description="True: this answers a repeated key, nothing was done again")


class ItemBooked(FundsAdded):
    item: InventoryItem = Field(description="What is held of the product now")


def funds_added(booking: Booking, actor: Actor, response: Response) -> FundsAdded:
    _mark_replay(booking, response)
    return FundsAdded(
        transaction=_transaction(booking.transaction, None),
        user=_user(booking.user, actor),
        replayed=booking.replayed,
    )


def item_booked(booking: Booking, actor: Actor, response: Response) -> ItemBooked:
    _mark_replay(booking, response)
    assert booking.item is not None
    assert booking.product is not None
    return ItemBooked(
        transaction=_transaction(booking.transaction, booking.product),
        user=_user(booking.user, actor),
        item=InventoryItem.of(booking.item, booking.product),
        replayed=booking.replayed,
    )


def _user(row: UserRow, actor: Actor) -> User:
    return User(
        id=row.id,
        username=row.username,
        email=row.email if actor.may_read(row.id) else None,
        balance=row.balance,
        debt=row.debt,
        created_at=row.created_at,
        deleted_at=row.deleted_at,
    )


def _transaction(row: TransactionRow, product: ProductRow | None) -> Transaction:
    return Transaction(
        id=row.id,
        kind=TransactionKind(row.kind),
        status=TransactionStatus(row.status),
        product=None if product is None else Product.of(product),
        quantity=row.quantity,
        amount=row.amount,
        balance_after=row.balance_after,
        failure_code=row.failure_code,
        created_at=row.created_at,
        completed_at=row.completed_at,
        debt_after=row.debt_after,
        target_id=row.target_id,
        shortfall=row.shortfall,
    )


def _mark_replay(booking: Booking, response: Response) -> None:
    if booking.replayed:
        response.headers[REPLAYED] = "true"
