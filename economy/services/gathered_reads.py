"""One statement for all who read at the same moment: a DataLoader that keeps nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from copy import copy
from typing import Generic, TypeVar

READS_AT_ONCE = 2  # what arrives meanwhile shares the next one

Key = TypeVar("Key")
Value = TypeVar("Value")


class GatheredReads(Generic[Key, Value]):
    """What is asked for after a read has begun goes into the next: no answer is older than its
    question."""

    def __init__(self, load: Callable[[Collection[Key]], Awaitable[Mapping[Key, Value]]]) -> None:
        self._load = load
        self._waiting: dict[Key, list[asyncio.Future[Value | None]]] = {}
        self._reads: set[asyncio.Task[None]] = set()

    async def read(self, key: Key) -> Value | None:
        """None: there is none. Raises what the load raises."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._start)  # at the end of this tick
        answer: asyncio.Future[Value | None] = loop.create_future()
        self._waiting.setdefault(key, []).append(answer)
        return await answer

    def _start(self) -> None:
        if not self._waiting or len(self._reads) == READS_AT_ONCE:
            return
        waiting, self._waiting = self._waiting, {}
        read = asyncio.create_task(self._run(waiting))
        self._reads.add(read)
        read.add_done_callback(self._end)

    def _end(self, read: asyncio.Task[None]) -> None:
        self._reads.discard(read)
        self._start()

    async def _run(self, waiting: dict[Key, list[asyncio.Future[Value | None]]]) -> None:
        try:
            found = await self._load(waiting.keys())
        except Exception as error:
            for answers in waiting.values():
                for answer in answers:
                    if not answer.done():  # its caller was cancelled
                        answer.set_exception(_own(error))
            return
        for key, answers in waiting.items():
            for answer in answers:
                if not answer.done():
                    answer.set_result(found.get(key))


def _own(error: Exception) -> Exception:
    """Each caller adds to the traceback of what it gets."""
    try:
        own = copy(error)
    except Exception:  # of some kinds none can be made
        return error
    own.__cause__ = error  # where it came from
    return own
