"""A user: the balance, and the row that is the lock of that user's whole economy."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import BigInteger, CheckConstraint, Column, String
from sqlmodel import Field, SQLModel

from economy.models.columns import BigIntId, Instant

BALANCE_LIMIT = 2**53 - 1  # coins; the largest integer that every JSON client reads exactly


class User(SQLModel, table=True):
    __tablename__ = "user"
    __table_args__ = (
        CheckConstraint(f"balance BETWEEN 0 AND {BALANCE_LIMIT}", name="ck_user_balance"),
        CheckConstraint("last_seq >= 0", name="ck_user_last_seq"),
    )

    id: int = Field(default=None, sa_column=Column(BigIntId, primary_key=True))
    username: str = Field(sa_column=Column(String(32), nullable=False))
    email: str = Field(sa_column=Column(String(254), nullable=False))
    balance: int = Field(sa_column=Column(BigInteger, nullable=False))
    # seq of the user's newest transaction: counts the history without gaps
    last_seq: int = Field(sa_column=Column(BigInteger, nullable=False))
    created_at: datetime = Field(sa_column=Column(Instant, nullable=False))


class UserRow(NamedTuple):
    id: int
    username: str
    email: str
    balance: int
    last_seq: int
    created_at: datetime
