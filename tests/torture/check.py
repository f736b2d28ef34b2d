"""After a round: what clients were told against what the database holds."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from economy.models.inventory import Inventory
from economy.models.transaction import Transaction, TransactionRow
from economy.models.user import User
from economy.repositories.tables import columns_of, table_of
from economy.services import Services
from tests.torture.load import Acknowledged
from tests.torture.operations import Kind, Outcome, coins_moved, items_moved

# what a pending row still changes
SETTLED_LATER = {"status", "balance_after", "debt_after", "failure_code", "completed_at"}
ASKED = {
    "amount": "amount",
    "quantity": "quantity",
    "productId": "product_id",
    "externalReference": "external_reference",
    "transactionId": "target_id",
}


@dataclass
class Findings:
    lost: int = 0  # acknowledged, and not in the journal
    doubled: int = 0  # in the journal, and not for an acknowledged operation of its own
    problems: list[str] = field(default_factory=list)
    is_verified: bool = False

    @property
    def are_good(self) -> bool:
        return self.is_verified and not (self.lost or self.doubled or self.problems)


@dataclass(frozen=True)
class Stored:
    rows: list[TransactionRow]
    worth: dict[int, int]  # of each user: balance less debt
    held: dict[tuple[int, int], int]  # of user and product

    @classmethod
    async def load(cls, services: Services, user_ids: Sequence[int]) -> "Stored":
        journal, user, item = (table_of(table) for table in (Transaction, User, Inventory))
        columns = columns_of(Transaction, TransactionRow)
        async with services.database.unit_of_work() as session:
            rows = await session.execute(select(*columns).where(journal.c.user_id.in_(user_ids)))
            worth = await session.execute(
                select(user.c.id, user.c.balance - user.c.debt).where(user.c.id.in_(user_ids))
            )
            held = await session.execute(
                select(item.c.user_id, item.c.product_id, item.c.quantity).where(
                    item.c.user_id.in_(user_ids), item.c.quantity > 0
                )
            )
            return cls(
                [TransactionRow._make(row) for row in rows],
                {row[0]: row[1] for row in worth},
                {(user_id, product_id): quantity for user_id, product_id, quantity in held},
            )


async def check(
    services: Services, user_ids: Sequence[int], acknowledged: Sequence[Acknowledged]
) -> Findings:
    findings = compare(await Stored.load(services, user_ids), acknowledged)
    broken = [one for one in await services.verification.verify() if one.broken_rows]
    findings.is_verified = not broken
    findings.problems += [f"{one.name}: {one.broken_rows}" for one in broken]
    return findings


def compare(stored: Stored, acknowledged: Sequence[Acknowledged]) -> Findings:
    findings = Findings()
    unexplained = _compare_rows(stored.rows, acknowledged, findings)
    findings.doubled += len(unexplained) + _repeated_effects(stored.rows)
    findings.problems += [f"nobody was told of {row}" for row in unexplained]
    worth, held = Counter[int](), Counter[tuple[int, int]]()
    for one in acknowledged:
        worth[one.operation.user_id] += coins_moved(one.operation, one.outcome)
        if (moved := items_moved(one.operation, one.outcome)) is not None:
            held[one.operation.user_id, moved[0]] += moved[1]
    for user_id, coins in stored.worth.items():
        if worth[user_id] != coins:
            findings.problems.append(
                f"user {user_id}: the answers add up to {worth[user_id]} coins, {coins} are there"
            )
    if {key: count for key, count in held.items() if count} != stored.held:
        findings.problems.append(f"the answers add up to {held}, {stored.held} are there")
    return findings


def _compare_rows(
    rows: Sequence[TransactionRow], acknowledged: Sequence[Acknowledged], findings: Findings
) -> list[TransactionRow]:
    """Each answer with its row. Those rows are left that are of no answer."""
    by_key: dict[tuple[int, str, str | None], list[TransactionRow]] = defaultdict(list)
    by_id = {(row.user_id, str(row.id)): row for row in rows}
    for row in rows:
        by_key[row.user_id, row.kind, row.idempotency_key].append(row)
    left = {row.id: row for row in rows}
    for one in acknowledged:
        operation, outcome = one.operation, one.outcome
        found: TransactionRow | None
        if operation.is_settlement and outcome.code is None:
            found = by_id.get((operation.user_id, operation.target_id or ""))
        else:
            found = next(iter(by_key[operation.journal_key]), None)
            if found is not None:
                left.pop(found.id, None)
        if found is None:
            findings.lost += 1
            findings.problems.append(f"lost: {one}")
        elif different := _differences(one, found):
            findings.problems.append(f"{one} was told, {found} is there: {different}")
    return list(left.values())


def _differences(one: Acknowledged, row: TransactionRow) -> set[str]:
    """The names of what was told, or asked for, and is otherwise in the journal."""
    stored = row._asdict() | {"id": str(row.id)}
    stored["target_id"] = None if row.target_id is None else str(row.target_id)
    told: dict[str, Any] = dict(_told(one.operation.kind, one.outcome))
    if not one.operation.is_settlement:
        for name, column in ASKED.items():
            # what is taken back, and what a decline says of it, its target tells
            if name in one.operation.asked:
                asked = one.operation.asked[name]
                told[column] = int(asked) if column == "product_id" else asked
    return {name for name, value in told.items() if stored[name] != value}


def _told(kind: Kind, outcome: Outcome) -> dict[str, Any]:
    if outcome.code is not None:
        return {"status": "failed", "failure_code": outcome.code}
    if kind is not Kind.BEGIN:
        return outcome.transaction
    return {name: told for name, told in outcome.transaction.items() if name not in SETTLED_LATER}


def _repeated_effects(rows: Sequence[TransactionRow]) -> int:
    """More than once by one key, for one external reference, or undoing one transaction."""
    keys = Counter((row.user_id, row.kind, row.idempotency_key) for row in rows)
    references = Counter(
        row.external_reference
        for row in rows
        if row.external_reference is not None and row.status != "failed"
    )
    reversals = Counter(
        row.target_id for row in rows if row.kind == "reversal" and row.status == "completed"
    )
    counters: tuple[Counter[Any], ...] = (keys, references, reversals)
    return sum(count - 1 for counter in counters for count in counter.values())
