"""Values that are unique across users, claimed in one small table keyed by the value."""

from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, Column, PrimaryKeyConstraint, String
from sqlmodel import Field, SQLModel

from economy.models.columns import one_of


class ClaimKind(StrEnum):
    USERNAME = "username"  # in lower case
    EMAIL = "email"  # in lower case
    EXTERNAL_REFERENCE = "external_reference"


class Claim(SQLModel, table=True):
    """No foreign key to `user`: in a cluster a claim lives where its value does, not its user."""

    __tablename__ = "claim"
    __table_args__ = (
        PrimaryKeyConstraint("value", "kind", name="pk_claim"),
        CheckConstraint(one_of("kind", ClaimKind), name="ck_claim_kind"),
    )

    value: str = Field(sa_column=Column(String(255), nullable=False))
    kind: str = Field(sa_column=Column(String(32), nullable=False))
    user_id: int = Field(sa_column=Column(BigInteger, nullable=False))
