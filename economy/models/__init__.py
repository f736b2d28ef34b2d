"""Tables and their rows: CHECK, UNIQUE, indexes; no behaviour.

Rules that keep one machine and a sharded cluster alike possible: primary keys of per-user tables
start with `user_id`, and so does every foreign key between them; a value that is unique across
users is claimed in `claim`. For each table there is a NamedTuple, the form in which a row travels
through the layers: immutable, typed and cheap to make.
"""

from sqlmodel import SQLModel

from economy.models import (
    analytics,
    circulation,
    claim,
    inventory,
    job,
    product,
    server_key,
    transaction,
    user,
    verification,
)

__all__ = [
    "analytics",
    "circulation",
    "claim",
    "inventory",
    "job",
    "metadata",
    "product",
    "server_key",
    "transaction",
    "user",
    "verification",
]

metadata = SQLModel.metadata
