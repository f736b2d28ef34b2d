"""What users hold: reading it through the cache, and using it up."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from uuid import UUID

import orjson

from economy.cache import ANSWERS_A_USER, InventoryCaches, answer_key
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
from economy.services.gathered_reads import GatheredReads
from economy.services.operations import Booking, Use
from economy.services.posting_queue import PostingQueue

FORM_BYTES = 16


class InventoryService:
    def __init__(self, database: Database, caches: InventoryCaches, queue: PostingQueue) -> None:
        self._database = database
        self._cache = caches.items
        self._answers = caches.answers
        self._queue = queue
        self._reads: GatheredReads[int, list[InventoryRow]] = GatheredReads(self._load)

    @property
    def keeps_answers(self) -> bool:
        """Whether `answer_of` can keep anything."""
        return self._answers is not None

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
        values = await self._cache.read_through(user_ids, self._load_encoded)
        return {int(user_id): _decoded(value) for user_id, value in values.items()}

    async def answer_of(
        self, user_id: int, form: bytes, answer: Callable[[], Awaitable[bytes | None]]
    ) -> bytes | None:
        """What `answer` makes of a user's items and the catalogue, as both are now; kept.

        `form` names it among other answers about the same items. None: `answer` made nothing, or
        was not asked, as another form lies in its place.
        """
        assert self._answers is not None
        key = answer_key(user_id, form[0] % ANSWERS_A_USER)

        async def load(_keys: Sequence[Key]) -> dict[Key, bytes]:
            made = await answer()
            return {} if made is None else {key: form + made}

        value = (await self._answers.read_through([key], load)).get(key)
        return value[FORM_BYTES:] if value is not None and value.startswith(form) else None

    async def _load_encoded(self, user_ids: Sequence[Key]) -> dict[Key, bytes]:
        ids = [int(user_id) for user_id in user_ids]
        if len(ids) > 1:
            found = await self._load(ids)
        else:
            items = await self._reads.read(ids[0])
            found = {} if items is None else {ids[0]: items}
        return {user_id: _encoded(items) for user_id, items in found.items()}

    async def _load(self, ids: Collection[int]) -> dict[int, list[InventoryRow]]:
        items: dict[int, list[InventoryRow]] = {}
        for item in await self._database.read_often(items_held, ids):
            items.setdefault(item.user_id, []).append(item)
        # who holds nothing may not even exist
        rest = [user_id for user_id in ids if user_id not in items]
        users = await self._database.read(users_by_id, rest) if rest else []
        items.update({user.id: [] for user in users})
        return items


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
