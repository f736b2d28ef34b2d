"""A DataLoader for writes: operations that arrive while a batch is running form the next one.

No timer, so a lone operation waits for nobody. A user's operations stay in order and never stand in
two running batches, so a hot user holds up nobody else. Nor does one whose row somebody else keeps
locked: until that is over its operations are posted apart from all others.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from contextvars import Context, copy_context
from copy import copy
from dataclasses import dataclass
from functools import cache

from economy.errors import EconomyError, LockNotGranted, Unavailable
from economy.metrics import Metrics
from economy.services.operations import Booking, Operation, coins_moved, reference_of
from economy.services.posting import Posting
from economy.services.settlement import Answer, Entry

HELD_LANES = 2  # for users whose rows others keep locked; each holds a connection

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting:
    entry: Entry
    answer: asyncio.Future[Booking]
    since: float  # by the loop's clock
    context: Context  # of who asked: logs and traces of its batch are a part of that

    @property
    def user_id(self) -> int:
        return self.entry.operation.user_id

    @property
    def has_reference(self) -> bool:
        return reference_of(self.entry.operation) is not None


class PostingQueue:
    """`before_answer` is told the users of a batch after its commit, before any caller is."""

    def __init__(
        self,
        posting: Posting,
        before_answer: Callable[[Collection[int]], Awaitable[None]],
        *,
        batch_size: int,
        lanes: int,
        limit: int,
        metrics: Metrics,
    ) -> None:
        self._posting = posting
        self._before_answer = before_answer
        self._batch_size = batch_size
        self._lanes = lanes
        self._limit = limit
        self._metrics = metrics
        # to find a counter by its labels takes longer than to count
        self._counter_of = cache(metrics.operations.labels)
        self._minted_of = cache(metrics.coins_minted.labels)
        self._spent_of = cache(metrics.coins_spent.labels)
        self._waiting: dict[int, deque[_Waiting]] = {}  # by user; a running user's included
        self._ready: deque[int] = deque()  # users that wait and do not run
        self._held: set[int] = set()  # users whose rows were locked by others the last time
        self._held_ready: deque[int] = deque()  # those of them that wait and do not run
        self._held_batches: set[asyncio.Task[None]] = set()
        self._length = 0
        self._batches: set[asyncio.Task[None]] = set()

    async def post(self, operation: Operation) -> Booking:
        """Raises the decline or refusal; Unavailable at once when too many wait already.

        A caller that is cancelled meanwhile does not undo its operation.
        """
        if self._length >= self._limit:
            raise Unavailable
        loop = asyncio.get_running_loop()
        waiting = _Waiting(Entry.of(operation), loop.create_future(), loop.time(), copy_context())
        self._length += 1
        self._metrics.queue_length.set(self._length)
        if operation.user_id not in self._waiting:
            self._waiting[operation.user_id] = deque()
            self._make_ready(operation.user_id)
        self._waiting[operation.user_id].append(waiting)
        # at the end of this tick, so that what arrives together is posted together
        loop.call_soon(self._start_batches)
        return await waiting.answer

    async def drain(self) -> None:
        """Wait until everything that was accepted has been answered."""
        while self._waiting or self._batches or self._held_batches:
            self._start_batches()
            await asyncio.wait(self._batches | self._held_batches)

    async def abandon(self) -> None:
        """Leave unanswered what was accepted and is not answered yet."""
        self._ready.clear()
        self._held_ready.clear()
        self._waiting.clear()
        running = self._batches | self._held_batches
        for batch in running:
            batch.cancel()
        if running:
            await asyncio.wait(running)

    def _start_batches(self) -> None:
        while self._ready and len(self._batches) < self._lanes:
            self._start_batch(self._batches, *self._take_batch(self._ready))
        while self._held_ready and len(self._held_batches) < HELD_LANES:
            alone = deque([self._held_ready.popleft()])
            self._start_batch(self._held_batches, *self._take_batch(alone))

    def _start_batch(
        self, batches: set[asyncio.Task[None]], users: list[int], batch: list[_Waiting]
    ) -> None:
        task = asyncio.create_task(self._run(users, batch), context=batch[0].context)
        batches.add(task)
        task.add_done_callback(batches.discard)
        task.add_done_callback(lambda _: self._start_batches())

    def _take_batch(self, ready: deque[int]) -> tuple[list[int], list[_Waiting]]:
        """From each ready user in turn all that fits; a reference is posted once in a batch."""
        users: list[int] = []
        batch: list[_Waiting] = []
        references: set[str] = set()
        while ready and len(batch) < self._batch_size:
            users.append(ready.popleft())
            mine = self._waiting[users[-1]]
            while mine and len(batch) < self._batch_size:
                reference = reference_of(mine[0].entry.operation)
                if reference in references:
                    break
                if reference is not None:
                    references.add(reference)
                batch.append(mine.popleft())
        self._length -= len(batch)
        self._metrics.queue_length.set(self._length)
        now = asyncio.get_running_loop().time()
        for waiting in batch:
            self._metrics.queue_seconds.observe(now - waiting.since)
        return users, batch

    async def _run(self, users: list[int], batch: list[_Waiting]) -> None:
        try:
            await self._answer(batch)
        finally:
            for user_id in users:
                if self._waiting.get(user_id):
                    self._make_ready(user_id)
                else:
                    self._waiting.pop(user_id, None)

    def _make_ready(self, user_id: int) -> None:
        (self._held_ready if user_id in self._held else self._ready).append(user_id)

    async def _answer(self, batch: list[_Waiting], *, is_first_try: bool = True) -> None:
        self._metrics.batch_size.observe(len(batch))
        answers = await self._post(batch, is_first_try=is_first_try)
        if answers is None:
            return
        try:
            await self._before_answer(_users_of(batch))
        except Exception:  # a bug there must not keep back what has been committed
            logger.exception("a batch of %d is answered all the same", len(batch))
        for waiting, answer in zip(batch, answers, strict=True):
            self._count(waiting.entry.operation.kind.value, answer)
            _settle(waiting, answer)

    def _count(self, kind: str, answer: Answer) -> None:
        self._counter_of(kind, _outcome(answer)).inc()
        if isinstance(answer, Booking) and not answer.replayed:
            coins = coins_moved(answer.transaction)
            if coins > 0:
                self._minted_of(answer.transaction.kind).inc(coins)
            elif coins < 0:
                self._spent_of(answer.transaction.kind).inc(-coins)

    async def _post(self, batch: list[_Waiting], *, is_first_try: bool) -> list[Answer] | None:
        """None: it is answered in parts."""
        try:
            answers = await self._posting.post([waiting.entry for waiting in batch])
        except EconomyError as error:
            is_held_up = is_first_try and isinstance(error, LockNotGranted)
            parts = await self._apart(batch) if is_held_up else None
            if parts is None:
                return [copy(error) for _ in batch]
            for part in parts:
                await self._answer(part, is_first_try=False)
            return None
        except Exception as error:
            if len(batch) == 1:
                _settle(batch[0], error)
                return None
            logger.warning("a batch of %d failed: one by one", len(batch), exc_info=error)
            for waiting in batch:
                await self._answer([waiting])
            return None
        self._held -= _users_of(batch)
        return answers

    async def _apart(self, batch: list[_Waiting]) -> list[list[_Waiting]] | None:
        """The batches that are worth another try. None: the only user is held, it was in vain.

        What waits for a user that is held goes back into the queue, to be posted apart from others.
        """
        users = _users_of(batch)
        try:
            held = await self._posting.users_held(users)
        except EconomyError:
            held = set()
        self._held |= held
        if held and len(users) == 1:
            return None
        for waiting in reversed(batch):
            if waiting.user_id in held:
                self._waiting[waiting.user_id].appendleft(waiting)
                self._length += 1
        self._metrics.queue_length.set(self._length)
        free = [waiting for waiting in batch if waiting.user_id not in held]
        if held:
            return [free] if free else []
        # then somebody may hold an external reference
        alone = [[waiting] for waiting in free if waiting.has_reference]
        together = [waiting for waiting in free if not waiting.has_reference]
        return [together, *alone] if together else alone


def _users_of(batch: list[_Waiting]) -> set[int]:
    return {waiting.user_id for waiting in batch}


def _outcome(answer: Answer) -> str:
    if isinstance(answer, EconomyError):
        return answer.code.value
    return "replayed" if answer.replayed else "completed"


def _settle(waiting: _Waiting, answer: Booking | Exception) -> None:
    if waiting.answer.done():  # its caller was cancelled
        return
    if isinstance(answer, Exception):
        waiting.answer.set_exception(answer)
    else:
        waiting.answer.set_result(answer)
