"""Periodic jobs: up to which moment each has done its work, and when it last ended well."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Column, PrimaryKeyConstraint, String
from sqlmodel import Field, SQLModel

from economy.models.columns import Instant


class JobProgress(SQLModel, table=True):
    """Its row is the job's lock: of several processes that are triggered at once one does it."""

    __tablename__ = "job_progress"
    __table_args__ = (PrimaryKeyConstraint("job", name="pk_job_progress"),)

    job: str = Field(sa_column=Column(String(64), nullable=False))
    done_until: datetime = Field(sa_column=Column(Instant, nullable=False))
    # with or without anything to do
    succeeded_at: datetime | None = Field(sa_column=Column(Instant, nullable=True), default=None)


class JobProgressRow(NamedTuple):
    job: str
    done_until: datetime
    succeeded_at: datetime | None
