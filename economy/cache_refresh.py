"""A value that is dear to compute: one process computes it anew, all others serve the old one."""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from economy.metrics import Metrics
from economy.redis_client import PREFIX, RedisClient, RedisUnavailable

LOCK_TTL_SECONDS = 3  # of a process that died; one that computes holds on to it
LOOK_AGAIN_SECONDS = 0.05
# How long an old value is there to be served while the new one is computed.
OLD_VALUE_TTL_SECONDS = 24 * 3600

logger = logging.getLogger(__name__)

Compute = Callable[[], Awaitable[bytes]]

# KEYS: value, mark of freshness, lock; ARGV: lock's token, value, its lifetime, that of freshness.
# A lock that was lost to another: that one's value counts.
_STORE = """
if redis.call('GET', KEYS[3]) == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
  redis.call('SET', KEYS[2], '', 'EX', ARGV[4])
end
"""
# KEYS: lock; ARGV: its token, lifetime.
_HOLD = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('EXPIRE', KEYS[1], ARGV[2]) end"
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class RefreshedValue:
    """In Redis for all processes; without it, or while it fails, each process has its own."""

    def __init__(
        self,
        client: RedisClient | None,
        compute: Compute,
        *,
        name: str,
        ttl_seconds: int,
        metrics: Metrics,
    ) -> None:
        self._client = client
        self._compute = compute
        self._ttl_seconds = ttl_seconds
        self._value_key = f"{PREFIX}:{{{name}}}"  # the braces keep all three on one cluster node
        self._fresh_key = f"{self._value_key}:fresh"
        self._lock_key = f"{self._value_key}:lock"
        self._hits = metrics.cache_reads.labels(name, "hit")
        self._misses = metrics.cache_reads.labels(name, "miss")
        self._own_value: bytes | None = None
        self._own_fresh_until = 0.0
        self._refresh: asyncio.Task[bytes] | None = None

    async def read(self) -> bytes:
        """Raises what computing it raises, when there is no old value."""
        value, is_fresh = await self._find()
        if value is not None and (is_fresh or self._refresh is not None):
            self._hits.inc()
            return value
        self._misses.inc()
        if self._refresh is None:
            self._refresh = asyncio.create_task(self._replace(value))
            self._refresh.add_done_callback(self._end_refresh)
        # a caller that goes away must not end it for the others
        return await asyncio.shield(self._refresh)

    def _end_refresh(self, refresh: asyncio.Task[bytes]) -> None:
        self._refresh = None
        if not refresh.cancelled():
            refresh.exception()  # told to the callers, if there are any left

    async def _find(self) -> tuple[bytes | None, bool]:
        """The value, and whether it is fresh."""
        if self._client is not None:
            with suppress(RedisUnavailable):
                value, fresh = await self._client.execute("MGET", self._value_key, self._fresh_key)
                if value is not None:
                    return value, fresh is not None
                return self._own_value, False  # Redis has lost it
        return self._own_value, self._is_own_fresh

    async def _replace(self, old: bytes | None) -> bytes:
        try:
            if self._client is not None:
                with suppress(RedisUnavailable):
                    return await self._replace_for_all(self._client, old)
            if self._own_value is not None and self._is_own_fresh:
                return self._own_value
            return await self._compute_own()
        except Exception:
            if old is None:
                raise
            logger.warning("the old value of %s is served on", self._value_key, exc_info=True)
            return old

    async def _replace_for_all(self, client: RedisClient, old: bytes | None) -> bytes:
        """Compute it unless another process does: then serve the old one, or wait for the new."""
        token = secrets.token_hex(8)
        while not await client.execute("SET", self._lock_key, token, "NX", "EX", LOCK_TTL_SECONDS):
            if old is not None:
                return old
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            old, _ = await self._find()
        try:
            current, is_fresh = await self._find()
            if current is not None and is_fresh:  # another was done just before
                return current
            value = await self._compute_locked(client, token)
            lifetimes = (self._ttl_seconds + OLD_VALUE_TTL_SECONDS, self._ttl_seconds)
            keys = (self._value_key, self._fresh_key, self._lock_key)
            with suppress(RedisUnavailable):  # this process has its own
                await client.execute("EVAL", _STORE, 3, *keys, token, value, *lifetimes)
            return value
        finally:
            with suppress(RedisUnavailable):  # it ends by itself
                await client.execute("EVAL", _RELEASE, 1, self._lock_key, token)

    async def _compute_locked(self, client: RedisClient, token: str) -> bytes:
        holding = asyncio.create_task(self._hold_lock(client, token))
        try:
            return await self._compute_own()
        finally:
            holding.cancel()

    async def _hold_lock(self, client: RedisClient, token: str) -> None:
        while True:
            await asyncio.sleep(LOCK_TTL_SECONDS / 3)
            with suppress(RedisUnavailable):
                await client.execute("EVAL", _HOLD, 1, self._lock_key, token, LOCK_TTL_SECONDS)

    @property
    def _is_own_fresh(self) -> bool:
        return time.monotonic() < self._own_fresh_until

    async def _compute_own(self) -> bytes:
        # counted from before it is computed: it is never older than its lifetime
        fresh_until = time.monotonic() + self._ttl_seconds
        value = await self._compute()
        self._own_value, self._own_fresh_until = value, fresh_until
        return value
