"""Completed purchases of each hour, counted once the hour is over."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    PrimaryKeyConstraint,
)
from sqlmodel import Field, SQLModel

from economy.models.columns import Instant


class PurchaseHour(SQLModel, table=True):
    """Derived from the journal: it can be emptied and counted anew at any time."""

    __tablename__ = "purchase_hour"
    __table_args__ = (
        PrimaryKeyConstraint("hour", "product_id", name="pk_purchase_hour"),
        ForeignKeyConstraint(["product_id"], ["product.id"], name="fk_purchase_hour_product_id"),
        CheckConstraint("purchases > 0", name="ck_purchase_hour_purchases"),
    )

    hour: datetime = Field(sa_column=Column(Instant, nullable=False))  # its first moment
    product_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    purchases: int = Field(sa_column=Column(BigInteger, nullable=False))
