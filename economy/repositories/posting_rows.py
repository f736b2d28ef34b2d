"""What posting wants to know of the database, what was found, and what shall change."""

from typing import NamedTuple

from economy.models.inventory import InventoryRow
from economy.models.product import ProductRow
from economy.models.transaction import TransactionRow
from economy.models.user import UserRow


class Wanted(NamedTuple):
    """What the decisions of one batch need to know; every list without doubles."""

    user_ids: list[int]
    product_ids: list[int]
    items: list[tuple[int, int]]  # (user id, product id)
    keys: list[tuple[int, str, str]]  # (user id, kind, idempotency key)
    references: list[tuple[str, int]]  # (external reference, user id)


class Found(NamedTuple):
    users: list[UserRow]
    products: list[ProductRow]
    items: list[InventoryRow]
    earlier: list[TransactionRow]
    claimed_references: list[str]  # were free, and are this unit of work's now


class Changes(NamedTuple):
    """Rows as they shall be; `unused_references` are given back."""

    users: list[UserRow]
    items: list[InventoryRow]
    transactions: list[TransactionRow]
    unused_references: list[str]
