"""Buying a product."""

from economy.services import bounds
from economy.services.access import Actor, Scope, acting_user_id, authenticated, existing_product_id
from economy.services.operations import Booking, Purchase
from economy.services.posting_queue import PostingQueue


class PurchaseService:
    def __init__(self, queue: PostingQueue) -> None:
        self._queue = queue

    async def purchase(
        self,
        actor: Actor | None,
        *,
        product_id: str,
        quantity: int,
        expected_price: int | None,
        user_id: str | None,
        idempotency_key: str | None,
    ) -> Booking:
        """Debit the price, grant the items, journal it: all or nothing.

        Raises InsufficientFunds, AlreadyOwned, ProductUnavailable, PriceChanged, HoldingLimit
        (declines, stored), ProductNotFound, UserNotFound, InvalidInput, IdempotencyKeyReused.
        """
        actor = authenticated(actor)
        acting_for = acting_user_id(actor, user_id, Scope.ITEMS_WRITE)
        bounds.check_idempotency_key(idempotency_key, is_required=False)
        bounds.check_quantity(quantity)
        bounds.check_expected_price(expected_price)
        return await self._queue.post(
            Purchase(
                user_id=acting_for,
                product_id=existing_product_id(product_id),
                quantity=quantity,
                expected_price=expected_price,
                actor=actor.name,
                idempotency_key=idempotency_key,
            )
        )
