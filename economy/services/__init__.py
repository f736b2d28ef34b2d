"""The use cases, together: what a transport is handed."""

from dataclasses import dataclass

from economy.database import Database
from economy.rate_limits import RateLimits
from economy.redis_client import RedisClient
from economy.services.analytics import AnalyticsService
from economy.services.grant import GrantService
from economy.services.inventory import InventoryService
from economy.services.job import JobService
from economy.services.measurement import MeasurementService
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


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    database: Database
    redis: RedisClient | None
    rate_limits: RateLimits
    users: UserService
    products: ProductService
    inventory: InventoryService
    wallet: WalletService
    purchases: PurchaseService
    top_ups: TopUpService
    grants: GrantService
    reversals: ReversalService
    analytics: AnalyticsService
    server_keys: ServerKeyService
    verification: VerificationService
    measurement: MeasurementService
    seed: SeedService
    jobs: JobService

    async def is_cache_healthy(self) -> bool:
        """True without Redis: none is missing then."""
        return self.redis is None or await self.redis.ping()
