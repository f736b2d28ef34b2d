"""Checking every invariant on a live database, read-only, at one moment."""

import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from economy.database import Database
from economy.metrics import Metrics
from economy.models.transaction import TransactionRow
from economy.models.verification import VerificationRow
from economy.repositories.verification import (
    broken_rows,
    count_rows,
    insert_verification,
    newest_verification,
)
from economy.repositories.verification_chain import chain_heads, histories_between
from economy.repositories.verification_holdings import HOLDINGS
from economy.repositories.verification_journal import journal
from economy.repositories.verification_targets import TARGETS
from economy.services.chain import ChainWalk

MOST_ROWS = 20  # of one invariant: enough to see what is wrong
USERS_AT_ONCE = 500
JOURNAL = "transaction"

Row = dict[str, Any]
Progress = Callable[[int, int], None]  # told how many rows have been examined, and of how many

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one invariant; `broken_rows` is empty when it holds."""

    name: str
    meaning: str
    table: str
    rows_examined: int
    broken_rows: list[Row]


class VerificationService:
    """For operators and jobs, so nobody is asked for a right."""

    def __init__(self, database: Database, metrics: Metrics) -> None:
        self._database = database
        self._metrics = metrics

    async def verify(
        self, *, most_rows: int = MOST_ROWS, progress: Progress | None = None
    ) -> list[Finding]:
        """One finding per invariant, each with its first `most_rows` broken rows.

        Writers are not held up, and memory is bounded whatever is stored. Raises Unavailable.
        """
        async with self._database.snapshot() as session:
            examined = _examine(
                session,
                self._database.dialect,
                most_rows=most_rows,
                progress=progress or (lambda _done, _total: None),
            )
            return [finding async for finding in examined]

    async def verify_and_record(self) -> VerificationRow:
        """The same, for who asks later; each broken invariant is an error in the log."""
        started_at, transactions, broken = datetime.now(UTC), 0, 0
        for finding in await self.verify():
            if finding.table == JOURNAL:
                transactions = finding.rows_examined
            if finding.broken_rows:
                broken += 1
                logger.error("%s is broken: %s", finding.name, finding.broken_rows)
        row = VerificationRow(started_at, datetime.now(UTC), transactions, broken)
        async with self._database.unit_of_work() as session:
            await insert_verification(session, row)
        return row

    async def newest(self) -> VerificationRow | None:
        """What the last recorded one has found. None: there was none yet."""
        row = await self._database.read(newest_verification)
        if row is not None:
            self._metrics.broken_invariants.set(row.broken_invariants)
            self._metrics.verified_at.set(row.finished_at.timestamp())
        return row


async def _examine(
    session: AsyncSession, dialect: str, *, most_rows: int, progress: Progress
) -> AsyncIterator[Finding]:
    invariants = (*HOLDINGS, *journal(dialect), *TARGETS)
    tables = {JOURNAL, *(invariant.table for invariant in invariants)}
    counts = {table: await count_rows(session, table) for table in tables}
    total, done = counts[JOURNAL] + sum(counts[one.table] for one in invariants), 0
    for invariant in invariants:
        rows = await broken_rows(session, invariant, limit=most_rows)
        done += counts[invariant.table]
        progress(done, total)
        name, meaning, table, *_ = invariant
        yield Finding(name, meaning, table, counts[table], rows)
    broken: list[Row] = []
    async for row in _broken_links(session, lambda walked: progress(done + walked, total)):
        broken.append(row)
        if len(broken) == most_rows:
            break
    yield Finding(
        "journal_is_chained",
        "Each row, as it was written and as it was settled, fits the link before it; the newest "
        "link is the user's.",
        JOURNAL,
        counts[JOURNAL],
        broken,
    )


async def _broken_links(
    session: AsyncSession, progress: Callable[[int], None]
) -> AsyncIterator[Row]:
    """Walks along all histories."""
    walked, after_user_id = 0, 0
    while heads := await chain_heads(session, after_user_id=after_user_id, limit=USERS_AT_ONCE):
        after_user_id = heads[-1][0]
        walks = {user_id: ChainWalk() for user_id, _ in heads}
        async for row in histories_between(session, heads[0][0], after_user_id):
            walked += 1
            for broken in walks[row.user_id].step(row):
                yield _link_problem(broken)
        for user_id, head in heads:
            for broken in walks[user_id].end():
                yield _link_problem(broken)
            if walks[user_id].newest != head:
                yield {"user_id": user_id, "problem": "the newest link is not the user's"}
        progress(walked)


def _link_problem(row: TransactionRow) -> Row:
    return {
        "user_id": row.user_id,
        "seq": row.seq,
        "transaction_id": str(row.id),
        "problem": "the row does not fit its link",
    }
