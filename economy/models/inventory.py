"""What a user holds: one row per product, kept at quantity 0 when used up."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    PrimaryKeyConstraint,
    String,
    UniqueConstraint,
    Uuid,
)
from sqlmodel import Field, SQLModel

from economy.models.columns import Instant

HOLDING_LIMIT = 1_000_000_000  # units of one product that a user may hold


class Inventory(SQLModel, table=True):
    __tablename__ = "inventory"
    __table_args__ = (
        PrimaryKeyConstraint("user_id", "id", name="pk_inventory"),
        UniqueConstraint("user_id", "product_id", name="uq_inventory_user_id_product_id"),
        ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_inventory_user_id"),
        ForeignKeyConstraint(
            ["product_id", "product_type"],
            ["product.id", "product.type"],
            name="fk_inventory_product_id_product_type",
        ),
        CheckConstraint(f"quantity BETWEEN 0 AND {HOLDING_LIMIT}", name="ck_inventory_quantity"),
        CheckConstraint(
            "product_type <> 'permanent' OR quantity <= 1", name="ck_inventory_permanent_once"
        ),
    )

    user_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    id: UUID = Field(sa_column=Column(Uuid, nullable=False))
    product_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    product_type: str = Field(sa_column=Column(String(16), nullable=False))
    quantity: int = Field(sa_column=Column(BigInteger, nullable=False))
    # the first purchase; it stays
    purchased_at: datetime = Field(sa_column=Column(Instant, nullable=False))


class InventoryRow(NamedTuple):
    user_id: int
    id: UUID
    product_id: int
    product_type: str
    quantity: int
    purchased_at: datetime
