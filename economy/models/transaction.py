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


class TransactionStatus(StrEnum):
    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"


COMPLETED_PURCHASE = "kind = 'purchase' AND status = 'completed'"


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
        Index(
            "ix_transaction_completed_purchase",
            "created_at",
            "product_id",
            postgresql_where=text(COMPLETED_PURCHASE),
            sqlite_where=text(COMPLETED_PURCHASE),
        ),
        CheckConstraint(one_of("kind", TransactionKind), name="ck_transaction_kind"),
        CheckConstraint(one_of("status", TransactionStatus), name="ck_transaction_status"),
        CheckConstraint("seq >= 1", name="ck_transaction_seq"),
        CheckConstraint(f"amount BETWEEN 0 AND {BALANCE_LIMIT}", name="ck_transaction_amount"),
        CheckConstraint(f"quantity BETWEEN 1 AND {MAX_QUANTITY}", name="ck_transaction_quantity"),
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
            "AND (status = 'pending') = (balance_after IS NULL)",
            name="ck_transaction_completed",
        ),
    )

    user_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    id: UUID = Field(sa_column=Column(Uuid, nullable=False))
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
