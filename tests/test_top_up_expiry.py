"""Pending top-ups that are never paid: a job fails them, once, and late payments are told so."""

from datetime import timedelta

import pytest

from economy.bootstrap import open_services
from economy.errors import AlreadyTaken, TopUpExpired
from economy.jobs import Job
from economy.metrics import Metrics
from economy.services.top_up import EXPIRED_AT_ONCE
from economy.settings import Settings
from tests.due_jobs import runs
from tests.journal import error_of, journal_of, nothing_changes, one_decline, told
from tests.pending_top_ups import LONG_AGO, pending_since
from tests.world import World

HOUR = 3600
YOUNG, OLD = timedelta(seconds=HOUR - 600), timedelta(seconds=HOUR + 600)


async def test_what_is_due_expires_and_nothing_else(database_url: str) -> None:
    metrics = Metrics()
    settings = Settings(database_url=database_url, top_up_expires_after_seconds=HOUR)
    async with open_services(settings, metrics) as services:
        world = await World.create(services)
        anna, boris = world.anna, world.boris
        jobs = services.jobs
        [old] = await pending_since(world, anna, OLD)
        [young] = await pending_since(world, anna, YOUNG)
        [other] = await pending_since(world, boris, LONG_AGO)
        new = (await world.begin(boris, 250, external_reference="new")).transaction
        [paid] = await pending_since(world, boris, LONG_AGO)
        await world.complete(paid)
        assert await jobs.run(Job.EXPIRE_TOP_UPS) is True
        async with nothing_changes(world):
            assert await jobs.run(Job.EXPIRE_TOP_UPS) is False
        rows = await journal_of(services, anna) + await journal_of(services, boris)
        assert [(row.id, row.status, row.failure_code, row.settled_seq) for row in rows] == [
            (old.id, "failed", "TOP_UP_EXPIRED", 3),
            (young.id, "pending", None, None),
            (other.id, "failed", "TOP_UP_EXPIRED", 5),
            (new.id, "pending", None, None),
            (paid.id, "completed", None, 4),
        ]
        assert runs(metrics) == {("expire_top_ups", "done"): 1, ("expire_top_ups", "idle"): 1}
        assert (await world.complete(young)).user.balance == 250  # just in time
        assert [await world.worth(user) for user in (anna, boris)] == [(250, 0), (250, 0)]
        assert await world.broken() == {}


async def test_news_of_one_that_has_expired(world: World) -> None:
    """However often the provider sends it: one answer, one row in the journal, no coins."""
    anna, jobs = world.anna, world.services.jobs
    begun = (await world.begin(anna, 250, external_reference="r", idempotency_key="k")).transaction
    async with nothing_changes(world):
        assert await jobs.run(Job.EXPIRE_TOP_UPS) is False  # not due
    soon = world.services.settings.model_copy(update={"top_up_expires_after_seconds": 0})
    async with open_services(soon) as another:
        assert await another.jobs.run(Job.EXPIRE_TOP_UPS) is True
    for replayed in (False, True, True):
        error = await error_of(world.complete(begun))
        assert told(error) == (
            TopUpExpired,
            {"transaction_id": str(begun.id), "replayed": replayed},
            "This top-up had expired before. Nothing was credited.",
        )
    async with nothing_changes(world):  # it has failed, as the provider says
        failed = await world.fail(begun)
        again = await world.begin(anna, 250, external_reference="r", idempotency_key="k")
    for answer in (failed, again):
        assert (answer.transaction.failure_code, answer.replayed) == ("TOP_UP_EXPIRED", True)
    rows = await journal_of(world.services, anna)
    assert [(row.kind, row.status, row.failure_code, row.actor) for row in rows] == [
        ("top_up", "failed", "TOP_UP_EXPIRED", "server:test"),
        ("top_up_settlement", "failed", "TOP_UP_EXPIRED", "server:test"),
    ]
    # what was paid after all is credited under the payment's id, once
    assert (await world.credit(anna, 250, external_reference="r")).user.balance == 250
    async with one_decline(world, anna):
        error = await error_of(world.credit(anna, 250, external_reference="r"))
    assert type(error) is AlreadyTaken
    assert await world.broken() == {}


@pytest.mark.parametrize("queue_limit", [5_000, EXPIRED_AT_ONCE])
async def test_more_than_one_look_finds_expire_all_the_same(
    sqlite_url: str, queue_limit: int
) -> None:
    settings = Settings(database_url=sqlite_url, posting_queue_limit=queue_limit)
    async with open_services(settings) as services:
        world = await World.create(services)
        many = EXPIRED_AT_ONCE // 2 + 1
        for user in (world.anna, world.boris):
            await pending_since(world, user, count=many)
        assert await services.jobs.run(Job.EXPIRE_TOP_UPS) is True
        rows = await world.sql(
            'SELECT user_id, failure_code, count(*), max(settled_seq) FROM "transaction" '
            "GROUP BY user_id, failure_code ORDER BY user_id"
        )
        assert [tuple(row) for row in rows] == [
            (user.id, "TOP_UP_EXPIRED", many, 2 * many) for user in (world.anna, world.boris)
        ]
        assert await world.broken() == {}
