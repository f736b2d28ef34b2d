"""What a batch of operations makes of the state that was loaded for it; in memory, no SQL."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from economy.errors import EconomyError, UserNotFound
from economy.models.inventory import InventoryRow
from economy.models.product import ProductRow
from economy.models.transaction import TransactionRow, TransactionStatus
from economy.models.user import UserRow
from economy.repositories.posting_rows import Changes, Found
from economy.services import rules
from economy.services.operations import (
    Booking,
    Operation,
    decline_of,
    product_id_of,
    quantity_of,
    reference_of,
    request_hash,
)

Answer = Booking | EconomyError


@dataclass(frozen=True, slots=True)
class Entry:
    """An operation on its way into the journal. Its id is kept over retries: that is how an
    outcome is found again after a commit whose answer was lost."""

    operation: Operation
    request_hash: bytes
    transaction_id: UUID

    @classmethod
    def of(cls, operation: Operation) -> "Entry":
        return cls(operation, request_hash(operation), uuid7())

    @property
    def key(self) -> tuple[int, str, str] | None:
        key = self.operation.idempotency_key
        return None if key is None else (self.operation.user_id, self.operation.kind.value, key)


@dataclass(slots=True)
class Settlement:
    """The state that a batch decides on: each entry sees what those before it have done."""

    found: Found
    transactions: list[TransactionRow] = field(init=False, default_factory=list)
    _products: dict[int, ProductRow] = field(init=False)
    _users: dict[int, UserRow] = field(init=False)
    _items: dict[tuple[int, int], InventoryRow] = field(init=False)
    _earlier: dict[tuple[int, str, str], TransactionRow] = field(init=False)
    _free_references: set[str] = field(init=False)
    _changed_items: set[tuple[int, int]] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self._products = {product.id: product for product in self.found.products}
        self._users = {user.id: user for user in self.found.users}
        self._items = {(item.user_id, item.product_id): item for item in self.found.items}
        self._earlier = {
            (row.user_id, row.kind, row.idempotency_key): row
            for row in self.found.earlier
            if row.idempotency_key is not None
        }
        self._free_references = set(self.found.claimed_references)

    def settle(self, entry: Entry) -> Answer:
        try:
            return self._settle(entry)
        except EconomyError as refusal:
            return refusal

    def changes(self) -> Changes:
        changed_users = {row.user_id for row in self.transactions}
        return Changes(
            users=[self._users[user_id] for user_id in sorted(changed_users)],
            items=[self._items[key] for key in sorted(self._changed_items)],
            transactions=self.transactions,
            unused_references=sorted(self._free_references),
        )

    def _settle(self, entry: Entry) -> Booking:
        operation = entry.operation
        user = self._users.get(operation.user_id)
        if user is None:
            raise UserNotFound(str(operation.user_id))
        earlier = None if entry.key is None else self._earlier.get(entry.key)
        if earlier is not None:
            rules.check_replay(entry.request_hash, earlier)
            return self._answer(earlier, user, replayed=True)
        row = self._book(entry, user, rules.decide(operation, self._position(operation, user)))
        return self._answer(row, self._users[user.id], replayed=False)

    def _position(self, operation: Operation, user: UserRow) -> rules.Position:
        product_id, reference = product_id_of(operation), reference_of(operation)
        item = None if product_id is None else self._items.get((user.id, product_id))
        return rules.Position(
            balance=user.balance,
            product=None if product_id is None else self._products.get(product_id),
            held=0 if item is None else item.quantity,
            is_reference_taken=reference is not None and reference not in self._free_references,
        )

    def _book(self, entry: Entry, user: UserRow, verdict: rules.Verdict) -> TransactionRow:
        operation, now = entry.operation, datetime.now(UTC)
        is_completed = verdict.failure_code is None
        row = TransactionRow(
            user_id=user.id,
            id=entry.transaction_id,
            seq=user.last_seq + 1,
            kind=operation.kind.value,
            status=(
                TransactionStatus.COMPLETED if is_completed else TransactionStatus.FAILED
            ).value,
            product_id=product_id_of(operation),
            quantity=quantity_of(operation),
            amount=verdict.amount,
            balance_after=verdict.balance_after,
            quantity_after=verdict.quantity_after,
            failure_code=verdict.failure_code and verdict.failure_code.value,
            actor=operation.actor,
            idempotency_key=operation.idempotency_key,
            request_hash=entry.request_hash,
            external_reference=reference_of(operation),
            created_at=now,
            completed_at=now,
        )
        self.transactions.append(row)
        self._users[user.id] = user._replace(balance=verdict.balance_after, last_seq=row.seq)
        if entry.key is not None:
            self._earlier[entry.key] = row
        if is_completed:
            self._take(row)
        return row

    def _take(self, row: TransactionRow) -> None:
        """What a completed operation changes besides the balance."""
        if row.external_reference is not None:
            self._free_references.discard(row.external_reference)
        if row.product_id is None or row.quantity_after is None:
            return
        key = (row.user_id, row.product_id)
        item = self._items.get(key) or InventoryRow(
            user_id=row.user_id,
            id=uuid7(),
            product_id=row.product_id,
            product_type=self._products[row.product_id].type,
            quantity=0,
            purchased_at=row.created_at,
        )
        self._items[key] = item._replace(quantity=row.quantity_after)
        self._changed_items.add(key)

    def _answer(self, row: TransactionRow, user: UserRow, *, replayed: bool) -> Booking:
        """The answer that this journal row stands for, now and at each replay."""
        if row.status == TransactionStatus.FAILED:
            raise decline_of(row, replayed=replayed)
        item, product = None, None
        if row.product_id is not None:
            product = self._products[row.product_id]
            item = self._items[row.user_id, row.product_id]
            item = item._replace(quantity=row.quantity_after or 0)
        user = user._replace(balance=row.balance_after or 0)
        return Booking(row, user, item, product, replayed)
