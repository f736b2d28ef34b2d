"""The chain of hashes over a user's history: an old row that is edited no longer fits.

Each event of a history has a number and a link: that a transaction was written, and, of one that
was pending then, that it was settled. A link is the SHA-256 of the link before it and of the row as
the event left it. The newest link also stands on the user's row.
"""

import hashlib
import math
from heapq import heappop, heappush

import orjson

from economy.models.transaction import TransactionRow, TransactionStatus
from economy.models.user import NO_HISTORY

_PLACE = {name: index for index, name in enumerate(TransactionRow._fields)}


def link(previous: bytes, row: TransactionRow) -> bytes:
    """The link of the event that left the row like this."""
    content: list[object] = list(row[: _PLACE["hash"]])  # all before the links themselves
    # drivers have UUID classes of their own, which orjson does not know
    content[_PLACE["id"]] = str(row.id)
    content[_PLACE["target_id"]] = row.target_id and str(row.target_id)
    content[_PLACE["request_hash"]] = row.request_hash.hex()
    return hashlib.sha256(previous + orjson.dumps(content)).digest()


def as_written(row: TransactionRow) -> TransactionRow:
    """The row as it was before it was settled; one that never was pending is as it was."""
    if row.settled_hash is None:
        return row
    return row._replace(
        status=TransactionStatus.PENDING.value,
        balance_after=None,
        debt_after=None,
        failure_code=None,
        completed_at=None,
        settled_seq=None,
    )


class ChainWalk:
    """Goes along one user's history in the order of seq, and finds what does not fit.

    It goes on from the link that a row bears, so that one edited row is one finding, though it may
    have two links.
    """

    def __init__(self) -> None:
        self.newest = NO_HISTORY
        # a heap of those that are yet to be settled: when, which, and whether it is told already
        self._settled_later: list[tuple[int, int, TransactionRow, bool]] = []

    def step(self, row: TransactionRow) -> list[TransactionRow]:
        """The rows, this one or those that were settled before it, whose link does not fit."""
        broken = self._settle_until(row.seq)
        is_broken = not self._fits(as_written(row), row.hash)
        if is_broken:
            broken.append(row)
        if row.settled_seq is not None and row.settled_hash is not None:
            heappush(self._settled_later, (row.settled_seq, row.seq, row, is_broken))
        return broken

    def end(self) -> list[TransactionRow]:
        """The same of those that were settled after all others were written."""
        return self._settle_until(math.inf)

    def _settle_until(self, seq: float) -> list[TransactionRow]:
        broken = []
        while self._settled_later and self._settled_later[0][0] < seq:
            _, _, row, is_told = heappop(self._settled_later)
            if not self._fits(row, row.settled_hash) and not is_told:
                broken.append(row)
        return broken

    def _fits(self, row: TransactionRow, stored: bytes | None) -> bool:
        expected, self.newest = link(self.newest, row), bytes(stored or b"")
        return expected == self.newest
