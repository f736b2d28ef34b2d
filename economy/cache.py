"""The caches: what is cached, under which name, and for how long. Redis' failure is a miss."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Generic, NamedTuple, TypeVar

from economy.cache_store import Key, MemoryStore, RedisStore, Store, generations
from economy.metrics import Metrics
from economy.redis_client import RedisClient, RedisUnavailable
from economy.settings import Settings

INVENTORY = "inventory"  # by user id: what the user holds
INVENTORY_ANSWERS = "inventory_answers"  # by user id and place: what was made of it for GraphQL
ANSWERS_A_USER = 2  # of different forms: a game has one or two
CATALOGUE = "catalogue"  # products by id, and pages of them
CATALOGUE_IN_PROCESS = "catalogue_in_process"  # the same, decoded
# what others may go on seeing after an edit of the catalogue in another process
CATALOGUE_IN_PROCESS_SECONDS = 1.0

Value = TypeVar("Value")
Load = Callable[[Sequence[Key]], Awaitable[Mapping[Key, Value]]]


class Cache(Generic[Value]):
    """Without a store nothing is cached: several processes without Redis would go stale."""

    def __init__(self, store: Store[Value] | None, *, name: str, metrics: Metrics) -> None:
        self._store = store
        self._hits = metrics.cache_reads.labels(name, "hit")
        self._misses = metrics.cache_reads.labels(name, "miss")
        self._refused = metrics.cache_fills_refused.labels(name)

    async def read_through(self, keys: Sequence[Key], load: Load[Value]) -> dict[Key, Value]:
        """The values of keys: from the store, or loaded and kept. What cannot be loaded is left
        out, and not kept."""
        if self._store is None:
            return dict(await load(keys))
        values, lease = await self._store.read_or_lease(keys)
        self._hits.inc(len(values))
        missing = [key for key in keys if key not in values]
        if missing:
            self._misses.inc(len(missing))
            loaded = await load(missing)
            if loaded:
                self._refused.inc(await self._store.fill(loaded, lease))
                values.update(loaded)
        return values

    def at_hand(self, keys: Collection[Key]) -> dict[Key, Value]:
        """What this process itself keeps of them."""
        found = self._store.at_hand(keys) if isinstance(self._store, MemoryStore) else {}
        self._hits.inc(len(found))
        return found

    async def forget(self, keys: Collection[Key]) -> None:
        """What Redis could not be told in time is void when it comes back."""
        if self._store is not None and keys:
            with suppress(RedisUnavailable):
                await self._store.forget(keys)

    async def start_generation(self) -> None:
        """Forget everything at one stroke. Raises RedisUnavailable: then it is void anyway."""
        if self._store is not None:
            await self._store.start_generation()


class InventoryCaches(NamedTuple):
    items: Cache[bytes]
    answers: Cache[bytes] | None  # made of the items, and forgotten with them; in Redis only


def answer_key(user_id: int, place: int) -> str:
    return f"{user_id}:{place}"


def open_inventory_caches(
    settings: Settings,
    client: RedisClient | None,
    metrics: Metrics,
    *,
    catalogue_in_process: MemoryStore[Any],
) -> InventoryCaches:
    ttl_seconds = settings.inventory_ttl_seconds
    if client is None:
        items = open_cache(settings, None, metrics, name=INVENTORY, ttl_seconds=ttl_seconds)
        return InventoryCaches(items, None)
    answers = RedisStore(
        client,
        INVENTORY_ANSWERS,
        ttl_seconds,
        generations_of=(INVENTORY, CATALOGUE),  # an answer shows products, too
        # so that no answer is made of a product as it was before, and kept as one of now
        on_new_generation=catalogue_in_process.clear,
    )

    def answers_of(user_id: Key) -> list[str]:
        keys = [answer_key(int(user_id), place) for place in range(ANSWERS_A_USER)]
        return [name for key in keys for name in answers.names(key)]

    store = RedisStore(client, INVENTORY, ttl_seconds, made_of=answers_of)
    return InventoryCaches(
        Cache(store, name=INVENTORY, metrics=metrics),
        Cache(answers, name=INVENTORY_ANSWERS, metrics=metrics),
    )


def open_cache(
    settings: Settings,
    client: RedisClient | None,
    metrics: Metrics,
    *,
    name: str,
    ttl_seconds: int,
) -> Cache[bytes]:
    store: Store[bytes] | None = None
    if client is not None:
        store = RedisStore(client, name, ttl_seconds)
    elif settings.workers == 1:
        store = MemoryStore(ttl_seconds)
    return Cache(store, name=name, metrics=metrics)


def connect_redis(settings: Settings, metrics: Metrics) -> RedisClient | None:
    """None: there is no Redis."""
    if settings.redis_url is None:
        return None
    return RedisClient(
        settings.redis_url,
        timeout_seconds=settings.redis_timeout_seconds,
        greeting=generations([INVENTORY, CATALOGUE], "keep"),
        renewal=generations([INVENTORY, CATALOGUE], "renew"),
        metrics=metrics,
    )
