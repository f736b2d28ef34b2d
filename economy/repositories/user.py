"""SQL of users and of the claims on their unique values."""

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from economy.models.claim import Claim, ClaimKind
from economy.models.user import NO_HISTORY, User, UserRow
from economy.repositories.any_of import any_of
from economy.repositories.tables import columns_of, insert_or_skip, table_of

_TABLE = table_of(User)
_USERS = columns_of(User, UserRow)


async def users_by_id(session: AsyncSession, ids: Collection[int]) -> list[UserRow]:
    rows = await session.execute(select(*_USERS).where(any_of(session, _TABLE.c.id, ids)))
    return [UserRow._make(row) for row in rows]


async def user_id_by_username(session: AsyncSession, username: str) -> int | None:
    claim = table_of(Claim)
    return await session.scalar(
        select(claim.c.user_id).where(
            claim.c.value == username.lower(), claim.c.kind == ClaimKind.USERNAME
        )
    )


async def insert_user(
    session: AsyncSession, *, username: str, email: str, created_at: datetime
) -> UserRow:
    statement = insert(_TABLE).values(
        username=username,
        email=email,
        balance=0,
        last_seq=0,
        created_at=created_at,
        debt=0,
        chain_hash=NO_HISTORY,
    )
    user_id = (await session.execute(statement.returning(_TABLE.c.id))).scalar_one()
    return UserRow(user_id, username, email, 0, 0, created_at)


async def user_for_update(session: AsyncSession, user_id: int) -> UserRow | None:
    """Locked until the unit of work ends."""
    statement = select(*_USERS).where(_TABLE.c.id == user_id).with_for_update()
    row = (await session.execute(statement)).one_or_none()
    return None if row is None else UserRow._make(row)


async def update_user(session: AsyncSession, user: UserRow) -> None:
    """Name, address and the end of the user; balance and history are posting's."""
    await session.execute(
        update(_TABLE)
        .where(_TABLE.c.id == user.id)
        .values(username=user.username, email=user.email, deleted_at=user.deleted_at)
    )


async def unclaim_values(session: AsyncSession, claims: Mapping[ClaimKind, str]) -> None:
    claim = table_of(Claim)
    for kind, value in claims.items():
        await session.execute(delete(claim).where(claim.c.value == value, claim.c.kind == kind))


async def claim_values(
    session: AsyncSession, user_id: int, claims: Mapping[ClaimKind, str]
) -> set[ClaimKind]:
    """Claim what is still free, in one order for all callers (no deadlock); say what was."""
    rows = [
        {"value": value, "kind": kind.value, "user_id": user_id}
        for kind, value in sorted(claims.items(), key=lambda claim: (claim[1], claim[0]))
    ]
    statement = insert_or_skip(session, Claim).values(rows)
    result = await session.execute(statement.returning(table_of(Claim).c.kind))
    return {ClaimKind(kind) for kind in result.scalars()}
