"""Credentials of game servers: only the SHA-256 of a key is kept."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Column, LargeBinary, PrimaryKeyConstraint, String, UniqueConstraint, Uuid
from sqlmodel import Field, SQLModel

from economy.models.columns import Instant


class ServerKey(SQLModel, table=True):
    __tablename__ = "server_key"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="pk_server_key"),
        UniqueConstraint("key_hash", name="uq_server_key_key_hash"),
    )

    id: UUID = Field(sa_column=Column(Uuid, nullable=False))
    key_hash: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False))
    scopes: str = Field(sa_column=Column(String(255), nullable=False))  # separated by spaces
    created_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    name: str | None = Field(sa_column=Column(String(100)))  # for operators to tell keys apart
    expires_at: datetime | None = Field(sa_column=Column(Instant))  # revoked or replaced: from then
    last_used_at: datetime | None = Field(sa_column=Column(Instant))  # to the minute


class ServerKeyRow(NamedTuple):
    id: UUID
    key_hash: bytes
    scopes: str
    created_at: datetime
    name: str | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
