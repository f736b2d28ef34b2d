"""A small economy to test in, and what a test asks of the database behind the services' back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import CursorResult, text

from economy.models.product import ProductRow, ProductType
from economy.models.transaction import TransactionRow
from economy.models.user import UserRow
from economy.services import Services
from economy.services.access import ALL_SCOPES, Actor
from economy.services.operations import Booking, IfSpent

SERVER = Actor.server("test", ALL_SCOPES)


class Owing(NamedTuple):
    """What a state tells of a user besides the balance."""

    id: int
    username: str
    email: str
    debt: int
    chain_hash: bytes
    deleted_at: Any


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

    async def begin(self, user: UserRow, amount: int, **changes: Any) -> Booking:
        arguments: dict[str, Any] = {"external_reference": None, "idempotency_key": str(uuid4())}
        arguments |= {"user_id": str(user.id), "amount": amount} | changes
        return await self.services.top_ups.begin(SERVER, **arguments)

    async def complete(self, begun: TransactionRow) -> Booking:
        return await self.services.top_ups.complete(
            SERVER, user_id=str(begun.user_id), transaction_id=begun.id
        )

    async def fail(self, begun: TransactionRow) -> Booking:
        return await self.services.top_ups.fail(
            SERVER, user_id=str(begun.user_id), transaction_id=begun.id
        )

    async def reverse(self, row: TransactionRow, **changes: Any) -> Booking:
        arguments: dict[str, Any] = {"user_id": str(row.user_id), "transaction_id": row.id}
        arguments |= {"if_spent": IfSpent.REFUSE, "idempotency_key": str(uuid4())} | changes
        return await self.services.reversals.reverse(SERVER, **arguments)

    async def debit(self, user: UserRow, amount: int, **changes: Any) -> Booking:
        arguments: dict[str, Any] = {"user_id": str(user.id), "amount": amount}
        arguments |= {"idempotency_key": str(uuid4())} | changes
        return await self.services.wallet.debit_funds(SERVER, **arguments)

    async def grant(self, user: UserRow, product: ProductRow, **changes: Any) -> Booking:
        arguments: dict[str, Any] = {"user_id": str(user.id), "product_id": str(product.id)}
        arguments |= {"quantity": 1, "idempotency_key": str(uuid4())} | changes
        return await self.services.grants.grant(SERVER, **arguments)

    async def revoke(self, user: UserRow, product: ProductRow, **changes: Any) -> Booking:
        arguments: dict[str, Any] = {"user_id": str(user.id), "product_id": str(product.id)}
        arguments |= {"quantity": 1, "idempotency_key": str(uuid4())} | changes
        return await self.services.grants.revoke(SERVER, **arguments)

    async def delete(self, user: UserRow) -> UserRow:
        return await self.services.users.delete_user(SERVER, str(user.id))

    async def broken(self) -> dict[str, Sequence[Any]]:
        """The rows that break an invariant, by its name: none in a sound economy."""
        findings = await self.services.verification.verify()
        return {finding.name: finding.broken_rows for finding in findings if finding.broken_rows}

    async def worth(self, user: UserRow) -> tuple[int, int]:
        """Balance and debt."""
        [row] = await self.sql('SELECT balance, debt FROM "user" WHERE id = :id', id=user.id)
        return (row.balance, row.debt)

    async def held(self, user: UserRow, product: ProductRow) -> int:
        """How many; 0 also of what was never got."""
        rows = await self.sql(
            "SELECT quantity FROM inventory WHERE user_id = :user AND product_id = :product",
            user=user.id,
            product=product.id,
        )
        return sum(row.quantity for row in rows)

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
            "owing": [
                Owing._make(row)
                for row in await self.sql(
                    f'SELECT {", ".join(Owing._fields)} FROM "user" ORDER BY id'
                )
            ],
            "settled": await self.sql(
                'SELECT user_id, seq, settled_seq, failure_code FROM "transaction" '
                "ORDER BY user_id, seq"
            ),
        }
