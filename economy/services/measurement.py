"""What metrics tell of the whole economy: measured, stored, and shown by whoever is asked."""

import asyncio
import logging
from datetime import UTC, datetime

from economy.database import Database
from economy.errors import EconomyError
from economy.metrics import Metrics
from economy.repositories.circulation import (
    insert_circulation,
    measure_circulation,
    newest_circulation,
)
from economy.repositories.job import jobs_succeeded_at
from economy.repositories.verification import newest_verification

LONGEST_READ_SECONDS = 2.0  # Prometheus asks again; an old figure is better than none

logger = logging.getLogger(__name__)


class MeasurementService:
    """For operators and jobs, so nobody is asked for a right."""

    def __init__(self, database: Database, metrics: Metrics) -> None:
        self._database = database
        self._metrics = metrics

    async def measure_circulation(self) -> None:
        """Add up balances and debts. Raises Unavailable."""
        async with self._database.snapshot() as session:
            row = await measure_circulation(session, datetime.now(UTC))
        async with self._database.unit_of_work() as session:
            await insert_circulation(session, row)

    async def refresh(self) -> None:
        """Read what is stored into the metrics. What cannot be read stays as it was."""
        try:
            async with asyncio.timeout(LONGEST_READ_SECONDS):
                await self._refresh()
        except (EconomyError, TimeoutError):
            logger.warning("the metrics that stand in the database are not fresh")

    async def _refresh(self) -> None:
        metrics = self._metrics
        for job, succeeded_at in (await self._database.read(jobs_succeeded_at)).items():
            metrics.job_succeeded_at.labels(job).set(succeeded_at.timestamp())
        verification = await self._database.read(newest_verification)
        if verification is not None:
            metrics.broken_invariants.set(verification.broken_invariants)
            metrics.verified_at.set(verification.finished_at.timestamp())
        circulation = await self._database.read(newest_circulation)
        if circulation is not None:
            metrics.coins.set(circulation.coins)
            metrics.coins_owed.set(circulation.owed)
            metrics.users.set(circulation.users)
            metrics.circulation_measured_at.set(circulation.measured_at.timestamp())
