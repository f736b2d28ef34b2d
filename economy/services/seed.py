"""The sample catalogue, and in development two demo players with coins. Safe to run again."""

import hashlib

from economy.database import Database
from economy.errors import AlreadyTaken
from economy.models.product import ProductType
from economy.repositories.product import product_id_by_name
from economy.repositories.user import user_id_by_username
from economy.services.access import ALL_SCOPES, Actor
from economy.services.product import ProductService
from economy.services.server_key import PREFIX, ServerKeyService
from economy.services.user import UserService
from economy.services.wallet import WalletService

CATALOGUE = (
    ("Буст на день", ProductType.CONSUMABLE, 100),
    ("Премиум-статус", ProductType.PERMANENT, 500),
)
DEMO_PLAYERS = ("anna", "boris")
DEMO_COINS = 10_000

_SEED = Actor.server("seed", ALL_SCOPES)


class SeedService:
    def __init__(
        self,
        database: Database,
        users: UserService,
        products: ProductService,
        wallet: WalletService,
        server_keys: ServerKeyService,
    ) -> None:
        self._database = database
        self._users = users
        self._products = products
        self._wallet = wallet
        self._server_keys = server_keys

    async def seed_catalogue(self) -> dict[str, int]:
        """Name -> id of the sample products."""
        ids = {}
        for name, type_, price in CATALOGUE:
            id_ = await self._database.read(product_id_by_name, name)
            if id_ is None:
                product = await self._products.create_product(
                    _SEED, name=name, description="", price=price, type_=type_, is_active=True
                )
                id_ = product.id
            ids[name] = id_
        return ids

    async def seed_demo_players(self) -> dict[str, int]:
        """Username -> id of the demo players."""
        ids = {}
        for username in DEMO_PLAYERS:
            id_ = await self.demo_player_id(username)
            if id_ is None:
                id_ = await self._create(username)
            await self._wallet.add_funds(
                _SEED,
                user_id=str(id_),
                amount=DEMO_COINS,
                external_reference=None,
                idempotency_key="seed",
            )
            ids[username] = id_
        return ids

    async def register_demo_key(self, secret: str) -> str:
        """A server key that stays the same as long as the secret does. For development only."""
        digest = hashlib.sha256(f"demo server key {secret}".encode()).hexdigest()
        key = f"{PREFIX}demo_{digest[:32]}"
        await self._server_keys.register_key(key, ALL_SCOPES)
        return key

    async def demo_player_id(self, username: str = DEMO_PLAYERS[0]) -> int | None:
        return await self._database.read(user_id_by_username, username)

    async def _create(self, username: str) -> int:
        email = f"{username}@example.com"
        try:
            return (await self._users.create_user(_SEED, username=username, email=email)).id
        except AlreadyTaken:  # another process seeds, too
            id_ = await self.demo_player_id(username)
            assert id_ is not None
            return id_
