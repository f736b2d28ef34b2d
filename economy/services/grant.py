"""Items that a server gives and takes, without coins: rewards, compensation, punishment."""

from typing import TypeVar

from economy.services import bounds
from economy.services.access import (
    Actor,
    Scope,
    existing_product_id,
    existing_user_id,
    require_scope,
)
from economy.services.operations import Booking, Grant, Revocation
from economy.services.posting_queue import PostingQueue

T = TypeVar("T", Grant, Revocation)


class GrantService:
    def __init__(self, queue: PostingQueue) -> None:
        self._queue = queue

    async def grant(
        self,
        actor: Actor | None,
        *,
        user_id: str,
        product_id: str,
        quantity: int,
        idempotency_key: str | None,
    ) -> Booking:
        """Give items; the product need not be on sale. A player never grants.

        Raises AlreadyOwned, HoldingLimit (declines, stored), ProductNotFound, UserNotFound,
        InvalidInput, IdempotencyKeyMissing, IdempotencyKeyReused.
        """
        return await self._queue.post(
            _asked(
                Grant,
                actor,
                user_id=user_id,
                product_id=product_id,
                quantity=quantity,
                idempotency_key=idempotency_key,
            )
        )

    async def revoke(
        self,
        actor: Actor | None,
        *,
        user_id: str,
        product_id: str,
        quantity: int,
        idempotency_key: str | None,
    ) -> Booking:
        """Take items, permanent ones too, and give nothing for them.

        Raises NotEnoughItems (a decline, stored), ProductNotFound, UserNotFound, InvalidInput,
        IdempotencyKeyMissing, IdempotencyKeyReused.
        """
        return await self._queue.post(
            _asked(
                Revocation,
                actor,
                user_id=user_id,
                product_id=product_id,
                quantity=quantity,
                idempotency_key=idempotency_key,
            )
        )


def _asked(
    kind: type[T],
    actor: Actor | None,
    *,
    user_id: str,
    product_id: str,
    quantity: int,
    idempotency_key: str | None,
) -> T:
    actor = require_scope(actor, Scope.ITEMS_WRITE)
    bounds.check_idempotency_key(idempotency_key, is_required=True)
    bounds.check_quantity(quantity)
    return kind(
        user_id=existing_user_id(user_id),
        product_id=existing_product_id(product_id),
        quantity=quantity,
        actor=actor.name,
        idempotency_key=idempotency_key,
    )
