"""COMPOSITION ROOT: builds the services out of the settings; used by app, worker, cli and tests."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from economy.cache import (
    CATALOGUE,
    CATALOGUE_IN_PROCESS,
    CATALOGUE_IN_PROCESS_SECONDS,
    Cache,
    InventoryCaches,
    connect_redis,
    open_cache,
    open_inventory_caches,
)
from economy.cache_store import MemoryStore
from economy.database import Database
from economy.metrics import Metrics
from economy.models.product import ProductRow
from economy.rate_limits import RateLimits
from economy.redis_client import RedisClient
from economy.replica import Replica
from economy.services import Services
from economy.services.analytics import AnalyticsService
from economy.services.grant import GrantService
from economy.services.inventory import InventoryService
from economy.services.job import JobService
from economy.services.measurement import MeasurementService
from economy.services.posting import Posting
from economy.services.posting_queue import PostingQueue
from economy.services.product import ProductService
from economy.services.purchase import PurchaseService
from economy.services.reversal import ReversalService
from economy.services.seed import SeedService
from economy.services.server_key import ServerKeyService
from economy.services.top_up import TopUpService
from economy.services.user import UserService
from economy.services.verification import VerificationService
from economy.services.wallet import WalletService
from economy.settings import Settings

if TYPE_CHECKING:
    from economy.tracing import Tracing

logger = logging.getLogger(__name__)

# A server has waited for its requests before. This is for what it has taken and nobody waits for.
LAST_SECONDS = 2.0


@asynccontextmanager
async def open_services(
    settings: Settings, metrics: Metrics | None = None, tracing: "Tracing | None" = None
) -> AsyncIterator[Services]:
    """What was accepted is done before the connections close, if that takes no longer than
    LAST_SECONDS."""
    metrics = metrics or Metrics()
    database, redis = Database(settings, metrics), connect_redis(settings, metrics)
    posting = Posting(database)
    if redis is not None:
        await redis.watch()  # one that is down now makes no request wait
    in_process = MemoryStore[list[ProductRow]](CATALOGUE_IN_PROCESS_SECONDS)
    inventories = open_inventory_caches(settings, redis, metrics, catalogue_in_process=in_process)
    queue = PostingQueue(
        posting,
        inventories.items.forget,
        batch_size=settings.posting_batch_size,
        lanes=1 if settings.is_sqlite else settings.posting_lanes,  # SQLite has one writer
        limit=settings.posting_queue_limit,
        metrics=metrics,
    )
    replica = Replica(settings, database, metrics)
    if tracing is not None:
        # here, as nothing of it is needed without
        from economy.traced import trace_services  # noqa: PLC0415

        trace_services(
            tracing, database=database, replica=replica, posting=posting, queue=queue, redis=redis
        )
    try:
        yield _build(
            settings,
            database=database,
            replica=replica,
            redis=redis,
            inventories=inventories,
            in_process=in_process,
            queue=queue,
            metrics=metrics,
        )
    finally:
        try:
            async with asyncio.timeout(LAST_SECONDS):
                await queue.drain()
        except TimeoutError:
            logger.error("the database does not answer: operations are left unanswered")
            await queue.abandon()
        if redis is not None:
            await redis.close()
        await replica.close()
        await database.close()


def _build(
    settings: Settings,
    *,
    database: Database,
    replica: Replica,
    redis: RedisClient | None,
    inventories: InventoryCaches,
    in_process: MemoryStore[list[ProductRow]],
    queue: PostingQueue,
    metrics: Metrics,
) -> Services:
    users, server_keys = UserService(database, replica), ServerKeyService(database)
    products = _product_service(settings, database, redis, in_process, metrics)
    top_ups = _top_up_service(settings, database, queue)
    wallet = WalletService(queue, max_top_up_amount=settings.max_top_up_amount)
    verification = VerificationService(database)
    measurement = MeasurementService(database, metrics)
    analytics = AnalyticsService(
        database, replica, redis, ttl_seconds=settings.popular_products_ttl_seconds, metrics=metrics
    )
    return Services(
        settings=settings,
        database=database,
        redis=redis,
        rate_limits=RateLimits(settings, redis, metrics),
        users=users,
        products=products,
        inventory=InventoryService(database, inventories, queue),
        wallet=wallet,
        purchases=PurchaseService(queue),
        top_ups=top_ups,
        grants=GrantService(queue),
        reversals=ReversalService(queue),
        analytics=analytics,
        server_keys=server_keys,
        verification=verification,
        measurement=measurement,
        seed=SeedService(database, users, products, wallet, server_keys),
        jobs=JobService(
            database,
            inventories.items,
            analytics=analytics,
            top_ups=top_ups,
            verification=verification,
            measurement=measurement,
            metrics=metrics,
        ),
    )


def _product_service(
    settings: Settings,
    database: Database,
    redis: RedisClient | None,
    in_process: MemoryStore[list[ProductRow]],
    metrics: Metrics,
) -> ProductService:
    catalogue = open_cache(
        settings, redis, metrics, name=CATALOGUE, ttl_seconds=settings.catalogue_ttl_seconds
    )
    return ProductService(
        database, catalogue, Cache(in_process, name=CATALOGUE_IN_PROCESS, metrics=metrics)
    )


def _top_up_service(settings: Settings, database: Database, queue: PostingQueue) -> TopUpService:
    return TopUpService(
        database,
        queue,
        max_amount=settings.max_top_up_amount,
        expires_after_seconds=settings.top_up_expires_after_seconds,
    )
