"""SQL of how many coins there are."""

from datetime import datetime

from sqlalchemy import Double, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from economy.models.circulation import Circulation, CirculationRow
from economy.models.user import User
from economy.repositories.tables import columns_of, insert_or_skip, table_of

_TABLE = table_of(Circulation)
_USERS = table_of(User)


async def measure_circulation(session: AsyncSession, measured_at: datetime) -> CirculationRow:
    """Reads every user."""
    sums = [
        func.coalesce(func.sum(cast(column, Double)), 0.0)
        for column in (_USERS.c.balance, _USERS.c.debt)
    ]
    statement = select(*sums, func.count()).select_from(_USERS)
    return CirculationRow._make((measured_at, *(await session.execute(statement)).one()))


async def insert_circulation(session: AsyncSession, row: CirculationRow) -> None:
    """One of the same moment stays."""
    await session.execute(insert_or_skip(session, Circulation).values(row._asdict()))


async def newest_circulation(session: AsyncSession) -> CirculationRow | None:
    """None: it was not measured yet."""
    columns = columns_of(Circulation, CirculationRow)
    statement = select(*columns).order_by(_TABLE.c.measured_at.desc()).limit(1)
    found = (await session.execute(statement)).one_or_none()
    return None if found is None else CirculationRow._make(found)
