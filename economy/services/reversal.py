"""Undoing a purchase or a top-up by a new transaction."""

from uuid import UUID

from economy.services import bounds
from economy.services.access import Actor, Scope, existing_user_id, require_scope
from economy.services.operations import Booking, IfSpent, Reversal
from economy.services.posting_queue import PostingQueue


class ReversalService:
    def __init__(self, queue: PostingQueue) -> None:
        self._queue = queue

    async def reverse(
        self,
        actor: Actor | None,
        *,
        user_id: str,
        transaction_id: UUID,
        if_spent: IfSpent,
        idempotency_key: str | None,
    ) -> Booking:
        """Take back what a purchase or a top-up gave, and give back what it took, once.

        When coins or items are gone already, REFUSE declines. TAKE_WHAT_IS_LEFT goes on: coins of
        a top-up that are missing become a debt, which later credits repay first; items of a
        purchase that are missing are not refunded.

        Raises InsufficientFunds, NotEnoughItems, NotReversible, AlreadyReversed, BalanceLimit
        (declines, stored), TransactionNotFound, UserNotFound, IdempotencyKeyMissing,
        IdempotencyKeyReused.
        """
        actor = require_scope(actor, Scope.FUNDS_WRITE)
        require_scope(actor, Scope.ITEMS_WRITE)
        bounds.check_idempotency_key(idempotency_key, is_required=True)
        return await self._queue.post(
            Reversal(
                user_id=existing_user_id(user_id),
                target_id=transaction_id,
                if_spent=if_spent,
                actor=actor.name,
                idempotency_key=idempotency_key,
            )
        )
