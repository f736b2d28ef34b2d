"""The loop inside a server that triggers every job, again and again, each beside the others."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from economy import jobs as jobs_module
from economy.bootstrap import open_services
from economy.jobs import Job, run_jobs
from economy.metrics import Metrics
from economy.repositories.job import NEVER
from economy.services import Services
from economy.settings import Settings
from tests.due_jobs import MARKED, midnight, progress, runs, set_progress, until
from tests.migrating import execute
from tests.rival import open_rival

RESET, COUNT, DELETE = Job.RESET_INVENTORY_CACHE, Job.COUNT_PURCHASES, Job.DELETE_EXPIRED
# in an economy where nothing is pending
DONE_ONCE: dict[tuple[str, str], float] = {(job, "done"): 1 for job in MARKED}
DONE_ONCE |= {(Job.EXPIRE_TOP_UPS, "idle"): 1}
HIDE = "ALTER TABLE purchase_hour RENAME TO hidden"  # then counting fails, and deleting
SHOW = "ALTER TABLE hidden RENAME TO purchase_hour"


@asynccontextmanager
async def running_jobs(services: Services, *, every_seconds: float) -> AsyncIterator[None]:
    running = asyncio.create_task(run_jobs(services.jobs.run, every_seconds=every_seconds))
    try:
        yield
    finally:
        assert not running.done()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_a_failing_job_does_not_stop_the_others(
    settings: Settings, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    async with open_services(settings, metrics) as services:
        await execute(database_url, HIDE)

        async def has_failed_twice() -> bool:
            return all(runs(metrics).get((job, "failed"), 0) >= 2 for job in (COUNT, DELETE))

        async def is_done() -> bool:
            return DONE_ONCE.keys() <= runs(metrics).keys()

        async with running_jobs(services, every_seconds=0.05):
            await until(has_failed_twice)
            failed = {job: runs(metrics)[job, "failed"] for job in (COUNT, DELETE)}
            logged = [record.getMessage() for record in caplog.records]
            assert len(logged) == sum(failed.values())
            for job, count in failed.items():
                assert logged.count(f"the job {job} failed: it is tried again") == count
            assert (await progress(services.database))[RESET] == midnight()
            await execute(database_url, SHOW)
            await until(is_done)
        assert {record.levelno for record in caplog.records} == {logging.ERROR}
        assert all(record.exc_info for record in caplog.records)
        assert (await progress(services.database)).keys() == set(Job)


async def test_jobs_run_at_start_and_end_when_cancelled(settings: Settings) -> None:
    metrics = Metrics()
    async with open_services(settings, metrics) as services:

        async def is_done() -> bool:
            return runs(metrics) == DONE_ONCE

        async with running_jobs(services, every_seconds=3600):
            await until(is_done)
        assert runs(metrics) == DONE_ONCE


async def test_a_job_that_takes_long_holds_up_no_other() -> None:
    begun, ended, done = list[Job](), list[Job](), asyncio.Event()

    async def run(job: Job) -> None:
        begun.append(job)
        if job is Job.VERIFY:
            await done.wait()
        ended.append(job)

    async def all_have_run(times: int, *others: Job) -> bool:
        return all(ended.count(job) >= times for job in {*others})

    running = asyncio.create_task(run_jobs(run, every_seconds=0.001))
    await until(lambda: all_have_run(3, *set(Job) - {Job.VERIFY}))
    assert begun.count(Job.VERIFY) == 1  # nor does it run twice at once
    assert ended.count(Job.VERIFY) == 0
    done.set()
    await until(lambda: all_have_run(2, Job.VERIFY))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_job_that_hangs_is_cut_short(
    settings: Settings,
    database_url: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs_module, "TIME_LIMIT_SECONDS", 2)
    # the database would cut it short, too
    settings = settings.model_copy(
        update={"lock_timeout_ms": 600_000, "statement_timeout_ms": 600_000}
    )
    metrics = Metrics()
    async with open_services(settings, metrics) as services, open_rival(database_url) as rival:
        await set_progress(services.database, COUNT, NEVER)
        async with rival.connection.transaction():
            await rival.connection.execute(
                "SELECT 1 FROM job_progress WHERE job = $1 FOR UPDATE", COUNT
            )

            async def has_each_ended() -> bool:
                return runs(metrics).keys() == expected.keys()

            expected = DONE_ONCE | {(COUNT, "failed"): 1}
            del expected[COUNT, "done"]
            async with running_jobs(services, every_seconds=3600):
                await until(has_each_ended)
            await rival.until_waiting(0)
        assert runs(metrics) == expected
        [record] = caplog.records
        assert record.getMessage() == f"the job {COUNT} failed: it is tried again"
        assert (await progress(services.database))[COUNT] == NEVER
        assert await services.jobs.run(COUNT) is True
