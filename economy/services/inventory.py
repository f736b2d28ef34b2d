"""What users hold: reading it through the cache, and using it up."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import orjson

from economy.cache import Cache
from economy.cache_store import Key
from economy.database import Database
from economy.errors import UserNotFound
from economy.models.inventory import InventoryRow
from economy.repositories.inventory import items_held
from economy.repositories.user import users_by_id
from economy.services import bounds
from economy.services.access import (
    Actor,
    Scope,
    acting_user_id,
    authenticated,
    existing_product_id,
    readable_user_id,
)
from economy.services.operations import Booking, Use
from economy.services.posting_queue import PostingQueue


class InventoryService:
    def __init__(self, database: Database, cache: Cache[bytes], queue: PostingQueue) -> None:
        self._database = database
        self._cache = cache
        self._queue = queue

    async def use_item(
        self,
        actor: Actor | None,
        *,
        product_id: str,
        quantity: int,
        user_id: str | None,
        idempotency_key: str | None,
    ) -> Booking:
        """Use up items that the user holds. At quantity 0 the row stays, no longer listed.

        Raises ProductNotConsumable, NotEnoughItems (declines, stored), ProductNotFound,
        UserNotFound, InvalidInput, IdempotencyKeyReused.
        """
        actor = authenticated(actor)
        acting_for = acting_user_id(actor, user_id, Scope.ITEMS_WRITE)
        bounds.check_idempotency_key(idempotency_key, is_required=False)
        bounds.check_quantity(quantity)
        return await self._queue.post(
            Use(
                user_id=acting_for,
                product_id=existing_product_id(product_id),
                quantity=quantity,
                actor=actor.name,
                idempotency_key=idempotency_key,
            )
        )

    async def inventory_of(
        self, actor: Actor | None, user_id: str, *, type_: str | None = None
    ) -> list[InventoryRow]:
        """One user's items in the order of first purchase. Raises Forbidden, UserNotFound."""
        number = readable_user_id(actor, user_id)
        items = (await self.inventories([number])).get(number)
        if items is None:
            raise UserNotFound(user_id)
        return of_type(items, type_)

    async def inventories(self, user_ids: Sequence[int]) -> dict[int, list[InventoryRow]]:
        """The items of those users that exist, from the cache where possible.

        The caller has checked the right.
        """
        values = await self._cache.read_through(user_ids, self._load)
        return {int(user_id): _decoded(value) for user_id, value in values.items()}

    async def _load(self, user_ids: Sequence[Key]) -> dict[Key, bytes]:
        ids = [int(user_id) for user_id in user_ids]
        items: dict[int, list[InventoryRow]] = {}
        for item in await self._database.read(items_held, ids):
            items.setdefault(item.user_id, []).append(item)
        # who holds nothing may not even exist
        rest = [user_id for user_id in ids if user_id not in items]
        users = await self._database.read(users_by_id, rest) if rest else []
        items.update({user.id: [] for user in users})
        return {user_id: _encoded(mine) for user_id, mine in items.items()}


def of_type(items: list[InventoryRow], type_: str | None) -> list[InventoryRow]:
    return items if type_ is None else [item for item in items if item.product_type == type_]


def _encoded(items: list[InventoryRow]) -> bytes:
    # asyncpg's UUIDs are a class of its own, which orjson does not know
    return orjson.dumps([(item.user_id, str(item.id), *item[2:]) for item in items])


def _decoded(value: bytes) -> list[InventoryRow]:
    return [
        InventoryRow(user_id, UUID(id_), product_id, type_, quantity, datetime.fromisoformat(at))
        for user_id, id_, product_id, type_, quantity, at in orjson.loads(value)
    ]
