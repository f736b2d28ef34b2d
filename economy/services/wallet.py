"""Crediting and debiting a user's balance."""

from economy.models.user import BALANCE_LIMIT
from economy.services import bounds
from economy.services.access import Actor, Scope, existing_user_id, require_scope
from economy.services.operations import Booking, Debit
from economy.services.posting_queue import PostingQueue
from economy.services.top_up import asked_top_up


class WalletService:
    def __init__(self, queue: PostingQueue, *, max_top_up_amount: int) -> None:
        self._queue = queue
        self._max_top_up_amount = max_top_up_amount

    async def add_funds(
        self,
        actor: Actor | None,
        *,
        user_id: str,
        amount: int,
        external_reference: str | None,
        idempotency_key: str | None,
    ) -> Booking:
        """Mint coins for a user. A player never mints.

        Raises AlreadyTaken (the reference), BalanceLimit (declines, stored), UserNotFound,
        InvalidInput, IdempotencyKeyMissing, IdempotencyKeyReused.
        """
        return await self._queue.post(
            asked_top_up(
                actor,
                user_id=user_id,
                amount=amount,
                limit=self._max_top_up_amount,
                external_reference=external_reference,
                idempotency_key=idempotency_key,
                is_pending=False,
            )
        )

    async def debit_funds(
        self, actor: Actor | None, *, user_id: str, amount: int, idempotency_key: str | None
    ) -> Booking:
        """Take coins from a user, for nothing that is held here: a fee, a stake, a correction.

        Raises InsufficientFunds (a decline, stored), UserNotFound, InvalidInput,
        IdempotencyKeyMissing, IdempotencyKeyReused.
        """
        actor = require_scope(actor, Scope.FUNDS_WRITE)
        bounds.check_idempotency_key(idempotency_key, is_required=True)
        bounds.check_amount(amount, BALANCE_LIMIT)
        return await self._queue.post(
            Debit(
                user_id=existing_user_id(user_id),
                amount=amount,
                actor=actor.name,
                idempotency_key=idempotency_key,
            )
        )
