"""Where cached values lie: in the process, or in Redis for all of them.

A reader that misses places a lease before it reads the database, and fills only while its lease
still stands; a writer deletes value and lease after its commit. So a reader that raced the commit
cannot put the old value back, however slow it is.
"""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from economy.redis_client import PREFIX, Command, RedisClient, RedisUnavailable

LEASE_TTL_SECONDS = 3  # of a reader that died; a slower one fills nothing
GENERATION_TTL_SECONDS = 30 * 24 * 3600
MOST_ENTRIES_IN_PROCESS = 20_000

Key = int | str
Value = TypeVar("Value")


class Lease(NamedTuple):
    """What a reader shows when it fills: of those that miss the same key, the first one may."""

    token: str
    keys: Collection[Key]
    generation: bytes = b""


NO_LEASE = Lease("", ())


class Store(Protocol[Value]):
    async def read_or_lease(self, keys: Sequence[Key]) -> tuple[dict[Key, Value], Lease]:
        """The values that there are; a lease is placed on what is missing and has none."""

    async def fill(self, values: Mapping[Key, Value], lease: Lease) -> int:
        """Store what was leased. Says how many were refused, as their lease was lost."""

    async def forget(self, keys: Collection[Key]) -> None:
        """Delete values and leases. Raises RedisUnavailable."""

    async def start_generation(self) -> None:
        """Forget everything, however much there is, at one stroke. Raises RedisUnavailable."""


class MemoryStore(Generic[Value]):
    """One process' own. What has ended goes; when it is full, also what was filled first."""

    def __init__(self, ttl_seconds: float) -> None:
        self._ttl_seconds = ttl_seconds
        self._values: OrderedDict[Key, tuple[float, Value]] = OrderedDict()
        self._leases: OrderedDict[Key, tuple[float, str]] = OrderedDict()

    def at_hand(self, keys: Collection[Key]) -> dict[Key, Value]:
        now, values = time.monotonic(), self._values
        entries = ((key, values[key]) for key in keys if key in values)
        return {key: value for key, (ends_at, value) in entries if ends_at > now}

    async def read_or_lease(self, keys: Sequence[Key]) -> tuple[dict[Key, Value], Lease]:
        found, now = self.at_hand(keys), time.monotonic()
        leased = [
            key
            for key in keys
            if key not in found and now >= self._leases.get(key, (0.0, ""))[0] + LEASE_TTL_SECONDS
        ]
        if not leased:
            return found, NO_LEASE
        lease = Lease(secrets.token_hex(8), leased)
        self._leases.update(dict.fromkeys(leased, (now, lease.token)))
        while len(self._leases) > MOST_ENTRIES_IN_PROCESS:  # of readers that failed
            self._leases.popitem(last=False)
        return found, lease

    async def fill(self, values: Mapping[Key, Value], lease: Lease) -> int:
        refused = 0
        for key in lease.keys:
            if key not in values:
                continue
            leased_at, token = self._leases.get(key, (0.0, ""))
            if token != lease.token:
                refused += 1
                continue
            del self._leases[key]
            # counted from before it was read: a value is never older than its lifetime
            self._values[key] = (leased_at + self._ttl_seconds, values[key])
            self._values.move_to_end(key)
        now = time.monotonic()
        while self._values and (
            len(self._values) > MOST_ENTRIES_IN_PROCESS
            or next(iter(self._values.values()))[0] <= now
        ):
            self._values.popitem(last=False)
        return refused

    async def forget(self, keys: Collection[Key]) -> None:
        for key in keys:
            self._values.pop(key, None)
            self._leases.pop(key, None)

    async def start_generation(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._values.clear()
        self._leases.clear()


# A value counts only while it begins with the current generation of its cache. A generation begins
# with the id of the server's run: after a restart from a snapshot, or on another node, what was
# forgotten may be there again.
# KEYS: generations; ARGV: lifetime in seconds, 'keep' or 'renew'.
_GENERATIONS = """
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local time = redis.call('TIME')
local current = {}
for i, key in ipairs(KEYS) do
  current[i] = redis.call('GET', key)
  if ARGV[2] == 'renew' or not current[i] or string.sub(current[i], 1, #run) ~= run then
    current[i] = run .. string.format('%010d%06d', time[1], time[2])
    redis.call('SET', key, current[i], 'EX', ARGV[1])
  end
end
return current
"""
GENERATION_BYTES = 40 + 16  # of the run, of its time in microseconds

# KEYS: value and lease, in turn; ARGV: lease, lifetime in seconds, values.
_FILL = """
local refused = 0
for i = 1, #KEYS, 2 do
  if redis.call('GET', KEYS[i + 1]) == ARGV[1] then
    redis.call('SET', KEYS[i], ARGV[2 + (i + 1) / 2], 'EX', ARGV[2])
    redis.call('DEL', KEYS[i + 1])
  else
    refused = refused + 1
  end
end
return refused
"""


def generations(names: Sequence[str], how: str) -> Command:
    """The command that answers with the generations of these caches. `how`: keep or renew."""
    keys = [_generation_key(name) for name in names]
    return ("EVAL", _GENERATIONS, len(keys), *keys, GENERATION_TTL_SECONDS, how)


def _generation_key(name: str) -> str:
    return f"{PREFIX}:{name}:generation"


class RedisStore:
    """Shared by all processes. While Redis is not to be trusted, everything is missing."""

    def __init__(
        self,
        client: RedisClient,
        name: str,
        ttl_seconds: int,
        *,
        generations_of: Sequence[str] = (),
        on_new_generation: Callable[[], None] = lambda: None,
        made_of: Callable[[Key], Collection[str]] = lambda _key: (),
    ) -> None:
        """`generations_of`: the caches with which this one's values become void; by default it is
        one by itself. `on_new_generation` is called before anything of a new one is read.
        `made_of`: names that are forgotten with a value, as what they hold was made of it."""
        self._client = client
        self._name = name
        self._ttl_seconds = ttl_seconds
        self._generations_of = generations_of or (name,)
        self._generation_keys = [_generation_key(one) for one in self._generations_of]
        self._prefix_bytes = GENERATION_BYTES * len(self._generation_keys)
        self._generation: bytes | None = None
        self._on_new_generation = on_new_generation
        self._made_of = made_of

    async def read_or_lease(self, keys: Sequence[Key]) -> tuple[dict[Key, bytes], Lease]:
        if not self._client.is_trusted:
            return {}, NO_LEASE
        try:
            names = [self._key(key) for key in keys]
            answers = await self._client.execute("MGET", *self._generation_keys, *names)
            current, entries = self._split(answers)
            generation = self._seen(current)
            found = {
                key: entry[self._prefix_bytes :]
                for key, entry in zip(keys, entries, strict=True)
                if entry is not None and generation is not None and entry.startswith(generation)
            }
            missing = [key for key in keys if key not in found]
            return found, await self._place_lease(missing, generation) if missing else NO_LEASE
        except RedisUnavailable:
            return {}, NO_LEASE

    async def _place_lease(self, keys: Sequence[Key], known: bytes | None) -> Lease:
        """With the generation of this moment, of which a value that is filled will be."""
        token = secrets.token_hex(8)
        current, *placed = await self._client.execute_all(
            [
                # the script makes those that are missing
                ("MGET", *self._generation_keys)
                if known is not None
                else generations(self._generations_of, "keep"),
                *(
                    ("SET", self.names(key)[1], token, "NX", "EX", LEASE_TTL_SECONDS)
                    for key in keys
                ),
            ]
        )
        generation = self._seen(current)
        if generation is None:  # gone meanwhile
            return NO_LEASE
        mine = [key for key, is_mine in zip(keys, placed, strict=True) if is_mine]
        return Lease(token, mine, generation)

    def _split(self, answers: list[Any]) -> tuple[list[Any], list[Any]]:
        """Of the generations, of the rest."""
        count = len(self._generation_keys)
        return answers[:count], answers[count:]

    def _seen(self, current: Sequence[bytes | None]) -> bytes | None:
        """The current generation; None: a part of it is missing."""
        parts = [part for part in current if part is not None]
        generation = b"".join(parts) if len(parts) == len(current) else None
        if generation != self._generation:
            self._generation = generation
            self._on_new_generation()
        return generation

    async def fill(self, values: Mapping[Key, bytes], lease: Lease) -> int:
        leased = [key for key in lease.keys if key in values]
        if not leased:
            return 0
        names = [name for key in leased for name in self.names(key)]
        entries = [lease.generation + values[key] for key in leased]
        try:
            refused: int = await self._client.execute(
                "EVAL", _FILL, len(names), *names, lease.token, self._ttl_seconds, *entries
            )
        except RedisUnavailable:
            return 0
        return refused

    async def forget(self, keys: Collection[Key]) -> None:
        """In one command: else something might be made of a value that is about to go."""
        await self._client.execute(
            "UNLINK", *(name for key in keys for name in (*self.names(key), *self._made_of(key)))
        )

    async def start_generation(self) -> None:
        try:
            await self._client.execute(*generations([self._name], "renew"))
        except RedisUnavailable:  # one that is full can forget still
            await self._client.execute("UNLINK", _generation_key(self._name))
            raise

    def _key(self, key: Key) -> str:
        """The braces keep a value and its lease on one node of a Redis cluster."""
        return f"{PREFIX}:{self._name}:{{{key}}}"

    def names(self, key: Key) -> tuple[str, str]:
        """Of the value, of its lease."""
        name = self._key(key)
        return name, f"{name}:lease"
