"""The catalogue: reading and editing it."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from economy.database import Database
from economy.errors import ProductNotFound, invalid
from economy.models.product import ProductRow, ProductType
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
    def __init__(self, database: Database) -> None:
        self._database = database

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
        async with self._database.unit_of_work() as session:
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
            async with self._database.unit_of_work() as session:
                row = await update_product(session, number, changes)
        elif number is not None:
            row = (await self.products([number])).get(number)
        if row is None:
            raise ProductNotFound(product_id)
        return row

    async def products(self, ids: Collection[int]) -> dict[int, ProductRow]:
        """Many products by id."""
        return {row.id: row for row in await self._database.read(products_by_id, ids)}

    async def list_products(
        self, actor: Actor | None, *, type_: str | None, first: int, after: str | None
    ) -> Page[ProductRow]:
        """Oldest first. A player sees what is on sale; who may edit the catalogue sees it all.

        Raises InvalidInput: `first`, `after`.
        """
        actor = authenticated(actor)
        bounds.check_page(first)
        rows = await self._database.read(
            products_after,
            after_id=position_of(after) or 0,
            type_=type_,
            only_active=Scope.CATALOG_WRITE not in actor.scopes,
            limit=first + 1,  # one more tells whether there is a next page
        )
        return Page.cut(rows, first, after, lambda row: cursor_of(row.id))


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
