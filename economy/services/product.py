"""The catalogue: reading and editing it."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from economy.cache import Cache, Load
from economy.cache_store import Key
from economy.database import Database
from economy.errors import ProductNotFound, invalid
from economy.models.product import ProductRow, ProductType
from economy.redis_client import RedisUnavailable
from economy.repositories.product import (
    insert_product,
    products_after,
    products_by_id,
    update_product,
)
from economy.services import bounds
from economy.services.access import Actor, Scope, authenticated, parse_id, require_scope
from economy.services.pages import Page, cursor_of, position_of


class ProductService:
    def __init__(
        self,
        database: Database,
        catalogue: Cache[bytes],
        in_process: Cache[list[ProductRow]],
    ) -> None:
        """Both caches hold lists of products: of one product under its id, and pages.

        `in_process` saves the round trip and the decoding. Its entries live so short that an edit
        in another process need not reach it.
        """
        self._database = database
        self._catalogue = catalogue
        self._in_process = in_process

    async def create_product(
        self,
        actor: Actor | None,
        *,
        name: str,
        description: str,
        price: int,
        type_: ProductType,
        is_active: bool,
    ) -> ProductRow:
        """Raises InvalidInput."""
        require_scope(actor, Scope.CATALOG_WRITE)
        values = {"name": name, "description": description, "price": price, "is_active": is_active}
        _check(values)
        async with self._editing() as session:
            return await insert_product(
                session, {**values, "type": type_.value}, created_at=datetime.now(UTC)
            )

    async def update_product(
        self, actor: Actor | None, product_id: str, changes: dict[str, Any]
    ) -> ProductRow:
        """`changes` holds what shall change: name, description, price, is_active.

        Raises ProductNotFound, InvalidInput.
        """
        require_scope(actor, Scope.CATALOG_WRITE)
        _check(changes)
        number = parse_id(product_id)
        row = None
        if number is not None and changes:
            async with self._editing() as session:
                row = await update_product(session, number, changes)
        elif number is not None:
            row = (await self.products([number])).get(number)
        if row is None:
            raise ProductNotFound(product_id)
        return row

    async def products(self, ids: Collection[int]) -> dict[int, ProductRow]:
        """Many products by id."""
        found = await self._through_caches(list(ids), self._load_products)
        return {row.id: row for rows in found.values() for row in rows}

    def at_hand(self, ids: Collection[int]) -> dict[int, ProductRow]:
        """Those that `products` would answer without waiting."""
        return {row.id: row for rows in self._in_process.at_hand(ids).values() for row in rows}

    async def list_products(
        self, actor: Actor | None, *, type_: str | None, first: int, after: str | None
    ) -> Page[ProductRow]:
        """Oldest first. A player sees what is on sale; who may edit the catalogue sees it all.

        Raises InvalidInput: `first`, `after`.
        """
        actor = authenticated(actor)
        bounds.check_page(first)
        after_id = position_of(after) or 0
        only_active = Scope.CATALOG_WRITE not in actor.scopes

        async def load(pages: Sequence[Key]) -> dict[Key, list[ProductRow]]:
            rows = await self._database.read(
                products_after,
                after_id=after_id,
                type_=type_,
                only_active=only_active,
                limit=first + 1,  # one more tells whether there is a next page
            )
            return dict.fromkeys(pages, rows)

        page = f"page:{type_ or 'any'}:{'on-sale' if only_active else 'all'}:{first}:{after_id}"
        rows = (await self._through_caches([page], load))[page]
        return Page.cut(rows, first, after, lambda row: cursor_of(row.id))

    async def _through_caches(
        self, keys: Sequence[Key], load: Load[list[ProductRow]]
    ) -> dict[Key, list[ProductRow]]:
        async def load_encoded(keys: Sequence[Key]) -> dict[Key, bytes]:
            loaded = await load(keys)
            return {key: orjson.dumps([tuple(row) for row in rows]) for key, rows in loaded.items()}

        async def load_decoded(keys: Sequence[Key]) -> dict[Key, list[ProductRow]]:
            found = await self._catalogue.read_through(keys, load_encoded)
            return {
                key: [ProductRow._make(row) for row in orjson.loads(value)]
                for key, value in found.items()
            }

        return await self._in_process.read_through(keys, load_decoded)

    async def _load_products(self, ids: Sequence[Key]) -> Mapping[Key, list[ProductRow]]:
        rows = await self._database.read(products_by_id, [int(id_) for id_ in ids])
        return {row.id: [row] for row in rows}

    @asynccontextmanager
    async def _editing(self) -> AsyncIterator[AsyncSession]:
        """A unit of work, after which nothing that is cached counts: any page may show the product.

        The process' own cache goes last: it would otherwise take what is old from the other.
        """
        try:
            async with self._database.unit_of_work() as session:
                yield session
        finally:  # also of a commit whose outcome is unknown
            with suppress(RedisUnavailable):  # void anyway, when it comes back
                await self._catalogue.start_generation()
            await self._in_process.start_generation()


def _check(values: dict[str, Any]) -> None:
    for field, value in values.items():
        if value is None:
            raise invalid(field, f"{field} cannot be null: leave it out to keep it as it is.")
    if "name" in values:
        bounds.check_text("name", values["name"], 1, bounds.MAX_PRODUCT_NAME)
    if "description" in values:
        bounds.check_text("description", values["description"], 0, bounds.MAX_DESCRIPTION)
    if "price" in values:
        bounds.check_price(values["price"])
