"""Celery: the worker that runs the periodic jobs, and the schedule that triggers them."""

import asyncio
import logging
from concurrent.futures import Future
from contextlib import AsyncExitStack
from threading import Thread
from typing import Any

from celery import Celery
from celery.signals import (
    setup_logging,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
)

from economy.bootstrap import open_services
from economy.jobs import LONG_TIME_LIMIT_SECONDS, Job, time_limit_seconds
from economy.logs import configure_logging
from economy.metrics import Metrics
from economy.services import Services
from economy.settings import Settings

MOST_RETRIES = 8
LONGEST_BACKOFF_SECONDS = 60
REDELIVERED_AFTER_SECONDS = LONG_TIME_LIMIT_SECONDS + 60  # what a lost worker had taken


class WorkerProcess:
    """One of the worker's processes: its services, on an event loop that never pauses.

    Between two tasks connections must be kept up: hence a thread of its own.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened = AsyncExitStack()
        self._services: Services | None = None

    def start(self) -> None:
        """In the process itself: a loop that was made before the fork would be shared."""
        self._loop = asyncio.new_event_loop()
        Thread(target=self._loop.run_forever, daemon=True).start()
        self._services = self._submit(self._open()).result()

    async def _open(self) -> Services:
        metrics = Metrics()
        if self._settings.worker_metrics_port is not None:
            at = self._settings.host, self._settings.worker_metrics_port
            self._opened.enter_context(metrics.shown_at(*at))
        return await self._opened.enter_async_context(open_services(self._settings, metrics))

    def stop(self) -> None:
        self._submit(self._opened.aclose()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)

    def run(self, job: Job) -> None:
        """Raises whatever makes the job fail, SoftTimeLimitExceeded included."""
        assert self._services is not None
        running = self._submit(self._services.jobs.run(job))
        try:
            running.result()
        finally:
            running.cancel()  # in case of the time limit: what it holds is released

    def _submit(self, work: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)


class UnknownBroker(ValueError):
    """There is no transport for the scheme of that URL."""


def make_celery(settings: Settings) -> Celery:
    """The application of `economy worker` and `economy beat`. `broker_url` must be set.

    Raises UnknownBroker.
    """
    app = Celery("economy", broker=settings.broker_url)
    try:
        app.connection_for_write().get_transport_cls()
    except (KeyError, ImportError, AttributeError):
        raise UnknownBroker from None
    app.conf.update(
        task_acks_late=True,  # a task that its worker did not survive is delivered again
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={"visibility_timeout": REDELIVERED_AFTER_SECONDS},
        task_default_queue="economy",
        timezone="UTC",
        beat_schedule={
            job.value: {
                "task": task_name(job),
                "schedule": settings.jobs_every_seconds,
                # triggers that nobody took do not pile up
                "options": {"expires": settings.jobs_every_seconds},
            }
            for job in Job
        },
    )
    setup_logging.connect(lambda **_: _configure_logging(settings), weak=False)
    process = WorkerProcess(settings)
    worker_process_init.connect(lambda **_: process.start(), weak=False)
    worker_process_shutdown.connect(lambda **_: process.stop(), weak=False)
    for job in Job:
        _add_task(app, process, job)

    def trigger_all(**_: object) -> None:
        """At start, to catch up: the first trigger of `beat` may be long in coming."""
        for job in Job:
            app.send_task(task_name(job))

    worker_ready.connect(trigger_all, weak=False)
    return app


def _configure_logging(settings: Settings) -> None:
    configure_logging(settings)
    logging.captureWarnings(capture=True)  # Celery's own


def task_name(job: Job) -> str:
    return f"economy.{job.value}"


def _add_task(app: Celery, process: WorkerProcess, job: Job) -> None:
    @app.task(
        name=task_name(job),
        soft_time_limit=time_limit_seconds(job),
        time_limit=time_limit_seconds(job) + 30,
        autoretry_for=(Exception,),
        max_retries=MOST_RETRIES,
        retry_backoff=True,
        retry_backoff_max=LONGEST_BACKOFF_SECONDS,
        retry_jitter=True,
    )
    def run() -> None:
        process.run(job)
