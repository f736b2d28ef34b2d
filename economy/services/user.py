"""Users: creating them, reading them and their history."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import NamedTuple

from economy.database import Database
from economy.errors import AlreadyTaken
from economy.models.claim import ClaimKind
from economy.models.transaction import TransactionRow
from economy.models.user import UserRow
from economy.repositories.transaction import newest_transactions
from economy.repositories.user import claim_values, insert_user, users_by_id
from economy.services import bounds
from economy.services.access import Actor, Scope, require_scope
from economy.services.pages import Page, cursor_of, position_of


class HistoryPage(NamedTuple):
    """Which page of a user's history: newest first, `kind` None means all kinds."""

    first: int
    after: str | None
    kind: str | None


class UserService:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_user(self, actor: Actor | None, *, username: str, email: str) -> UserRow:
        """Raises AlreadyTaken (whatever the case of its letters) and InvalidInput."""
        require_scope(actor, Scope.USERS_WRITE)
        bounds.check_user(username, email)
        claims = {ClaimKind.USERNAME: username.lower(), ClaimKind.EMAIL: email.lower()}
        async with self._database.unit_of_work() as session:
            user = await insert_user(
                session, username=username, email=email, created_at=datetime.now(UTC)
            )
            claimed = await claim_values(session, user.id, claims)
            taken = tuple(kind.value for kind in claims if kind not in claimed)
            if taken:
                raise AlreadyTaken(taken)
        return user

    async def users(self, user_ids: Collection[int]) -> dict[int, UserRow]:
        """Many users by id. The caller has checked the right."""
        rows = await self._database.read(users_by_id, user_ids)
        return {row.id: row for row in rows}

    async def histories(
        self, user_ids: Collection[int], page: HistoryPage
    ) -> dict[int, Page[TransactionRow]]:
        """The same page of many users' histories. The caller has checked the right.

        Raises InvalidInput: `first`, `after`.
        """
        bounds.check_page(page.first)
        rows = await self._database.read(
            newest_transactions,
            user_ids,
            before_seq=position_of(page.after),
            kind=page.kind,
            limit=page.first + 1,  # one more tells whether there is a next page
        )
        by_user: dict[int, list[TransactionRow]] = {user_id: [] for user_id in user_ids}
        for row in rows:
            by_user[row.user_id].append(row)
        return {
            user_id: Page.cut(mine, page.first, page.after, lambda row: cursor_of(row.seq))
            for user_id, mine in by_user.items()
        }
