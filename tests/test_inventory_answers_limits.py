"""What a query of one inventory costs: a turn of the read limit, and on a hit one round trip."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from economy import redis_client
from tests.redis_wire import open_wire
from tests.rest import left_of, limits_of
from tests.sql_counter import recorded_sql
from tests.twins import Process, Twins, open_twins, twin_settings

PLAIN = "{ inventory { quantity product { name } } }"
OF_TYPE = "query ($t: ProductType) { inventory(type: $t) { quantity } }"
QUOTA, WINDOW = 20, 600  # no test takes as long
RETRY_AFTER = re.compile(rb'(?<=try again in )\d+|(?<="retryAfter":)\d+')


@pytest.fixture
async def twins(postgres_url: str, own_redis_url: str) -> AsyncIterator[Twins]:
    rate = f"{QUOTA}/{WINDOW}"
    async with open_twins(
        twin_settings(postgres_url, own_redis_url, rate_limit_player_reads=rate)
    ) as twins:
        yield twins


async def use_up(process: Process, twins: Twins, left: int) -> None:
    """All that is left of Anna's reads, with something else."""
    for expected in reversed(range(left)):
        assert left_of(await process.ask(twins.anna, "{ me { id } }")) == {"read": expected}


def without_time(response: httpx.Response) -> bytes:
    """Of a refusal: its body, but when to try again."""
    assert response.status_code == 200
    assert len(RETRY_AFTER.findall(response.content)) == 2
    return RETRY_AFTER.sub(b"n", response.content)


async def test_each_query_takes_one_turn(twins: Twins) -> None:
    """Interpreted, a miss, a hit, or in the place of another: in both processes, by any way."""
    left = QUOTA
    for process in (twins.one, twins.one, twins.one, twins.other, twins.other):
        for document in (PLAIN, "{ inventory { id } }", "{ inventory { quantity } }"):
            response = await process.ask(twins.anna, document)
            left -= 1
            assert response.json().keys() == {"data"}
            assert limits_of(response) == {"read": (QUOTA, WINDOW, left)}
    assert twins.one.kept[0] > 0
    assert twins.other.kept[0] > 0
    assert left_of(await twins.one.ask(twins.boris, PLAIN)) == {"read": QUOTA - 1}
    assert limits_of(await twins.one.ask(twins.server, "{ inventory { id } }")) == {}


async def test_what_does_not_run_costs_nothing(twins: Twins) -> None:
    """As without Redis: variables of a wrong form, and what may not be read."""
    for _ in range(3):
        for wrong in ('"NOTHING"', "1", "[[]]"):
            response = await twins.one.ask(twins.anna, OF_TYPE, t=json.loads(wrong))
            assert response.json()["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
            assert limits_of(response) == {}
        response = await twins.one.ask(twins.anna, '{ inventory(userId: "2") { quantity } }')
        assert limits_of(response) == {}
    assert left_of(await twins.one.ask(twins.anna, OF_TYPE)) == {"read": QUOTA - 1}


async def test_a_refused_query(twins: Twins) -> None:
    """Of an answer that is kept, that is not, that has not been asked for before: always the same,
    and no SQL."""
    await use_up(twins.plain, twins, QUOTA)
    expected = without_time(await twins.plain.ask(twins.anna, PLAIN))
    for _ in range(3):
        await twins.one.answer(twins.anna, PLAIN)
    await use_up(twins.one, twins, QUOTA - 3)
    for kept in (True, False):
        for process in (twins.one, twins.one, twins.other, twins.other):
            with recorded_sql(process.services.database) as statements:
                response = await process.ask(twins.anna, PLAIN)
            assert without_time(response) == expected
            assert statements == []
            assert limits_of(response) == {"read": (QUOTA, WINDOW, 0)}
        if kept:
            assert twins.one.kept[0] > 1  # a hit was refused
            await twins.world.buy(twins.world.anna, twins.world.boost)
    assert b'"quantity":1' in await twins.one.answer(twins.boris, PLAIN)


async def test_refusals_are_not_kept(twins: Twins) -> None:
    """Who may read gets the answer that was refused to another."""
    document = "query ($u: ID!) { inventory(userId: $u) { quantity } }"
    await twins.one.answer(twins.server, document, u="1")  # from now on it is compiled
    await use_up(twins.one, twins, QUOTA)
    assert without_time(await twins.one.ask(twins.anna, document, u="1"))
    for _ in range(3):
        answer = await twins.one.answer(twins.server, document, u="1")
        assert answer == b'{"data":{"inventory":[{"quantity":2},{"quantity":1}]}}'


async def test_cancelled_queries(twins: Twins) -> None:
    """Wherever each of them stops, it takes a turn at most, and harms nobody."""
    expected = [await twins.one.answer(twins.anna, PLAIN) for _ in range(2)][1]
    for ticks in range(1, 13):
        asking = asyncio.create_task(twins.one.ask(twins.anna, PLAIN))
        for _ in range(ticks):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
    response = await twins.one.ask(twins.anna, PLAIN)
    assert response.content == expected
    assert QUOTA - 15 <= left_of(response)["read"] <= QUOTA - 3


async def test_queries_at_once(twins: Twins) -> None:
    """No more are granted than the limit allows, hits and misses together."""
    await twins.one.answer(twins.boris, PLAIN)
    await twins.other.answer(twins.boris, PLAIN)
    asked = [process.ask(twins.anna, PLAIN) for process in 15 * [twins.one, twins.other]]
    bodies = [response.json() for response in await asyncio.gather(*asked)]
    expected = [
        {"quantity": 2, "product": {"name": "Буст на день"}},
        {"quantity": 1, "product": {"name": "Премиум-статус"}},
    ]
    granted = [body for body in bodies if body == {"data": {"inventory": expected}}]
    refused = [body for body in bodies if body["data"] == {"inventory": None}]
    assert (len(granted), len(refused)) == (QUOTA, 30 - QUOTA)


@pytest.mark.parametrize("rate", [f"{QUOTA}/{WINDOW}", ""])
async def test_a_hit_is_one_round_trip(
    postgres_url: str,
    own_redis_url: str,
    tmp_path: Path,
    rate: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The turn is taken in it, where there is a limit."""
    monkeypatch.setattr(redis_client, "HEARTBEAT_SECONDS", 3600)  # it has a round trip of its own
    commands = ["EVAL", "MGET"] if rate else ["MGET"]
    async with (
        open_wire(own_redis_url, tmp_path) as wire,
        open_twins(twin_settings(postgres_url, wire.url, rate_limit_player_reads=rate)) as twins,
    ):
        for _ in range(2):
            await twins.one.answer(twins.anna, PLAIN)
        wire.sent.clear()
        for number in range(1, 4):
            with recorded_sql(twins.one.services.database) as statements:
                await twins.one.answer(twins.anna, PLAIN)
            assert statements == []
            assert wire.sent == number * [commands]
