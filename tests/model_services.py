"""The model's asks put to the real services, and what came of them in the model's words."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from economy.bootstrap import open_services
from economy.database import Database
from economy.errors import EconomyError, InvalidInput
from economy.models.claim import Claim
from economy.models.inventory import Inventory
from economy.models.product import Product as ProductTable
from economy.models.product import ProductRow, ProductType
from economy.models.transaction import Transaction, TransactionRow
from economy.models.user import User, UserRow
from economy.repositories.tables import columns_of, table_of
from economy.services import Services
from economy.services.access import Actor
from economy.services.operations import Booking, IfSpent
from economy.settings import Settings
from tests.economy_model import LIMIT, Economy
from tests.model_words import Answer, Ask, Done, Place, Product, Refused, Row, Tables
from tests.world import SERVER

TABLES = [table_of(table) for table in (Transaction, Inventory, Claim, User, ProductTable)]
USERS = ("anna", "boris", "clara", "deleted")
PRODUCTS = (Product(100, True, False), Product(60, True, False), Product(250, True, True))


def settings_of(database_url: str) -> Settings:
    settings = Settings(database_url=database_url, jobs_in_server=False, max_top_up_amount=LIMIT)
    # less than a setting may be: whatever is pending is due
    return settings.model_copy(update={"top_up_expires_after_seconds": -1})


@asynccontextmanager
async def two_processes(database_url: str) -> AsyncIterator[list[Services]]:
    settings = settings_of(database_url)
    async with open_services(settings) as one, open_services(settings) as other:
        yield [one, other]


async def empty(database: Database) -> None:
    """Forget the example before: its journal's guards are down in this unit of work only."""
    async with database.unit_of_work() as session:
        if database.dialect == "postgresql":
            await session.execute(text("ALTER TABLE transaction DISABLE TRIGGER USER"))
            await _delete_all(session)
            await session.execute(text("ALTER TABLE transaction ENABLE TRIGGER USER"))
            return
        guards = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table"
        found = (await session.execute(text(guards), {"table": "transaction"})).all()
        for name, _ in found:
            await session.execute(text(f"DROP TRIGGER {name}"))
        await _delete_all(session)
        for _, guard in found:
            await session.execute(text(guard))


async def _delete_all(session: AsyncSession) -> None:
    for table in TABLES:
        await session.execute(table.delete())


@dataclass
class RealEconomy:
    """One example: its users and products, and the ids of its transactions."""

    processes: Sequence[Services]
    users: list[int] = field(default_factory=list)
    products: list[int] = field(default_factory=list)
    ids: dict[Place, UUID] = field(default_factory=lambda: {(0, 0): UUID(int=0)})

    async def start(self) -> Economy:
        services = self.processes[0]
        await empty(services.database)
        for name in USERS:
            email = f"{name}@example.com"
            user = await services.users.create_user(SERVER, username=name, email=email)
            self.users.append(user.id)
        await services.users.delete_user(SERVER, str(self.users[-1]))
        for number, (price, is_active, is_permanent) in enumerate(PRODUCTS):
            product = await services.products.create_product(
                SERVER,
                name=f"product {number}",
                description="",
                price=price,
                type_=ProductType.PERMANENT if is_permanent else ProductType.CONSUMABLE,
                is_active=is_active,
            )
            self.products.append(product.id)
        return Economy(
            products=dict(zip(self.products, PRODUCTS, strict=True)),
            worth=dict.fromkeys(self.users, 0),
            deleted={self.users[-1]},
        )

    async def ask(self, process: int, ask: Ask) -> Any:
        """The answer as the services give it: an error is returned."""
        try:
            return await self._call(self.processes[process], ask)
        except EconomyError as error:
            return error

    async def tables(self) -> Tables:
        """All rows; a transaction keeps the id that it had when it was first seen."""
        async with self.processes[0].database.snapshot() as session:
            journal = await _rows(session, Transaction, TransactionRow)
            users = await _rows(session, User, UserRow)
            products = await _rows(session, ProductTable, ProductRow)
            claims = (await session.execute(select(table_of(Claim)))).mappings().all()
            items = (await session.execute(select(table_of(Inventory)))).mappings().all()
        for row in journal:
            assert self.ids.setdefault((row.user_id, row.seq), row.id) == row.id
        assert len(items) == len({(item["user_id"], item["product_id"]) for item in items})
        return Tables(
            users={user.id: _user(user) for user in users},
            products={product.id: _product(product) for product in products},
            items={(item["user_id"], item["product_id"]): item["quantity"] for item in items},
            rows={(row.user_id, row.seq): self._row(row) for row in journal},
            references={
                claim["value"]: claim["user_id"]
                for claim in claims
                if claim["kind"] == "external_reference"
            },
        )

    async def broken_invariants(self) -> dict[str, Any]:
        findings = await self.processes[0].verification.verify()
        return {finding.name: finding.broken_rows for finding in findings if finding.broken_rows}

    def told(self, answer: Any) -> Answer:
        """After `tables`, which has seen the ids of new transactions."""
        match answer:
            case Booking():
                row, item = answer.transaction, answer.item
                assert self.ids[row.user_id, row.seq] == row.id
                assert (answer.user.id, item and item.product_id) == (row.user_id, row.product_id)
                return Done(
                    (row.user_id, row.seq),
                    self._row(row),
                    answer.user.balance,
                    answer.user.debt,
                    item and item.quantity,
                    answer.product and _product(answer.product),
                    answer.replayed,
                )
            case UserRow():
                return _user(answer)
            case ProductRow():
                return _product(answer)
        return self._refused(answer)

    def _refused(self, error: EconomyError) -> Refused:
        data = vars(error).copy()
        is_replay = data.pop("replayed", False)
        if isinstance(error, InvalidInput):
            return Refused(error.code.value, error.problems[0].path)
        if "transaction_id" in data:
            data["transaction_id"] = self._place(UUID(data["transaction_id"]))
        return Refused(error.code.value, tuple(data.values()), is_replay)

    def _place(self, id_: UUID) -> Place:
        return next(place for place, known in self.ids.items() if known == id_)

    def _row(self, row: TransactionRow) -> Row:
        key = row.idempotency_key
        if row.kind == "top_up_settlement":
            id_, key = str(key).split(":")
            assert id_ == str(row.target_id)
        return Row(
            kind=row.kind,
            key=key,
            status=row.status,
            code=row.failure_code,
            amount=row.amount,
            product=row.product_id,
            quantity=row.quantity,
            reference=row.external_reference,
            target=None if row.target_id is None else self._place(row.target_id),
            shortfall=row.shortfall,
            balance=row.balance_after,
            debt=row.debt_after,
            held=row.quantity_after,
            settled_seq=row.settled_seq,
        )

    def _call(self, services: Services, ask: Ask) -> Awaitable[Any]:
        whom = {"actor": SERVER, "user_id": str(ask.user)}
        player = {"actor": Actor.player(ask.user), "user_id": None}
        key = {"idempotency_key": ask.key}
        money = whom | key | {"amount": ask.amount}
        top_up = money | {"external_reference": ask.reference}
        items = key | {"product_id": str(ask.product), "quantity": ask.quantity}
        target = whom | {"transaction_id": self.ids[ask.target]}
        policy = {"if_spent": IfSpent(ask.if_spent or "refuse")}
        changes = {"price": ask.price, "is_active": ask.is_active}
        calls: dict[str, tuple[Callable[..., Awaitable[Any]], dict[str, Any]]] = {
            "purchase": (
                services.purchases.purchase,
                player | items | {"expected_price": ask.expected_price},
            ),
            "use": (services.inventory.use_item, player | items),
            "grant": (services.grants.grant, whom | items),
            "revoke": (services.grants.revoke, whom | items),
            "add": (services.wallet.add_funds, top_up),
            "begin": (services.top_ups.begin, top_up),
            "debit": (services.wallet.debit_funds, money),
            "complete": (services.top_ups.complete, target),
            "fail": (services.top_ups.fail, target),
            "reverse": (services.reversals.reverse, target | key | policy),
            "expire": (services.top_ups.expire, {}),
            "delete": (services.users.delete_user, whom),
            "edit": (
                services.products.update_product,
                {"actor": SERVER, "product_id": str(ask.product), "changes": changes},
            ),
        }
        call, arguments = calls[ask.verb]
        return call(**arguments)


async def _rows(session: AsyncSession, table: Any, row: Any) -> list[Any]:
    """In the order of ids, or of a history."""
    columns = columns_of(table, row)
    return [row._make(found) for found in await session.execute(select(*columns))]


def _user(user: UserRow) -> tuple[int, int, int, bool]:
    return user.balance, user.debt, user.last_seq, user.deleted_at is not None


def _product(product: ProductRow) -> Product:
    return Product(product.price, product.is_active, product.type == ProductType.PERMANENT)
