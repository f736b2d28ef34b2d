"""The use cases, together: what a transport is handed."""

from dataclasses import dataclass

from economy.cache import Cache
from economy.database import Database
from economy.services.analytics import AnalyticsService
from economy.services.inventory import InventoryService
from economy.services.product import ProductService
from economy.services.purchase import PurchaseService
from economy.services.seed import SeedService
from economy.services.server_key import ServerKeyService
from economy.services.user import UserService
from economy.services.verification import VerificationService
from economy.services.wallet import WalletService
from economy.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    database: Database
    cache: Cache
    users: UserService
    products: ProductService
    inventory: InventoryService
    wallet: WalletService
    purchases: PurchaseService
    analytics: AnalyticsService
    server_keys: ServerKeyService
    verification: VerificationService
    seed: SeedService
