"""The ONLY code that changes balances and quantities: lock, load, decide, write, commit."""

import asyncio
import random
from collections.abc import Collection, Sequence

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
        for attempt in range(ATTEMPTS):
            try:
                return await self._post_once(batch, is_first_try=attempt == 0)
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

    async def _post_once(self, batch: Sequence[Entry], *, is_first_try: bool) -> list[Answer]:
        wanted = _wanted(batch)
        if is_first_try and self._database.posts_without_locks and wanted.is_found_without_locks:
            answers = await self._post_without_locks(batch, wanted)
            if answers is not None:
                return answers
        return await self._post_behind_locks(batch, wanted)

    async def _post_without_locks(
        self, batch: Sequence[Entry], wanted: Wanted
    ) -> list[Answer] | None:
        """Two round trips, and no lock is held while we decide. None: nothing was written, as
        somebody else has moved one of the users meanwhile."""
        settlement: Settlement | None = None
        try:
            async with self._database.posting_connection() as connection:
                found = await posting_postgres.find(connection, wanted)
                if any(user.deleted_at is not None for user in found.users):
                    return None
                settlement, answers = _settled(found, batch)
                changes = settlement.changes()
                if changes.written and not await posting_postgres.write_if_current(
                    connection, found, changes
                ):
                    return None
        except Unavailable as error:
            if settlement is None:
                raise
            if not await self._is_committed(settlement):
                raise ConnectionLost from error
        return answers

    async def _post_behind_locks(self, batch: Sequence[Entry], wanted: Wanted) -> list[Answer]:
        settlement: Settlement | None = None
        answers: list[Answer] = []
        try:
            async with self._database.posting_unit_of_work() as session:
                found = await self._statements.lock_and_find(session, wanted)
                settlement, answers = _settled(found, batch)
                await self._statements.write(session, settlement.changes())
        except CommitOutcomeUnknown:
            if settlement is None or not await self._is_committed(settlement):
                raise ConnectionLost from None
        return answers

    async def _is_committed(self, settlement: Settlement) -> bool:
        """Look behind the users' locks: by then the lost commit has happened or never will."""
        written = {row.id for row in settlement.written}
        settled = {row.settled_hash for row in settlement.settled}
        for attempt in range(ATTEMPTS):
            await asyncio.sleep(FIRST_BACKOFF_SECONDS * 2**attempt)
            try:
                async with self._database.posting_unit_of_work() as session:
                    rows = await self._statements.lock_and_find_transactions(
                        session,
                        [(row.user_id, row.id) for row in settlement.written + settlement.settled],
                    )
                return any(row.id in written or row.settled_hash in settled for row in rows)
            except (ConcurrencyConflict, ConnectionLost, CommitOutcomeUnknown):
                continue
        raise CommitOutcomeUnknown


def _settled(found: Found, batch: Sequence[Entry]) -> tuple[Settlement, list[Answer]]:
    settlement = Settlement(found)
    return settlement, [settlement.settle(entry) for entry in batch]


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
