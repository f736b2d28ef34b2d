"""A product: what it is and what one costs now. Products are switched off, never deleted."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    String,
    Text,
    UniqueConstraint,
)
from sqlmodel import Field, SQLModel

from economy.models.columns import BigIntId, Instant, one_of

MAX_PRICE = 10**12  # coins; 1,000 of them still fit a balance


class ProductType(StrEnum):
    CONSUMABLE = "consumable"  # can be held many times, is used up
    PERMANENT = "permanent"  # is owned once, for ever


class Product(SQLModel, table=True):
    __tablename__ = "product"
    __table_args__ = (
        CheckConstraint(f"price BETWEEN 0 AND {MAX_PRICE}", name="ck_product_price"),
        CheckConstraint(one_of("type", ProductType), name="ck_product_type"),
        # lets inventory rows carry the type, so that a CHECK there holds "permanent: at most one"
        UniqueConstraint("id", "type", name="uq_product_id_type"),
    )

    id: int = Field(default=None, sa_column=Column(BigIntId, primary_key=True))
    name: str = Field(sa_column=Column(String(100), nullable=False))
    description: str = Field(sa_column=Column(Text, nullable=False))
    price: int = Field(sa_column=Column(BigInteger, nullable=False))
    type: str = Field(sa_column=Column(String(16), nullable=False))
    is_active: bool = Field(sa_column=Column(Boolean, nullable=False))
    created_at: datetime = Field(sa_column=Column(Instant, nullable=False))


class ProductRow(NamedTuple):
    id: int
    name: str
    description: str
    price: int
    type: str
    is_active: bool
