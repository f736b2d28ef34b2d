"""The statements of posting: the same three steps in each dialect."""

from collections.abc import Collection
from typing import Any, Protocol
from uuid import UUID

from economy.models.transaction import TransactionRow
from economy.repositories import posting_postgres, posting_sqlite
from economy.repositories.posting_rows import Changes, Found, Wanted


class PostingStatements(Protocol):
    """Given what `Database.posting_unit_of_work` yields: a session, or the driver's connection."""

    async def lock_and_find(self, session: Any, wanted: Wanted) -> Found:
        """Lock the users in the order of their ids, then claim in order, then read."""

    async def write(self, session: Any, changes: Changes) -> None: ...

    async def users_held(self, session: Any, user_ids: Collection[int]) -> set[int]:
        """Those of these users whose rows another unit of work has locked; waits for nobody."""

    async def lock_and_find_transactions(
        self, session: Any, keys: Collection[tuple[int, UUID]]
    ) -> list[TransactionRow]:
        """Those of these (user id, id) that there are, behind the users' locks: whoever held them
        has committed or is gone for good."""


def posting_statements(dialect: str) -> PostingStatements:
    return posting_sqlite if dialect == "sqlite" else posting_postgres
