"""Checking every invariant on a live database, read-only, at one moment."""

import logging
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from economy.database import Database
from economy.models.transaction import TransactionRow
from economy.models.user import NO_HISTORY
from economy.models.verification import VerificationRow
from economy.repositories.verification import (
    Invariant,
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
USERS_AT_ONCE = 1_000
EVENTS_AT_ONCE = 200_000  # that are sorted together, by the database: tens of megabytes
LEAST_ID, GREATEST_ID = -(2**63), 2**63 - 1
USERS, JOURNAL = "user", "transaction"
CHAIN = (
    "journal_is_chained",
    "Each row, as it was written and as it was settled, fits the link before it; the newest link "
    "is the user's.",
    JOURNAL,
)

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

    def __init__(self, database: Database, *, events_at_once: int = EVENTS_AT_ONCE) -> None:
        self._database = database
        self._events_at_once = events_at_once

    async def verify(
        self, *, most_rows: int = MOST_ROWS, progress: Progress | None = None
    ) -> list[Finding]:
        """One finding per invariant, each with its first `most_rows` broken rows.

        Writers are not held up, and memory is bounded whatever is stored. Raises Unavailable.
        """
        async with self._database.snapshot() as session:
            examination = _Examination(
                session, self._database.dialect, most_rows, self._events_at_once
            )
            return await examination.run(progress or (lambda _done, _total: None))

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
        return await self._database.read(newest_verification)


class _Examination:
    """All invariants in one snapshot: first what reads a table at once, then users in pages."""

    def __init__(
        self, session: AsyncSession, dialect: str, most_rows: int, events_at_once: int
    ) -> None:
        self._session = session
        self._most_rows = most_rows
        self._events_at_once = events_at_once
        self._invariants = (*HOLDINGS, *journal(dialect), *TARGETS)
        self._broken: dict[str, list[Row]] = {one.name: [] for one in self._invariants}
        self._broken_links: list[Row] = []

    async def run(self, progress: Progress) -> list[Finding]:
        tables = {JOURNAL, USERS, *(invariant.table for invariant in self._invariants)}
        counts = {table: await count_rows(self._session, table) for table in sorted(tables)}
        at_once = [one for one in self._invariants if not one.is_by_user]
        by_user = [one for one in self._invariants if one.is_by_user]
        rounds = len(by_user) + 1  # and the walk along the chains
        events = counts[JOURNAL] + counts[USERS]
        total, done = sum(counts[one.table] for one in at_once) + events * rounds, 0
        for invariant in at_once:
            await self._look(invariant)
            done += counts[invariant.table]
            progress(done, total)
        async for page in _pages(self._session, self._events_at_once):
            for invariant in by_user:
                await self._look(invariant, (page.first, page.last))
            done += await self._walk(page) * rounds
            progress(done, total)
        progress(total, total)
        findings = [
            Finding(one.name, one.meaning, one.table, counts[one.table], self._broken[one.name])
            for one in self._invariants
        ]
        return [*findings, Finding(*CHAIN, counts[JOURNAL], self._broken_links)]

    async def _look(self, invariant: Invariant, users: tuple[int, int] | None = None) -> None:
        found = self._broken[invariant.name]
        limit = self._most_rows - len(found)
        if limit > 0:
            found += await broken_rows(self._session, invariant, limit=limit, users=users)

    async def _walk(self, page: "_Page") -> int:
        """Along the histories of its users. Returns how many rows and users there were."""
        events, walk, user_id = len(page.heads), ChainWalk(), None
        async for rows in histories_between(self._session, page.first, page.last):
            events += len(rows)
            for row in rows:
                if row.user_id != user_id:
                    self._end(walk, user_id, page.heads)
                    walk, user_id = ChainWalk(), row.user_id
                self._tell(map(_link_problem, walk.step(row)))
        self._end(walk, user_id, page.heads)
        # of whom not one row was found
        self._tell(_head_problem(id_) for id_, head in page.heads.items() if head != NO_HISTORY)
        return events

    def _end(self, walk: ChainWalk, user_id: int | None, heads: dict[int, bytes]) -> None:
        if user_id is None:
            return
        self._tell(map(_link_problem, walk.end()))
        # rows of nobody are for another invariant
        if walk.newest != heads.pop(user_id, walk.newest):
            self._tell([_head_problem(user_id)])

    def _tell(self, problems: Iterable[Row]) -> None:
        room = self._most_rows - len(self._broken_links)
        self._broken_links += islice(problems, room)


@dataclass(frozen=True, slots=True)
class _Page:
    """All users with ids from `first` to `last`, and the newest link of each."""

    first: int
    last: int
    heads: dict[int, bytes]


async def _pages(session: AsyncSession, events_at_once: int) -> AsyncIterator[_Page]:
    """Of so many users that their histories are about as long as that. No id is left out, though
    nobody may have it: a row that names it would not be examined."""
    first, heads, events, after_user_id = LEAST_ID, dict[int, bytes](), 0, LEAST_ID
    while found := await chain_heads(session, after_user_id=after_user_id, limit=USERS_AT_ONCE):
        for head in found:
            heads[head.user_id] = head.chain_hash
            events += 1 + max(head.last_seq, 0)
            if events >= events_at_once:
                yield _Page(first, head.user_id, heads)
                first, heads, events = head.user_id + 1, {}, 0
        after_user_id = found[-1].user_id
    yield _Page(first, GREATEST_ID, heads)


def _link_problem(row: TransactionRow) -> Row:
    return {
        "user_id": row.user_id,
        "seq": row.seq,
        "transaction_id": str(row.id),
        "problem": "the row does not fit its link",
    }


def _head_problem(user_id: int) -> Row:
    return {"user_id": user_id, "problem": "the newest link is not the user's"}
