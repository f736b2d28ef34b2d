"""A user: the balance, and the row that is the lock of that user's whole economy."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import BigInteger, CheckConstraint, Column, LargeBinary, String
from sqlmodel import Field, SQLModel

from economy.models.columns import BigIntId, Instant

NO_HISTORY = bytes(32)  # in place of a link before the first one
BALANCE_LIMIT = 2**53 - 1  # coins; the largest integer that every JSON client reads exactly


class User(SQLModel, table=True):
    __tablename__ = "user"
    __table_args__ = (
        CheckConstraint(f"balance BETWEEN 0 AND {BALANCE_LIMIT}", name="ck_user_balance"),
        CheckConstraint("last_seq >= 0", name="ck_user_last_seq"),
        CheckConstraint(
            f"debt BETWEEN 0 AND {BALANCE_LIMIT} AND (debt = 0 OR balance = 0)", name="ck_user_debt"
        ),
    )

    id: int = Field(default=None, sa_column=Column(BigIntId, primary_key=True))
    username: str = Field(sa_column=Column(String(32), nullable=False))
    email: str = Field(sa_column=Column(String(254), nullable=False))
    balance: int = Field(sa_column=Column(BigInteger, nullable=False))
    # the newest number of the user's history, which has no gaps
    last_seq: int = Field(sa_column=Column(BigInteger, nullable=False))
    created_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    # coins of reversed top-ups that were spent already: later credits repay it first
    debt: int = Field(sa_column=Column(BigInteger, nullable=False))
    # the newest link of the chain over the user's history; see services/chain.py
    chain_hash: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False))
    # its name and address were replaced then; the history stays
    deleted_at: datetime | None = Field(sa_column=Column(Instant))


class UserRow(NamedTuple):
    id: int
    username: str
    email: str
    balance: int
    last_seq: int
    created_at: datetime
    debt: int = 0
    chain_hash: bytes = NO_HISTORY
    deleted_at: datetime | None = None
