"""COMPOSITION ROOT: builds the services out of the settings; used by app, cli and tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from economy.cache import open_cache
from economy.database import Database
from economy.metrics import Metrics
from economy.services import Services
from economy.services.analytics import AnalyticsService
from economy.services.inventory import InventoryService, forget_inventories
from economy.services.posting import Posting
from economy.services.posting_queue import PostingQueue
from economy.services.product import ProductService
from economy.services.purchase import PurchaseService
from economy.services.seed import SeedService
from economy.services.server_key import ServerKeyService
from economy.services.user import UserService
from economy.services.verification import VerificationService
from economy.services.wallet import WalletService
from economy.settings import Settings


@asynccontextmanager
async def open_services(
    settings: Settings, metrics: Metrics | None = None
) -> AsyncIterator[Services]:
    """Everything that was accepted is answered before the connections close."""
    database = Database(settings)
    cache = open_cache(settings)
    queue = PostingQueue(
        Posting(database),
        partial(forget_inventories, cache),
        batch_size=settings.posting_batch_size,
        lanes=1 if settings.is_sqlite else settings.posting_lanes,  # SQLite has one writer
        limit=settings.posting_queue_limit,
        metrics=metrics or Metrics(),
    )
    users, products = UserService(database), ProductService(database)
    server_keys = ServerKeyService(database)
    wallet = WalletService(queue, max_top_up_amount=settings.max_top_up_amount)
    try:
        yield Services(
            settings=settings,
            database=database,
            cache=cache,
            users=users,
            products=products,
            inventory=InventoryService(
                database, cache, queue, ttl_seconds=settings.inventory_ttl_seconds
            ),
            wallet=wallet,
            purchases=PurchaseService(queue),
            analytics=AnalyticsService(
                database, cache, ttl_seconds=settings.popular_products_ttl_seconds
            ),
            server_keys=server_keys,
            verification=VerificationService(database),
            seed=SeedService(database, users, products, wallet, server_keys),
        )
    finally:
        await queue.drain()
        await cache.close()
        await database.close()
