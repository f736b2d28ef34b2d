"""What a batch of operations makes of the state that was loaded for it; in memory, no SQL."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from economy.errors import EconomyError, UserNotFound
from economy.models.inventory import InventoryRow
from economy.models.product import ProductRow
from economy.models.transaction import TransactionKind, TransactionRow, TransactionStatus
from economy.models.user import UserRow
from economy.repositories.posting_rows import Changes, Found
from economy.services import rules
from economy.services.chain import link
from economy.services.operations import (
    FOR_DELETED_USERS,
    Booking,
    Operation,
    Reversal,
    TopUpSettlement,
    decline_of,
    product_id_of,
    reference_of,
    request_hash,
    target_id_of,
)

Answer = Booking | EconomyError


@dataclass(frozen=True, slots=True)
class Entry:
    """An operation on its way into the journal. Its id is kept over retries: that is how an
    outcome is found again after a commit whose answer was lost."""

    operation: Operation
    request_hash: bytes
    transaction_id: UUID
    key: tuple[int, str, str] | None  # (user id, kind, idempotency key)

    @classmethod
    def of(cls, operation: Operation) -> "Entry":
        name = operation.idempotency_key
        key = None if name is None else (operation.user_id, operation.kind.value, name)
        return cls(operation, request_hash(operation), uuid7(), key)


@dataclass(slots=True)
class Settlement:
    """The state that a batch decides on: each entry sees what those before it have done."""

    found: Found
    written: list[TransactionRow] = field(init=False, default_factory=list)
    settled: list[TransactionRow] = field(init=False, default_factory=list)
    _products: dict[int, ProductRow] = field(init=False)
    _users: dict[int, UserRow] = field(init=False)
    _items: dict[tuple[int, int], InventoryRow] = field(init=False)
    _earlier: dict[tuple[int, str, str], TransactionRow] = field(init=False)
    _targets: dict[tuple[int, UUID], TransactionRow] = field(init=False)
    _reversed: set[tuple[int, UUID]] = field(init=False)
    _unclaimed: set[str] = field(init=False)
    _freed: dict[str, int] = field(init=False, default_factory=dict)  # whose claim it still is
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
        self._targets = {(row.user_id, row.id): row for row in self.found.targets}
        self._reversed = set(self.found.reversed_ids)
        self._unclaimed = set(self.found.claimed_references)

    def settle(self, entry: Entry) -> Answer:
        try:
            return self._settle(entry)
        except EconomyError as refusal:
            return refusal

    def changes(self) -> Changes:
        changed_users = {row.user_id for row in (*self.written, *self.settled)}
        return Changes(
            users=[self._users[user_id] for user_id in sorted(changed_users)],
            items=[self._items[key] for key in sorted(self._changed_items)],
            written=self.written,
            settled=self.settled,
            unclaimed_references=sorted({*self._unclaimed, *self._freed}),
        )

    def _settle(self, entry: Entry) -> Booking:
        operation = entry.operation
        user = self._users.get(operation.user_id)
        if user is None:
            raise UserNotFound(str(operation.user_id))
        earlier = None if entry.key is None else self._earlier.get(entry.key)
        if earlier is not None:
            rules.check_replay(entry.request_hash, earlier)
            return self._answer(earlier, replayed=True)
        if user.deleted_at is not None and not isinstance(operation, FOR_DELETED_USERS):
            raise UserNotFound(str(operation.user_id))
        position = self._position(operation, user)
        if isinstance(operation, TopUpSettlement):
            return self._settle_top_up(entry, operation, position)
        return self._answer(self._write(entry, rules.decide(operation, position)), replayed=False)

    def _settle_top_up(
        self, entry: Entry, operation: TopUpSettlement, position: rules.Position
    ) -> Booking:
        target = rules.top_up_of(operation, position)
        if rules.is_settled_so(operation, position):
            return self._booking(target, replayed=True)
        verdict = rules.decide(operation, position)
        if target.status != TransactionStatus.PENDING:
            return self._answer(self._write(entry, verdict), replayed=False)
        row = self._settle_row(target, verdict)
        if verdict.failure_code != operation.failure_code:
            raise decline_of(row, replayed=False)
        return self._answer(row, replayed=False)

    def _position(self, operation: Operation, user: UserRow) -> rules.Position:
        target = self._target_of(operation)
        product_id, reference = _product_id(operation, target), reference_of(operation)
        item = None if product_id is None else self._items.get((user.id, product_id))
        return rules.Position(
            balance=user.balance,
            debt=user.debt,
            product=None if product_id is None else self._products.get(product_id),
            held=0 if item is None else item.quantity,
            is_reference_taken=reference is not None and not self._is_free(reference, user.id),
            target=target,
            is_target_reversed=(user.id, target_id_of(operation)) in self._reversed,
        )

    def _is_free(self, reference: str, user_id: int) -> bool:
        """What somebody gives back in this batch, others can claim in a later one."""
        return reference in self._unclaimed or self._freed.get(reference) == user_id

    def _target_of(self, operation: Operation) -> TransactionRow | None:
        target_id = target_id_of(operation)
        return None if target_id is None else self._targets.get((operation.user_id, target_id))

    def _write(self, entry: Entry, verdict: rules.Verdict) -> TransactionRow:
        """A new row, with the next number and link of the user's history."""
        operation, user = entry.operation, self._users[entry.operation.user_id]
        now, seq, is_pending = datetime.now(UTC), user.last_seq + 1, verdict.is_pending
        row = TransactionRow(
            user_id=user.id,
            id=entry.transaction_id,
            seq=seq,
            kind=operation.kind.value,
            status=_status(verdict),
            product_id=_product_id(operation, self._target_of(operation)),
            quantity=verdict.quantity,
            amount=verdict.amount,
            balance_after=None if is_pending else verdict.balance_after,
            quantity_after=verdict.quantity_after,
            failure_code=verdict.failure_code and verdict.failure_code.value,
            actor=operation.actor,
            idempotency_key=operation.idempotency_key,
            request_hash=entry.request_hash,
            external_reference=reference_of(operation),
            created_at=now,
            completed_at=None if is_pending else now,
            debt_after=None if is_pending else verdict.debt_after,
            target_id=target_id_of(operation),
            shortfall=verdict.shortfall,
            settled_seq=None if is_pending else seq,
            hash=b"",
            settled_hash=None,
        )
        row = TransactionRow._make((*row[:-2], link(user.chain_hash, row), None))
        self._move(user, verdict, seq, row.hash)
        self.written.append(row)
        if entry.key is not None:
            self._earlier[entry.key] = row
        if verdict.failure_code is None:
            self._take(row)
        return row

    def _settle_row(self, target: TransactionRow, verdict: rules.Verdict) -> TransactionRow:
        """A pending row comes to its end, with a number and a link of its own."""
        user = self._users[target.user_id]
        row = target._replace(
            status=_status(verdict),
            balance_after=verdict.balance_after,
            debt_after=verdict.debt_after,
            failure_code=verdict.failure_code and verdict.failure_code.value,
            completed_at=datetime.now(UTC),
            settled_seq=user.last_seq + 1,
        )
        row = row._replace(settled_hash=link(user.chain_hash, row))
        self._move(user, verdict, user.last_seq + 1, row.settled_hash or b"")
        self.settled.append(row)
        self._targets[row.user_id, row.id] = row
        if row.idempotency_key is not None:
            self._earlier[row.user_id, row.kind, row.idempotency_key] = row
        if row.external_reference is not None and verdict.failure_code is not None:
            self._freed[row.external_reference] = row.user_id
        return row

    def _move(self, user: UserRow, verdict: rules.Verdict, seq: int, chain_hash: bytes) -> None:
        self._users[user.id] = user._replace(
            balance=verdict.balance_after,
            debt=verdict.debt_after,
            last_seq=seq,
            chain_hash=chain_hash,
        )

    def _take(self, row: TransactionRow) -> None:
        """What an operation that is not declined changes besides the balance."""
        if row.external_reference is not None:
            self._unclaimed.discard(row.external_reference)
            self._freed.pop(row.external_reference, None)
        if row.kind == TransactionKind.REVERSAL and row.target_id is not None:
            self._reversed.add((row.user_id, row.target_id))
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

    def _answer(self, row: TransactionRow, *, replayed: bool) -> Booking:
        """The answer that this journal row stands for, now and at each replay."""
        if row.status == TransactionStatus.FAILED and row.settled_hash is None:
            raise decline_of(row, replayed=replayed)
        return self._booking(row, replayed=replayed)

    def _booking(self, row: TransactionRow, *, replayed: bool) -> Booking:
        item, product = None, None
        if row.product_id is not None:
            product = self._products[row.product_id]
            item = self._items[row.user_id, row.product_id]
            if replayed:
                item = item._replace(quantity=row.quantity_after or 0)
        user = self._users[row.user_id]
        if replayed and row.balance_after is not None and row.debt_after is not None:
            user = user._replace(balance=row.balance_after, debt=row.debt_after)
        return Booking(row, user, item, product, replayed)


def _status(verdict: rules.Verdict) -> str:
    if verdict.is_pending:
        return TransactionStatus.PENDING.value
    is_completed = verdict.failure_code is None
    return (TransactionStatus.COMPLETED if is_completed else TransactionStatus.FAILED).value


def _product_id(operation: Operation, target: TransactionRow | None) -> int | None:
    """A reversal moves the product of its target."""
    if isinstance(operation, Reversal) and target is not None:
        return target.product_id
    return product_id_of(operation)
