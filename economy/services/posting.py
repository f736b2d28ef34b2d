"""The ONLY code that changes balances and quantities: lock, load, decide, write, commit."""

import asyncio
import random
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from economy.database import Database
from economy.errors import (
    CommitOutcomeUnknown,
    ConcurrencyConflict,
    ConnectionLost,
    LockNotGranted,
    Unavailable,
)
from economy.repositories import posting_postgres
from economy.repositories.posting import posting_statements
from economy.repositories.posting_rows import Found, Wanted
from economy.services.operations import product_id_of, reference_of, target_id_of
from economy.services.settlement import Answer, Entry, Settlement

ATTEMPTS = 5
FIRST_BACKOFF_SECONDS = 0.02


class Posting:
    """Posts batches. An operation of a user must not be in two batches at once: it would wait."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._statements = posting_statements(database.dialect)

    async def post(self, batch: Sequence[Entry]) -> list[Answer]:
        """One unit of work for the batch; an answer for each entry, in order.

        Raises LockNotGranted when somebody holds one of the users, ConcurrencyConflict or
        Unavailable when the database keeps failing, and whatever else a bug or a refusal of the
        database raises: then nothing of the batch was done.
        """
        wanted, lost = _wanted(batch), None
        for attempt in range(ATTEMPTS):
            try:
                if attempt == 0 and self._database.posts_without_locks and not wanted.needs_locks:
                    decided = await self._post_without_locks(batch, wanted)
                    if decided.is_written:
                        return decided.answers
                    lost = decided if decided.is_written is None else None
                return await self._post_behind_locks(batch, wanted, lost)
            except LockNotGranted:  # it has waited long enough
                raise
            except (ConcurrencyConflict, ConnectionLost):
                if attempt == ATTEMPTS - 1:
                    raise
            await asyncio.sleep(FIRST_BACKOFF_SECONDS * 2**attempt * random.uniform(0.5, 1.5))
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def users_held(self, user_ids: Collection[int]) -> set[int]:
        """Those of these users whose rows somebody holds right now. Raises like `post`."""
        async with self._database.posting_unit_of_work() as session:
            return await self._statements.users_held(session, user_ids)

    async def _post_without_locks(self, batch: Sequence[Entry], wanted: Wanted) -> "_Decided":
        """Two round trips, and no lock is held while we decide.

        Nothing is written if somebody has moved one of the users meanwhile, or one is deleted.
        """
        decided: _Decided | None = None
        try:
            async with self._database.posting_connection() as connection:
                found = await posting_postgres.find(connection, wanted)
                decided = _decided(found, batch)
                changes = decided.settlement.changes()
                is_written = not changes.written or await posting_postgres.write_if_current(
                    connection, found, changes
                )
        except Unavailable:
            if decided is None:
                raise
            return decided
        return decided._replace(is_written=is_written)

    async def _post_behind_locks(
        self, batch: Sequence[Entry], wanted: Wanted, lost: "_Decided | None"
    ) -> list[Answer]:
        """`lost` is written by now, or never will be once the users have moved."""
        decided: _Decided | None = None
        try:
            async with self._database.posting_unit_of_work() as session:
                if lost is not None and await self._is_there(session, lost.settlement):
                    return lost.answers
                decided = _decided(await self._statements.lock_and_find(session, wanted), batch)
                await self._statements.write(session, decided.settlement.changes())
        except CommitOutcomeUnknown:
            if decided is None or not await self._is_committed(decided.settlement):
                raise ConnectionLost from None
        return decided.answers

    async def _is_committed(self, settlement: Settlement) -> bool:
        """Look behind the users' locks: by then the lost commit has happened or never will."""
        for attempt in range(ATTEMPTS):
            await asyncio.sleep(FIRST_BACKOFF_SECONDS * 2**attempt)
            try:
                async with self._database.posting_unit_of_work() as session:
                    return await self._is_there(session, settlement)
            except (ConcurrencyConflict, ConnectionLost, CommitOutcomeUnknown):
                continue
        raise CommitOutcomeUnknown

    async def _is_there(self, session: Any, settlement: Settlement) -> bool:
        """Locks the users."""
        written = {row.id for row in settlement.written}
        settled = {row.settled_hash for row in settlement.settled}
        rows = await self._statements.lock_and_find_transactions(
            session, [(row.user_id, row.id) for row in settlement.written + settlement.settled]
        )
        return any(row.id in written or row.settled_hash in settled for row in rows)


class _Decided(NamedTuple):
    settlement: Settlement
    answers: list[Answer]
    is_written: bool | None = None  # None: unknown


def _decided(found: Found, batch: Sequence[Entry]) -> _Decided:
    settlement = Settlement(found)
    return _Decided(settlement, [settlement.settle(entry) for entry in batch])


def _wanted(batch: Sequence[Entry]) -> Wanted:
    operations = [entry.operation for entry in batch]
    items = {
        (operation.user_id, product_id)
        for operation in operations
        if (product_id := product_id_of(operation)) is not None
    }
    references = {
        reference: operation.user_id
        for operation in operations
        if (reference := reference_of(operation)) is not None
    }
    targets = {
        (operation.user_id, target_id)
        for operation in operations
        if (target_id := target_id_of(operation)) is not None
    }
    return Wanted(
        user_ids=sorted({operation.user_id for operation in operations}),
        items=sorted(items),
        keys=sorted({key for entry in batch if (key := entry.key) is not None}),
        references=sorted(references.items()),
        targets=sorted(targets),
    )
