"""Checking every invariant on a live database, read-only, at one moment."""

from dataclasses import dataclass
from typing import Any

from economy.database import Database
from economy.repositories.verification import broken_rows, count_rows
from economy.repositories.verification_holdings import HOLDINGS
from economy.repositories.verification_journal import journal

MOST_ROWS = 20  # of one invariant: enough to see what is wrong


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one invariant; `broken_rows` is empty when it holds."""

    name: str
    meaning: str
    rows_examined: int
    broken_rows: list[dict[str, Any]]


class VerificationService:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def verify(self, *, most_rows: int = MOST_ROWS) -> list[Finding]:
        """One finding per invariant, each with its first `most_rows` broken rows.

        For operators, so nobody is asked for a right. Writers are not held up. Raises Unavailable.
        """
        invariants = (*HOLDINGS, *journal(self._database.dialect))
        async with self._database.snapshot() as session:
            tables = {invariant.table for invariant in invariants}
            counts = {table: await count_rows(session, table) for table in tables}
            return [
                Finding(
                    invariant.name,
                    invariant.meaning,
                    counts[invariant.table],
                    await broken_rows(session, invariant, limit=most_rows),
                )
                for invariant in invariants
            ]
