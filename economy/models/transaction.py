"""The journal: one append-only row per operation, declines too; a trigger guards it."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlmodel import Field, SQLModel

from economy.models.columns import Instant, one_of
from economy.models.inventory import HOLDING_LIMIT
from economy.models.user import BALANCE_LIMIT

MAX_QUANTITY = 1_000  # units of one operation


class TransactionKind(StrEnum):
    PURCHASE = "purchase"
    TOP_UP = "top_up"
    USE = "use"
    DEBIT = "debit"  # coins are taken by a server
    GRANT = "grant"  # items are given by a server
    REVOCATION = "revocation"  # items are taken by a server
    REVERSAL = "reversal"  # of the purchase or top-up that is its target
    TOP_UP_SETTLEMENT = (
        "top_up_settlement"  # of the top-up that is its target; too late, so always failed
    )


class TransactionStatus(StrEnum):
    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"


COMPLETED_PURCHASE = "kind = 'purchase' AND status = 'completed'"
COMPLETED_REVERSAL = "kind = 'reversal' AND status = 'completed'"
PENDING = "status = 'pending'"
SETTLED_LATER = "settled_hash IS NOT NULL"


def _partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    condition = text(where)
    return Index(name, *columns, unique=unique, postgresql_where=condition, sqlite_where=condition)


class Transaction(SQLModel, table=True):
    __tablename__ = "transaction"
    __table_args__ = (
        PrimaryKeyConstraint("user_id", "id", name="pk_transaction"),
        # history pages: the total order of a user's transactions
        UniqueConstraint("user_id", "seq", name="uq_transaction_user_id_seq"),
        # replay look-up, and one outcome per (user, operation, key)
        UniqueConstraint(
            "user_id", "kind", "idempotency_key", name="uq_transaction_user_id_kind_idempotency_key"
        ),
        ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_transaction_user_id"),
        ForeignKeyConstraint(["product_id"], ["product.id"], name="fk_transaction_product_id"),
        # popular products: only what is counted, newest at one end
        _partial_index(
            "ix_transaction_completed_purchase",
            "created_at",
            "product_id",
            where=COMPLETED_PURCHASE,
        ),
        ForeignKeyConstraint(
            ["user_id", "target_id"],
            ["transaction.user_id", "transaction.id"],
            name="fk_transaction_target_id",
        ),
        _partial_index(
            "uq_transaction_reversal", "user_id", "target_id", where=COMPLETED_REVERSAL, unique=True
        ),
        _partial_index(
            "uq_transaction_settled_seq",
            "user_id",
            "settled_seq",
            where=SETTLED_LATER,
            unique=True,
        ),
        _partial_index("ix_transaction_pending", "created_at", where=PENDING),
        CheckConstraint(one_of("kind", TransactionKind), name="ck_transaction_kind"),
        CheckConstraint(one_of("status", TransactionStatus), name="ck_transaction_status"),
        CheckConstraint("seq >= 1", name="ck_transaction_seq"),
        CheckConstraint(f"amount BETWEEN 0 AND {BALANCE_LIMIT}", name="ck_transaction_amount"),
        CheckConstraint(
            f"quantity BETWEEN 0 AND {MAX_QUANTITY} AND (quantity > 0 OR kind = 'reversal')",
            name="ck_transaction_quantity",
        ),
        CheckConstraint(
            "(product_id IS NULL) = (quantity IS NULL) "
            "AND (product_id IS NULL) = (quantity_after IS NULL)",
            name="ck_transaction_product",
        ),
        CheckConstraint(
            f"balance_after BETWEEN 0 AND {BALANCE_LIMIT}", name="ck_transaction_balance_after"
        ),
        CheckConstraint(
            f"quantity_after BETWEEN 0 AND {HOLDING_LIMIT}", name="ck_transaction_quantity_after"
        ),
        CheckConstraint(
            "(status = 'failed') = (failure_code IS NOT NULL)", name="ck_transaction_failure_code"
        ),
        CheckConstraint(
            "(status = 'pending') = (completed_at IS NULL) "
            "AND (status = 'pending') = (balance_after IS NULL) "
            "AND (status = 'pending') = (debt_after IS NULL) "
            "AND (status = 'pending') = (settled_seq IS NULL)",
            name="ck_transaction_completed",
        ),
        CheckConstraint(
            "status <> 'pending' OR kind = 'top_up'", name="ck_transaction_pending_top_up"
        ),
        CheckConstraint(
            f"debt_after BETWEEN 0 AND {BALANCE_LIMIT} AND (debt_after = 0 OR balance_after = 0)",
            name="ck_transaction_debt_after",
        ),
        CheckConstraint(
            "settled_seq >= seq AND (settled_seq > seq) = (settled_hash IS NOT NULL)",
            name="ck_transaction_settled_seq",
        ),
        CheckConstraint(
            "(kind IN ('reversal', 'top_up_settlement')) = (target_id IS NOT NULL)",
            name="ck_transaction_target_id",
        ),
        CheckConstraint(
            f"shortfall BETWEEN 0 AND {BALANCE_LIMIT}", name="ck_transaction_shortfall"
        ),
        CheckConstraint(
            f"({COMPLETED_REVERSAL}) = (shortfall IS NOT NULL)",
            name="ck_transaction_shortfall_of_reversal",
        ),
    )

    user_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    id: UUID = Field(sa_column=Column(Uuid, nullable=False))
    # its number in the history of the user; a pending row takes a second one when it is settled
    seq: int = Field(sa_column=Column(BigInteger, nullable=False))
    kind: str = Field(sa_column=Column(String(32), nullable=False))
    status: str = Field(sa_column=Column(String(16), nullable=False))
    product_id: int | None = Field(sa_column=Column(BigInteger))
    quantity: int | None = Field(sa_column=Column(BigInteger))
    # coins moved, without sign; of a decline, what was attempted
    amount: int = Field(sa_column=Column(BigInteger, nullable=False))
    balance_after: int | None = Field(sa_column=Column(BigInteger))
    quantity_after: int | None = Field(sa_column=Column(BigInteger))
    failure_code: str | None = Field(sa_column=Column(String(32)))
    actor: str = Field(sa_column=Column(String(64), nullable=False))
    idempotency_key: str | None = Field(sa_column=Column(String(255)))
    request_hash: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False))
    external_reference: str | None = Field(sa_column=Column(String(255)))
    created_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    completed_at: datetime | None = Field(sa_column=Column(Instant))
    # what the user owes: coins of reversed top-ups that were spent already
    debt_after: int | None = Field(sa_column=Column(BigInteger))
    target_id: UUID | None = Field(sa_column=Column(Uuid))
    # of a reversal, in coins: what was spent or used already, and could not be taken back
    shortfall: int | None = Field(sa_column=Column(BigInteger))
    settled_seq: int | None = Field(sa_column=Column(BigInteger))
    # links of the user's chain: of the row as it was written, and as it was settled later
    hash: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False))
    settled_hash: bytes | None = Field(sa_column=Column(LargeBinary(32)))


class TransactionRow(NamedTuple):
    user_id: int
    id: UUID
    seq: int
    kind: str
    status: str
    product_id: int | None
    quantity: int | None
    amount: int
    balance_after: int | None
    quantity_after: int | None
    failure_code: str | None
    actor: str
    idempotency_key: str | None
    request_hash: bytes
    external_reference: str | None
    created_at: datetime
    completed_at: datetime | None
    debt_after: int | None
    target_id: UUID | None
    shortfall: int | None
    settled_seq: int | None
    hash: bytes
    settled_hash: bytes | None
