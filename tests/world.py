"""A small economy to test in, and what a test asks of the database behind the services' back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sqlalchemy import CursorResult, text

from economy.models.product import ProductRow, ProductType
from economy.models.user import UserRow
from economy.services import Services
from economy.services.access import ALL_SCOPES, Actor
from economy.services.operations import Booking

SERVER = Actor.server("test", ALL_SCOPES)


@dataclass
class World:
    services: Services
    anna: UserRow
    boris: UserRow
    boost: ProductRow  # consumable, 100 coins
    premium: ProductRow  # permanent, 500 coins

    @classmethod
    async def create(cls, services: Services) -> "World":
        users, products = services.users, services.products
        return cls(
            services,
            anna=await users.create_user(SERVER, username="anna", email="anna@example.com"),
            boris=await users.create_user(SERVER, username="boris", email="boris@example.com"),
            boost=await products.create_product(
                SERVER,
                name="Буст на день",
                description="",
                price=100,
                type_=ProductType.CONSUMABLE,
                is_active=True,
            ),
            premium=await products.create_product(
                SERVER,
                name="Премиум-статус",
                description="",
                price=500,
                type_=ProductType.PERMANENT,
                is_active=True,
            ),
        )

    async def credit(self, user: UserRow, amount: int, **changes: Any) -> Booking:
        arguments: dict[str, Any] = {"external_reference": None, "idempotency_key": str(uuid4())}
        arguments |= {"user_id": str(user.id), "amount": amount} | changes
        return await self.services.wallet.add_funds(SERVER, **arguments)

    async def buy(self, user: UserRow, product: ProductRow, **changes: Any) -> Booking:
        arguments: dict[str, Any] = {"quantity": 1, "expected_price": None, "user_id": None}
        arguments |= {"product_id": str(product.id), "idempotency_key": None} | changes
        return await self.services.purchases.purchase(Actor.player(user.id), **arguments)

    async def use(self, user: UserRow, product: ProductRow, **changes: Any) -> Booking:
        arguments: dict[str, Any] = {"quantity": 1, "user_id": None, "idempotency_key": None}
        arguments |= {"product_id": str(product.id)} | changes
        return await self.services.inventory.use_item(Actor.player(user.id), **arguments)

    async def sql(self, statement: str, **parameters: Any) -> Sequence[Any]:
        """Rows of any statement; what it changes is committed."""
        async with self.services.database.unit_of_work() as session:
            result = await session.execute(text(statement), parameters)
            is_query = isinstance(result, CursorResult) and result.returns_rows
            return list(result.all()) if is_query else []

    async def state(self) -> dict[str, Sequence[Any]]:
        """All that operations may change: equal before and after means that nothing happened."""
        return {
            "user": await self.sql('SELECT id, balance, last_seq FROM "user" ORDER BY id'),
            "inventory": await self.sql(
                "SELECT user_id, product_id, quantity FROM inventory ORDER BY user_id, product_id"
            ),
            "transaction": await self.sql(
                'SELECT user_id, seq, kind, status, amount FROM "transaction" ORDER BY user_id, seq'
            ),
            "claim": await self.sql("SELECT value, kind, user_id FROM claim ORDER BY value, kind"),
        }
