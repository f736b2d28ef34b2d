"""What each verification of the whole economy has found."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import BigInteger, CheckConstraint, Column, PrimaryKeyConstraint
from sqlmodel import Field, SQLModel

from economy.models.columns import Instant


class Verification(SQLModel, table=True):
    __tablename__ = "verification"
    __table_args__ = (
        PrimaryKeyConstraint("started_at", name="pk_verification"),
        CheckConstraint("broken_invariants >= 0", name="ck_verification_broken_invariants"),
    )

    started_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    finished_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    transactions: int = Field(sa_column=Column(BigInteger, nullable=False))
    broken_invariants: int = Field(sa_column=Column(BigInteger, nullable=False))


class VerificationRow(NamedTuple):
    started_at: datetime
    finished_at: datetime
    transactions: int  # rows of the journal at that moment
    broken_invariants: int
