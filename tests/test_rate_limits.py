"""The limiter: an exact sliding window, in Redis for all processes, or in each one's memory."""

import asyncio
import time
from collections.abc import Awaitable, Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import pytest
from redis import Redis

from economy.errors import RateLimited
from economy.metrics import Metrics
from economy.rate_limits import MOST_ACTORS_IN_PROCESS, Act, Limit, RateLimits, Turn
from tests.limiter import SECOND, Clock, Pattern, open_limits, open_processes, take
from tests.redis_database import empty_database
from tests.servers import redis_server

KEYS = "economy:2:limit:*"


@pytest.fixture
def own_redis(redis_url: str, worker_id: str) -> Iterator[Any]:
    with Redis.from_url(empty_database(redis_url, worker_id)) as client:
        yield client


@pytest.fixture
def own_redis_url(own_redis: Any, redis_url: str, worker_id: str) -> str:
    return empty_database(redis_url, worker_id)


@pytest.fixture(params=["memory", "redis"])
def url(request: pytest.FixtureRequest) -> str | None:
    """Of Redis; None: the limiter counts in the process."""
    if request.param == "memory":
        return None
    found: str = request.getfixturevalue("own_redis_url")
    return found


@pytest.fixture
def clock(url: str | None, request: pytest.FixtureRequest) -> Clock:
    """The clock of whoever counts."""
    if url is None:
        return lambda: time.monotonic_ns() // 1_000
    client = request.getfixturevalue("own_redis")

    def time_of_redis() -> int:
        seconds, microseconds = client.time()
        return int(seconds) * SECOND + int(microseconds)

    return time_of_redis


async def refusal_of(taking: Awaitable[object]) -> RateLimited:
    with pytest.raises(RateLimited) as refused:
        await taking
    return refused.value


async def test_the_figures(url: str | None) -> None:
    async with open_limits(url, player_money="3/600") as limits:
        for remaining in (2, 1, 0):
            turn = await take(limits)
            assert (turn.remaining, turn.who) == (remaining, "player:1")
            assert turn.limit == Limit(Act.MONEY, 3, 600)
            assert 1 <= turn.reset_seconds <= 600
        for _ in range(5):
            error = await refusal_of(take(limits))
            assert (error.limit, error.quota, error.window_seconds) == ("money", 3, 600)
            assert 1 <= error.retry_after <= 600


async def test_any_pattern_of_one_actor(url: str | None, clock: Clock) -> None:
    """Each answer is what the plain model says: see Pattern."""
    count = 1 if url is None else 3  # without Redis a process knows nothing of another
    patterns: list[Pattern] = []
    async with AsyncExitStack() as stack:
        for quota, seconds in ((1, 1), (2, 1), (3, 2), (7, 2)):
            opening = open_processes(count, url, player_money=f"{quota}/{seconds}")
            processes = await stack.enter_async_context(opening)
            limit = Limit(Act.MONEY, quota, seconds)
            seeds = range(100 * quota, 100 * quota + 6)
            patterns += [Pattern(processes, limit, clock, seed) for seed in seeds]
        until = clock() + 22 * SECOND // 10
        await asyncio.gather(*(pattern.follow(until=until) for pattern in patterns))


async def test_processes_grant_the_quota_together(own_redis_url: str) -> None:
    async with open_processes(3, own_redis_url, player_money="40/600") as processes:
        answers = await asyncio.gather(
            *(take(limits) for _ in range(50) for limits in processes), return_exceptions=True
        )
    granted = [answer for answer in answers if isinstance(answer, Turn)]
    assert sorted(turn.remaining for turn in granted) == list(range(40))
    assert sum(isinstance(answer, RateLimited) for answer in answers) == 110


async def test_no_stretch_holds_more_than_the_quota(own_redis_url: str) -> None:
    """Three processes ask as fast as they can, until the window has passed."""
    times: list[int] = []

    async def insist(limits: RateLimits) -> None:
        while len(times) < 10:
            try:
                times.append((await take(limits)).taken_at)
            except RateLimited:
                await asyncio.sleep(0.002)

    async with open_processes(3, own_redis_url, player_money="5/1") as processes:
        await asyncio.gather(*(insist(limits) for limits in processes for _ in range(3)))
    times.sort()
    assert all(later - earlier >= SECOND for earlier, later in zip(times, times[5:], strict=False))


async def test_cancelled_callers(url: str | None) -> None:
    """They may have cost a turn each; nobody else is held up, and no turn comes from nowhere."""
    async with open_limits(url, player_money="30/600") as limits:
        for ticks in (1, 2, 3):
            callers = [asyncio.create_task(take(limits)) for _ in range(5)]
            for _ in range(ticks):
                await asyncio.sleep(0)
            for caller in callers:
                caller.cancel()
            await asyncio.wait(callers)
        granted = 0
        while True:
            try:
                turn = await take(limits)
            except RateLimited:
                break
            granted += 1
        assert turn.remaining == 0
        assert 30 - 15 <= granted <= 30


async def test_others_have_their_own(url: str | None) -> None:
    rates = {"player_money": "1/600", "player_reads": "1/600", "server_money": "1/600"}
    rates |= {"server_reads": "1/600", "failed_authentication": "1/600"}
    async with open_limits(url, None, **rates) as limits:
        for who, is_player in (("player:1", True), ("player:11", True), ("server:1", False)):
            for act in (Act.MONEY, Act.READ):
                turn = await limits.take(act, who, is_player=is_player)
                assert turn is not None
                assert turn.remaining == 0
                assert turn.limit.act is act
                error = await refusal_of(limits.take(act, who, is_player=is_player))
                assert error.limit == act.value
        for address in ("10.0.0.1", "player:1"):
            await limits.note_failed_authentication(address)
            error = await refusal_of(limits.note_failed_authentication(address))
            assert error.limit == "failed-authentication"


async def test_a_turn_given_back(url: str | None) -> None:
    async with open_limits(url, player_money="3/600") as limits:
        turns = [await take(limits) for _ in range(3)]
        await refusal_of(take(limits))
        other = await take(limits, "player:2")
        await limits.give_back(turns[1])
        assert (await take(limits)).remaining == 0
        await refusal_of(take(limits))
        await limits.give_back(other)
        await refusal_of(take(limits))
        assert (await take(limits, "player:2")).remaining == 2
        await limits.give_back(turns[0])
        await limits.give_back(turns[2])
        assert (await take(limits)).remaining == 1


async def test_without_limits(own_redis: Any, own_redis_url: str) -> None:
    rates = {"player_money": "", "player_reads": "", "failed_authentication": ""}
    for url in (None, own_redis_url):
        async with open_limits(url, None, **rates) as limits:
            for _ in range(500):
                for act in (Act.MONEY, Act.READ):
                    assert await limits.take(act, "player:1", is_player=True) is None
                    assert await limits.take(act, "server:1", is_player=False) is None
                await limits.note_failed_authentication("10.0.0.1")
    assert own_redis.keys(KEYS) == []


async def test_what_redis_holds(own_redis: Any, own_redis_url: str) -> None:
    """No more than the quota, and no longer than the window."""
    async with open_limits(own_redis_url, player_money="3/1") as limits:
        turn = await take(limits)
        for _ in range(50):
            await asyncio.gather(*(take(limits) for _ in range(4)), return_exceptions=True)
            await limits.give_back(turn)
            for key in own_redis.keys(KEYS):
                assert own_redis.llen(key) <= 3
                assert -2 <= own_redis.pttl(key) <= 1_000
                assert own_redis.pttl(key) != -1  # it would stay for ever
        assert {key.decode() for key in own_redis.keys(KEYS)} <= {"economy:2:limit:money:player:1"}
        while own_redis.keys(KEYS):  # noqa: ASYNC110 - there is nothing else to wait for
            await asyncio.sleep(0.01)


async def test_a_process_remembers_so_many() -> None:
    """Those that it forgets are the ones that asked longest ago."""
    async with open_limits(None, player_money="1/600") as limits:
        for number in range(MOST_ACTORS_IN_PROCESS):
            await take(limits, f"player:{number}")
        await refusal_of(take(limits, "player:0"))  # asked again: not the first to go
        await take(limits, "player:new")
        await refusal_of(take(limits, "player:0"))
        await refusal_of(take(limits, "player:2"))
        assert (await take(limits, "player:1")).remaining == 0


async def test_without_redis_each_process_counts_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_REDIS_URL", raising=False)
    with ExitStack() as server:
        url = server.enter_context(redis_server())
        async with open_processes(2, url, player_money="3/600") as processes:
            turns = [await take(processes[number]) for number in (0, 1, 0)]
            for limits in processes:
                await refusal_of(take(limits))
            server.close()
            for limits in processes:
                mine = [await take(limits) for _ in range(3)]
                assert [turn.remaining for turn in mine] == [2, 1, 0]
                await refusal_of(take(limits))
                await limits.give_back(turns[0])  # Redis had counted it
                await refusal_of(take(limits))
                await limits.give_back(mine[1])
                assert (await take(limits)).remaining == 0
                await refusal_of(take(limits))


async def test_the_metric(url: str | None) -> None:
    metrics = Metrics()
    rates = {"player_money": "1/600", "failed_authentication": "2/600"}
    async with open_limits(url, metrics, **rates) as limits:
        await asyncio.gather(*(take(limits) for _ in range(4)), return_exceptions=True)
        for _ in range(2):
            await limits.note_failed_authentication("10.0.0.1")
        await refusal_of(limits.note_failed_authentication("10.0.0.1"))
    name = "economy_rate_limit_rejections_total"
    lines = [line for line in metrics.text().decode().splitlines() if line.startswith(name)]
    assert lines == [f'{name}{{limit="money"}} 3.0', f'{name}{{limit="failed-authentication"}} 1.0']
