"""How many coins there were, hour by hour."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, Double, PrimaryKeyConstraint
from sqlmodel import Field, SQLModel

from economy.models.columns import Instant


class Circulation(SQLModel, table=True):
    """For charts: the sums are rounded beyond 2^53, which all balances together may exceed."""

    __tablename__ = "circulation"
    __table_args__ = (PrimaryKeyConstraint("measured_at", name="pk_circulation"),)

    measured_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    coins: float = Field(sa_column=Column(Double, nullable=False))
    owed: float = Field(sa_column=Column(Double, nullable=False))
    users: int = Field(sa_column=Column(BigInteger, nullable=False))


class CirculationRow(NamedTuple):
    measured_at: datetime
    coins: float  # all balances
    owed: float  # all debts
    users: int
