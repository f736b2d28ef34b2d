"""Limiters as processes have them, and an actor whose every answer is checked against a model."""

import asyncio
import math
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from economy.cache import connect_redis
from economy.errors import RateLimited
from economy.metrics import Metrics
from economy.rate_limits import Act, Limit, RateLimits, Turn
from economy.settings import Settings

SECOND = 1_000_000  # in microseconds, as times are told

Clock = Callable[[], int]


@asynccontextmanager
async def open_limits(
    redis_url: str | None, metrics: Metrics | None = None, **rates: str
) -> AsyncIterator[RateLimits]:
    """As one process has them: with a connection of its own."""
    named = {f"rate_limit_{name}": rate for name, rate in rates.items()}
    values = {"redis_url": redis_url, "redis_timeout_seconds": 10, **named}
    settings, metrics = Settings.model_validate(values), metrics or Metrics()
    client = connect_redis(settings, metrics)
    try:
        yield RateLimits(settings, client, metrics)
    finally:
        if client is not None:
            await client.close()


@asynccontextmanager
async def open_processes(
    count: int, url: str | None, **rates: str
) -> AsyncIterator[list[RateLimits]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(open_limits(url, None, **rates)) for _ in range(count)
        ]


async def take(limits: RateLimits, who: str = "player:1", act: Act = Act.MONEY) -> Turn:
    """A player's. Raises RateLimited."""
    turn = await limits.take(act, who, is_player=True)
    assert turn is not None
    return turn


class Pattern:
    """One actor that asks at random times."""

    def __init__(self, processes: list[RateLimits], limit: Limit, clock: Clock, seed: int) -> None:
        """`clock` is that of whoever counts."""
        self._processes, self._clock = processes, clock
        self._quota, self._window = limit.quota, limit.window_seconds * SECOND
        self._who, self._random = f"player:{seed}", random.Random(seed)
        self._turns: list[Turn] = []  # all that were granted and not given back, oldest first
        self._refused = self._given_back = 0

    async def follow(self, *, until: int) -> None:
        """Until that moment, and until everything has happened at least once."""
        while self._clock() < until or not (self._refused and self._given_back):
            pauses = [0, 0, 0, 0, 0.001, 0.03, 0.3 * self._random.random()]
            await asyncio.sleep(self._random.choice(pauses))
            limits = self._random.choice(self._processes)
            if self._turns and self._random.random() < 0.1:
                turn = self._turns.pop(self._random.randrange(len(self._turns)))
                await limits.give_back(turn)
                self._given_back += 1
            else:
                await self._take(limits)

    async def _take(self, limits: RateLimits) -> None:
        """Granted exactly when there are fewer than the quota in the window before."""
        before = self._clock()
        try:
            turn = await take(limits, self._who)
        except RateLimited as error:
            self._check_refusal(error.retry_after, before)
            return
        assert before <= turn.taken_at <= self._clock()
        times = [*self._in_window(turn.taken_at), turn.taken_at]
        assert turn.remaining == self._quota - len(times) >= 0
        assert turn.reset_seconds == math.ceil((times[0] + self._window - turn.taken_at) / SECOND)
        self._turns.append(turn)

    def _check_refusal(self, retry_after: int, asked_at: int) -> None:
        times = self._in_window(asked_at)
        assert len(times) == self._quota
        earliest = math.ceil((times[0] + self._window - self._clock()) / SECOND)
        latest = math.ceil((times[0] + self._window - asked_at) / SECOND)
        assert max(earliest, 1) <= retry_after <= latest
        self._refused += 1

    def _in_window(self, moment: int) -> list[int]:
        return [turn.taken_at for turn in self._turns if turn.taken_at + self._window > moment]
