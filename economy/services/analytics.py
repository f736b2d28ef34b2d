"""What sells: the products with the most completed purchases of the last days."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import orjson

from economy.cache import POPULAR_PRODUCTS_KEY, Cache
from economy.database import Database
from economy.repositories.transaction import most_purchased
from economy.services import bounds
from economy.services.access import Actor, authenticated

WINDOW = timedelta(days=7)


class PopularProduct(NamedTuple):
    rank: int  # from 1
    product_id: int
    purchases: int  # purchases, not units


class AnalyticsService:
    def __init__(self, database: Database, cache: Cache, *, ttl_seconds: int) -> None:
        self._database = database
        self._cache = cache
        self._ttl_seconds = ttl_seconds

    async def popular_products(self, actor: Actor | None, *, limit: int) -> list[PopularProduct]:
        """Most purchases first; of equals the older product (smaller id). Up to an hour old."""
        authenticated(actor)
        bounds.check_limit(limit)
        values = await self._cache.read_through(
            [POPULAR_PRODUCTS_KEY], self._ttl_seconds, self._load
        )
        ranking = orjson.loads(values[POPULAR_PRODUCTS_KEY])[:limit]
        return [
            PopularProduct(rank, product_id, purchases)
            for rank, (product_id, purchases) in enumerate(ranking, start=1)
        ]

    async def _load(self, keys: Sequence[str]) -> dict[str, bytes]:
        """As long as anybody may ask for: every `limit` is a part of it."""
        since = datetime.now(UTC) - WINDOW
        ranking = await self._database.read(most_purchased, since=since, limit=bounds.MAX_PAGE)
        return dict.fromkeys(keys, orjson.dumps(ranking))
