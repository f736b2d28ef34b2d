"""Top-ups that wait for their payment: begun, and then completed, failed or expired, once."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

from economy.database import Database
from economy.errors import ErrorCode
from economy.repositories.transaction import pending_top_ups
from economy.services import bounds
from economy.services.access import Actor, Scope, existing_user_id, require_scope
from economy.services.operations import Booking, TopUp, TopUpSettlement
from economy.services.posting_queue import PostingQueue

EXPIRED_AT_ONCE = 64  # a batch: players wait no longer than for each other
EXPIRY = "system:expiry"  # the actor


class TopUpService:
    def __init__(
        self,
        database: Database,
        queue: PostingQueue,
        *,
        max_amount: int,
        expires_after_seconds: int,
    ) -> None:
        self._database = database
        self._queue = queue
        self._max_amount = max_amount
        self._expires_after = timedelta(seconds=expires_after_seconds)

    async def begin(
        self,
        actor: Actor | None,
        *,
        user_id: str,
        amount: int,
        external_reference: str | None,
        idempotency_key: str | None,
    ) -> Booking:
        """Journal a top-up that is pending: no coins yet. It claims its external reference.

        Raises AlreadyTaken (the reference), BalanceLimit (declines, stored), UserNotFound,
        InvalidInput, IdempotencyKeyMissing, IdempotencyKeyReused.
        """
        return await self._queue.post(
            asked_top_up(
                actor,
                user_id=user_id,
                amount=amount,
                limit=self._max_amount,
                external_reference=external_reference,
                idempotency_key=idempotency_key,
                is_pending=True,
            )
        )

    async def complete(self, actor: Actor | None, *, user_id: str, transaction_id: UUID) -> Booking:
        """It was paid: credit the coins. The second time it is a replay.

        Raises TopUpExpired, PaymentFailed (too late: declines, stored), BalanceLimit (the top-up
        has failed then), TransactionNotFound, UserNotFound.
        """
        return await self._settle(actor, user_id, transaction_id, None)

    async def fail(self, actor: Actor | None, *, user_id: str, transaction_id: UUID) -> Booking:
        """It will not be paid: no coins, and its external reference is free again.

        Raises TopUpCompleted (too late: a decline, stored), TransactionNotFound, UserNotFound.
        """
        return await self._settle(actor, user_id, transaction_id, ErrorCode.PAYMENT_FAILED)

    async def expire(self) -> bool:
        """Fail what has been pending for too long. False: there was none."""
        has_expired = False
        before = datetime.now(UTC) - self._expires_after
        while found := await self._database.read(
            pending_top_ups, before=before, limit=EXPIRED_AT_ONCE
        ):
            has_expired = True
            settlements = [
                self._queue.post(_settlement(user_id, id_, ErrorCode.TOP_UP_EXPIRED, EXPIRY))
                for user_id, id_ in found
            ]
            for outcome in await asyncio.gather(*settlements, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome
        return has_expired

    async def _settle(
        self,
        actor: Actor | None,
        user_id: str,
        transaction_id: UUID,
        failure_code: ErrorCode | None,
    ) -> Booking:
        actor = require_scope(actor, Scope.FUNDS_WRITE)
        number = existing_user_id(user_id)
        return await self._queue.post(_settlement(number, transaction_id, failure_code, actor.name))


def asked_top_up(
    actor: Actor | None,
    *,
    user_id: str,
    amount: int,
    limit: int,
    external_reference: str | None,
    idempotency_key: str | None,
    is_pending: bool,
) -> TopUp:
    """What holds for every top-up, before anything is locked."""
    actor = require_scope(actor, Scope.FUNDS_WRITE)
    bounds.check_idempotency_key(idempotency_key, is_required=True)
    bounds.check_amount(amount, limit)
    bounds.check_reference(external_reference)
    return TopUp(
        user_id=existing_user_id(user_id),
        amount=amount,
        external_reference=external_reference,
        is_pending=is_pending,
        actor=actor.name,
        idempotency_key=idempotency_key,
    )


def _settlement(
    user_id: int, transaction_id: UUID, failure_code: ErrorCode | None, actor: str
) -> TopUpSettlement:
    """Its key is what it says: whoever says the same again gets the same answer."""
    return TopUpSettlement(
        user_id=user_id,
        target_id=transaction_id,
        failure_code=failure_code,
        actor=actor,
        idempotency_key=f"{transaction_id}:{failure_code or 'COMPLETED'}",
    )
