"""Users: creating and deleting them, reading them and their history."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from economy.database import Database
from economy.errors import AlreadyTaken, UserNotFound
from economy.models.claim import ClaimKind
from economy.models.transaction import TransactionRow
from economy.models.user import UserRow
from economy.replica import Replica
from economy.repositories.transaction import newest_transactions
from economy.repositories.user import (
    claim_values,
    insert_user,
    unclaim_values,
    update_user,
    user_for_update,
    users_by_id,
)
from economy.services import bounds
from economy.services.access import Actor, Scope, existing_user_id, require_scope
from economy.services.pages import Page, cursor_of, position_of


class HistoryPage(NamedTuple):
    """Which page of a user's history: newest first, `kind` None means all kinds."""

    first: int
    after: str | None
    kind: str | None


def _claims_of(username: str, email: str) -> dict[ClaimKind, str]:
    return {ClaimKind.USERNAME: username.lower(), ClaimKind.EMAIL: email.lower()}


class UserService:
    def __init__(self, database: Database, replica: Replica) -> None:
        self._database = database
        self._replica = replica

    async def create_user(self, actor: Actor | None, *, username: str, email: str) -> UserRow:
        """Raises AlreadyTaken (whatever the case of its letters) and InvalidInput."""
        require_scope(actor, Scope.USERS_WRITE)
        bounds.check_user(username, email)
        claims = _claims_of(username, email)
        async with self._database.unit_of_work() as session:
            user = await insert_user(
                session, username=username, email=email, created_at=datetime.now(UTC)
            )
            claimed = await claim_values(session, user.id, claims)
            taken = tuple(kind.value for kind in claims if kind not in claimed)
            if taken:
                raise AlreadyTaken(taken)
        return user

    async def delete_user(self, actor: Actor | None, user_id: str) -> UserRow:
        """Forget who it was: name and e-mail are replaced, and free for others.

        The history, the balance and the items stay, under the id alone: the books must add up.
        Nobody can buy, use or credit for a deleted user. Again, it changes nothing.
        Raises UserNotFound.
        """
        require_scope(actor, Scope.USERS_WRITE)
        number = existing_user_id(user_id)
        async with self._database.unit_of_work() as session:
            user = await user_for_update(session, number)
            if user is None:
                raise UserNotFound(user_id)
            if user.deleted_at is not None:
                return user
            # no username may hold a colon, and every address holds an @: nobody else's
            nobody = f"deleted:{user.id}"
            await unclaim_values(session, _claims_of(user.username, user.email))
            await claim_values(session, user.id, _claims_of(nobody, nobody))
            user = user._replace(username=nobody, email=nobody, deleted_at=datetime.now(UTC))
            await update_user(session, user)
        return user

    async def users(self, user_ids: Collection[int]) -> dict[int, UserRow]:
        """Many users by id. The caller has checked the right."""
        rows = await self._database.read(users_by_id, user_ids)
        return {row.id: row for row in rows}

    async def histories(
        self, seen_seqs: Mapping[int, int | None], page: HistoryPage
    ) -> dict[int, Page[TransactionRow]]:
        """The same page of many users' histories. The caller has checked the right.

        By user id: the `last_seq` of the user's row that the caller has just read, up to which the
        history is complete. None: it is as new as can be. Raises InvalidInput: `first`, `after`.
        """
        bounds.check_page(page.first)
        seqs = {id_: seq for id_, seq in seen_seqs.items() if seq is not None}
        query = partial(
            newest_transactions,
            user_ids=seen_seqs,
            before_seq=position_of(page.after),
            kind=page.kind,
            limit=page.first + 1,  # one more tells whether there is a next page
        )
        if len(seqs) == len(seen_seqs):
            rows = await self._replica.read(query, is_new_enough=partial(_has_all_up_to, seqs))
        else:
            rows = await self._database.read(query)
        by_user: dict[int, list[TransactionRow]] = {user_id: [] for user_id in seen_seqs}
        for row in rows:
            by_user[row.user_id].append(row)
        return {
            user_id: Page.cut(mine, page.first, page.after, lambda row: cursor_of(row.seq))
            for user_id, mine in by_user.items()
        }


async def _has_all_up_to(seqs: Mapping[int, int], session: AsyncSession) -> bool:
    """A player reads its own writes."""
    rows = await users_by_id(session, seqs)
    return len(rows) == len(seqs) and all(row.last_seq >= seqs[row.id] for row in rows)
