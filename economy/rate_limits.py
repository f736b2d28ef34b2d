"""Rate limits: how often an actor may do what. Counted in Redis for all processes together.

A sliding window, exactly: in no stretch of its length are there more than the limit. While Redis
fails each process counts by itself.
"""

import asyncio
import math
import time
from collections import OrderedDict, deque
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from economy.errors import RateLimited
from economy.metrics import Metrics
from economy.redis_client import PREFIX, Command, RedisClient, RedisUnavailable
from economy.settings import Settings

MOST_ACTORS_IN_PROCESS = 20_000


class Act(StrEnum):
    """What is limited. The words stand in the RateLimit headers."""

    MONEY = "money"  # purchase, add-funds, use
    READ = "read"
    FAILED_AUTHENTICATION = "failed-authentication"


@dataclass(frozen=True, slots=True)
class Limit:
    act: Act
    quota: int
    window_seconds: int


Begun = asyncio.Future[list[Any]]  # a turn that has been asked for in Redis


class Turn(NamedTuple):
    """One that was granted: what is left, and how it can be given back."""

    limit: Limit
    who: str
    remaining: int
    reset_seconds: int  # until the oldest in the window no longer counts
    taken_at: int  # in microseconds, by the clock of who counts


# KEYS: when each in the window was, in microseconds, newest first; ARGV: limit, window in
# microseconds. Answers: how many there are with this one (0: refused), how long the oldest of
# them still counts, and when this one was.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local window = tonumber(ARGV[2])
local oldest = redis.call('LINDEX', KEYS[1], -1)
while oldest and oldest + window <= now do
  redis.call('RPOP', KEYS[1])
  oldest = redis.call('LINDEX', KEYS[1], -1)
end
local used = redis.call('LLEN', KEYS[1])
if used >= tonumber(ARGV[1]) then return {0, oldest + window - now, 0} end
redis.call('LPUSH', KEYS[1], string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000))
return {used + 1, (oldest or now) + window - now, now}
"""


class RateLimits:
    def __init__(self, settings: Settings, client: RedisClient | None, metrics: Metrics) -> None:
        self._client = client
        self._in_process: OrderedDict[str, deque[int]] = OrderedDict()
        self._rejections = metrics.rate_limit_rejections
        self._of_players = {
            Act.MONEY: _limit(Act.MONEY, settings.rate_limit_player_money),
            Act.READ: _limit(Act.READ, settings.rate_limit_player_reads),
        }
        self._of_servers = {
            Act.MONEY: _limit(Act.MONEY, settings.rate_limit_server_money),
            Act.READ: _limit(Act.READ, settings.rate_limit_server_reads),
        }
        self._of_addresses = _limit(
            Act.FAILED_AUTHENTICATION, settings.rate_limit_failed_authentication
        )

    def begin(self, act: Act, who: str, *, is_player: bool) -> Begun | None:
        """Take a turn while something else is under way: `take` gets what comes of it."""
        limit = self._limit_of(act, is_player=is_player)
        if limit is None or self._client is None:
            return None
        return self._client.begin([_taking(limit, who)])

    async def take(
        self, act: Act, who: str, *, is_player: bool, begun: Begun | None = None
    ) -> Turn | None:
        """None: no limit is set. Raises RateLimited."""
        limit = self._limit_of(act, is_player=is_player)
        return None if limit is None else await self._take(limit, who, begun)

    def _limit_of(self, act: Act, *, is_player: bool) -> Limit | None:
        return (self._of_players if is_player else self._of_servers)[act]

    async def note_failed_authentication(self, address: str) -> None:
        """Raises RateLimited when there were too many before."""
        if self._of_addresses is not None:
            await self._take(self._of_addresses, address)

    async def give_back(self, turn: Turn) -> None:
        if self._client is not None:
            with suppress(RedisUnavailable):
                await self._client.execute("LREM", _key(turn.limit, turn.who), 1, turn.taken_at)
        times = self._in_process.get(_key(turn.limit, turn.who))
        if times is not None and turn.taken_at in times:
            times.remove(turn.taken_at)

    async def _take(self, limit: Limit, who: str, begun: Begun | None = None) -> Turn:
        used, wait, taken_at = await self._count(limit, who, begun)
        seconds = math.ceil(wait / 1_000_000)
        if used == 0:
            self._rejections.labels(limit.act.value).inc()
            raise RateLimited(seconds, limit.act.value, limit.quota, limit.window_seconds)
        return Turn(limit, who, limit.quota - used, seconds, taken_at)

    async def _count(self, limit: Limit, who: str, begun: Begun | None) -> tuple[int, int, int]:
        if self._client is not None:
            with suppress(RedisUnavailable):
                answers = begun or self._client.begin([_taking(limit, who)])
                [(used, wait, taken_at)] = await answers
                return used, wait, taken_at
        return self._count_in_process(_key(limit, who), limit.quota, _window(limit))

    def _count_in_process(self, key: str, quota: int, window: int) -> tuple[int, int, int]:
        """The same as the script in Redis."""
        now = time.monotonic_ns() // 1_000
        times = self._in_process.setdefault(key, deque())
        self._in_process.move_to_end(key)
        while len(self._in_process) > MOST_ACTORS_IN_PROCESS:
            self._in_process.popitem(last=False)
        while times and times[-1] + window <= now:
            times.pop()
        if len(times) >= quota:
            return 0, times[-1] + window - now, 0
        times.appendleft(now)
        return len(times), times[-1] + window - now, now


def _limit(act: Act, text: str) -> Limit | None:
    """`120/10` is 120 in 10 seconds; nothing is no limit."""
    if not text:
        return None
    quota, window_seconds = text.split("/")
    return Limit(act, int(quota), int(window_seconds))


def _taking(limit: Limit, who: str) -> Command:
    return ("EVAL", _TAKE, 1, _key(limit, who), limit.quota, _window(limit))


def _window(limit: Limit) -> int:
    """In microseconds."""
    return limit.window_seconds * 1_000_000


def _key(limit: Limit, who: str) -> str:
    return f"{PREFIX}:limit:{limit.act.value}:{who}"
