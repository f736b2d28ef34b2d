"""SQL of periodic jobs."""

from datetime import UTC, datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from economy.models.job import JobProgress
from economy.repositories.tables import insert_or_skip, table_of

_TABLE = table_of(JobProgress)
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


async def job_done_until(session: AsyncSession, job: str) -> datetime:
    """NEVER: it has not run yet."""
    found = await session.scalar(select(_TABLE.c.done_until).where(_TABLE.c.job == job))
    return found or NEVER


async def job_done_until_for_update(session: AsyncSession, job: str) -> datetime:
    """The same; until the unit of work ends nobody else gets an answer."""
    await session.execute(insert_or_skip(session, JobProgress).values(job=job, done_until=NEVER))
    statement = select(_TABLE.c.done_until).where(_TABLE.c.job == job).with_for_update()
    found: datetime = (await session.execute(statement)).scalar_one()
    return found


async def set_job_done_until(session: AsyncSession, job: str, done_until: datetime) -> None:
    await session.execute(update(_TABLE).where(_TABLE.c.job == job).values(done_until=done_until))


async def set_job_succeeded_at(session: AsyncSession, job: str, succeeded_at: datetime) -> None:
    await session.execute(insert_or_skip(session, JobProgress).values(job=job, done_until=NEVER))
    await session.execute(
        update(_TABLE).where(_TABLE.c.job == job).values(succeeded_at=succeeded_at)
    )


async def jobs_succeeded_at(session: AsyncSession) -> dict[str, datetime]:
    """Of those that have ended well at all."""
    statement = select(_TABLE.c.job, _TABLE.c.succeeded_at)
    rows = await session.execute(statement.where(_TABLE.c.succeeded_at.is_not(None)))
    return {row.job: row.succeeded_at for row in rows}
