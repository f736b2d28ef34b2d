"""How Celery is set up: what becomes of tasks, and what is said without a broker."""

import pytest

from economy.jobs import Job
from economy.settings import Settings
from economy.worker import make_celery, task_name
from tests.live import run_economy


@pytest.mark.parametrize("command", ["worker", "beat"])
def test_without_a_broker_it_says_so_and_ends(sqlite_url: str, command: str) -> None:
    ended = run_economy(command, database_url=sqlite_url)
    assert (ended.returncode, ended.stdout, ended.stderr) == (
        *(1, "", "Error: set ECONOMY_BROKER_URL, such as redis://host:6379/1\n"),
    )


@pytest.mark.parametrize("command", ["worker", "beat"])
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("nowhere", (2, "economy: ECONOMY_BROKER_URL: must be like redis://host:6379/1\n")),
        ("foo://", (1, "Error: ECONOMY_BROKER_URL: there is no such kind of broker\n")),
    ],
)
def test_a_wrong_broker_is_said_in_one_line(
    sqlite_url: str, command: str, url: str, expected: tuple[int, str]
) -> None:
    ended = run_economy(command, database_url=sqlite_url, broker_url=url)
    assert (ended.returncode, ended.stderr, ended.stdout) == (*expected, "")


def test_tasks_are_acknowledged_late_limited_and_retried_with_backoff() -> None:
    app = make_celery(Settings(broker_url="redis://nowhere/9", jobs_every_seconds=30))
    for job in Job:
        limit = 6 * 3600 if job is Job.VERIFY else 600  # that one reads the whole journal
        task = app.tasks[task_name(job)]
        assert (task.acks_late, task.reject_on_worker_lost, task.ignore_result) == (True,) * 3
        assert (task.soft_time_limit, task.time_limit) == (limit, limit + 30)
        assert (task.autoretry_for, task.max_retries) == ((Exception,), 8)
        assert (task.retry_backoff, task.retry_backoff_max, task.retry_jitter) == (True, 60, True)
        assert app.conf.beat_schedule[job.value] == {
            "task": task_name(job),
            "schedule": 30,
            "options": {"expires": 30},
        }
    assert {name for name in app.tasks if not name.startswith("celery.")} == set(
        map(task_name, Job)
    )
    assert app.conf.worker_prefetch_multiplier == 1
    # a task that is running, or waits for its next try, is not delivered to another
    assert app.conf.broker_transport_options["visibility_timeout"] > 6 * 3600 + 30
    assert app.conf.broker_connection_retry_on_startup is True
