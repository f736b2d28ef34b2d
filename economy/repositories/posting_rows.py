"""What posting wants to know of the database, what was found, and what shall change."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from economy.models.inventory import InventoryRow
from economy.models.product import ProductRow
from economy.models.transaction import TransactionRow
from economy.models.user import UserRow


class End(NamedTuple):
    """How a pending row is settled."""

    user_id: int
    id: UUID
    status: str
    balance_after: int | None
    debt_after: int | None
    failure_code: str | None
    completed_at: datetime | None
    settled_seq: int | None
    settled_hash: bytes | None


def end_of(row: TransactionRow) -> End:
    return End._make(getattr(row, name) for name in End._fields)


class Wanted(NamedTuple):
    """What the decisions of one batch need to know; every list without doubles."""

    user_ids: list[int]
    items: list[tuple[int, int]]  # (user id, product id)
    keys: list[tuple[int, str, str]]  # (user id, kind, idempotency key)
    references: list[tuple[str, int]]  # (external reference, user id)
    targets: list[tuple[int, UUID]]  # (user id, transaction id)

    @property
    def needs_locks(self) -> bool:
        """A user's `last_seq` does not vouch for references and targets."""
        return bool(self.references or self.targets)

    def items_with(self, targets: Iterable[TransactionRow]) -> list[tuple[int, int]]:
        """Also those that the targets have moved."""
        moved = {(row.user_id, row.product_id) for row in targets if row.product_id is not None}
        return sorted({*self.items, *moved})


class Found(NamedTuple):
    users: list[UserRow]
    products: list[ProductRow]
    items: list[InventoryRow]
    earlier: list[TransactionRow]
    claimed_references: list[str]  # were free, and are this unit of work's now
    targets: list[TransactionRow]  # whose products and items are among the others
    reversed_ids: list[tuple[int, UUID]]  # those of the targets that are reversed already


class Changes(NamedTuple):
    """Rows as they shall be; `unclaimed_references` are given back."""

    users: list[UserRow]
    items: list[InventoryRow]
    written: list[TransactionRow]
    settled: list[TransactionRow]  # were pending
    unclaimed_references: list[str]
