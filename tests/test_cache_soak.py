"""Random readers and writers in two processes: no read is older than what was told before it."""

import asyncio
import os
import random
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

import httpx
import pytest

from economy.api.tokens import PlayerTokens
from economy.bootstrap import open_services
from economy.models.user import UserRow
from economy.services import Services
from economy.settings import Settings
from tests.cache_source import figures
from tests.live import live_server
from tests.redis_database import empty_database
from tests.shop import Headers
from tests.world import SERVER, World

SECONDS = 6.0
MOST_PAUSE_SECONDS = 0.06  # of a writer, so that there are hits between its changes
LIMITS = {"rate_limit_player_money": "", "rate_limit_player_reads": ""}


class History(Protocol):
    """What a player's clients know of how many it holds."""

    def known(self) -> int:
        """A moment: before it nothing may be read any more."""

    def possible(self, since: int) -> range | list[int]:
        """What a read may show that began at that moment, and ends now."""


class GrowingHistory:
    """Of who only buys, several at a time: quantities grow. A moment is the quantity told."""

    def __init__(self) -> None:
        self.told = 0
        self.asked = 0

    def known(self) -> int:
        return self.told

    def possible(self, since: int) -> range:
        return range(since, self.asked + 1)


class MixedHistory:
    """Of who buys and uses, one after the other. A moment is the number of those answered."""

    def __init__(self) -> None:
        self.quantities = [0]  # after each that was asked for
        self.answered = 0

    def known(self) -> int:
        return self.answered

    def possible(self, since: int) -> list[int]:
        return self.quantities[since:]


@dataclass
class Soak:
    client: httpx.AsyncClient
    urls: list[str]
    chance: random.Random
    ends_at: float
    read: int = 0
    read_after_changes: int = 0
    changed: int = 0
    stale: list[str] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.ends_at

    async def change(self, who: Headers, action: str, quantity: int) -> int:
        """How many the player holds after that."""
        url = f"{self.chance.choice(self.urls)}/products/1/{action}"
        response = await self.client.post(url, headers=who, json={"quantity": quantity})
        assert response.status_code == 200, response.text
        self.changed += 1
        held: int = response.json()["item"]["quantity"]
        return held

    async def check_read(self, user: UserRow, who: Headers, history: History) -> None:
        since = history.known()
        url = self.chance.choice(self.urls)
        if self.chance.random() < 0.5:
            response = await self.client.get(f"{url}/users/{user.id}/inventory", headers=who)
            items = response.json()["items"]
        else:
            document = {"query": "{ inventory { quantity } }"}
            response = await self.client.post(f"{url}/graphql", headers=who, json=document)
            items = response.json()["data"]["inventory"]
        quantity = sum(item["quantity"] for item in items)
        self.read += 1
        self.read_after_changes += since > 0
        if quantity not in history.possible(since):
            self.stale.append(f"{user.username} at {url}: {quantity}, told before: {since}")

    async def buy_often(self, user: UserRow, who: Headers, history: GrowingHistory) -> None:
        while not self.is_over:
            quantity = self.chance.randint(1, 3)
            history.asked += quantity
            history.told = max(history.told, await self.change(who, "purchase", quantity))
            await self.check_read(user, who, history)
            await asyncio.sleep(self.chance.uniform(0, MOST_PAUSE_SECONDS))

    async def buy_and_use_often(self, user: UserRow, who: Headers, history: MixedHistory) -> None:
        while not self.is_over:
            held, quantity = history.quantities[-1], self.chance.randint(1, 3)
            is_use = held >= quantity and self.chance.random() < 0.5
            expected = held - quantity if is_use else held + quantity
            history.quantities.append(expected)
            assert await self.change(who, "use" if is_use else "purchase", quantity) == expected
            history.answered += 1
            await self.check_read(user, who, history)
            await asyncio.sleep(self.chance.uniform(0, MOST_PAUSE_SECONDS))

    async def read_often(self, user: UserRow, who: Headers, history: History) -> None:
        while not self.is_over:
            await self.check_read(user, who, history)

    async def run(self, players: list[tuple[UserRow, Headers]]) -> None:
        """Half of the players only buy, from two clients each."""
        async with asyncio.TaskGroup() as group:
            for number, player in enumerate(players):
                if number % 2:
                    growing = GrowingHistory()
                    for _ in range(2):
                        group.create_task(self.buy_often(*player, growing))
                        group.create_task(self.read_often(*player, growing))
                else:
                    mixed = MixedHistory()
                    group.create_task(self.buy_and_use_often(*player, mixed))
                    for _ in range(2):
                        group.create_task(self.read_often(*player, mixed))


@pytest.fixture
async def services(postgres_url: str, redis_url: str, worker_id: str) -> AsyncIterator[Services]:
    """Of the test itself: a third process."""
    settings = Settings(
        database_url=postgres_url,
        redis_url=empty_database(redis_url, worker_id),
        redis_timeout_seconds=10,  # on a noisy machine a slow answer must not look like a failure
    )
    async with open_services(settings) as services:
        yield services


async def players_of(services: Services) -> list[tuple[UserRow, Headers]]:
    world = await World.create(services)
    users = [world.anna, world.boris]
    for name in ("vera", "gleb"):
        email = f"{name}@example.com"
        users.append(await services.users.create_user(SERVER, username=name, email=email))
    for user in users:
        await world.credit(user, 1_000_000)
    tokens = PlayerTokens(services.settings)
    return [(user, {"Authorization": f"Bearer {tokens.issue(user.id)}"}) for user in users]


async def test_no_read_is_older_than_what_was_told(services: Services) -> None:
    seed = int(os.environ.get("TEST_SOAK_SEED", secrets.randbits(32)))
    print(f"TEST_SOAK_SEED={seed}")
    players = await players_of(services)
    settings = {
        "database_url": services.settings.database_url,
        "redis_url": str(services.settings.redis_url),
        "redis_timeout_seconds": "10",
    }
    with live_server(**settings, **LIMITS) as one, live_server(**settings, **LIMITS) as other:
        async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
            urls = [one.url, other.url]
            soak = Soak(client, urls, random.Random(seed), time.monotonic() + SECONDS)
            await soak.run(players)
            counts = [figures((await client.get(f"{url}/metrics")).text) for url in urls]
    assert soak.stale == []
    reads = 'economy_cache_reads_total{{cache="{}",outcome="{}"}}'
    hits, misses, whole = (
        [found[reads.format(cache, how)] for found in counts]
        for cache, how in (
            ("inventory", "hit"),
            ("inventory", "miss"),
            ("inventory_answers", "hit"),
        )
    )
    print(f"reads: {soak.read}, hits: {hits}, of answers: {whole}, changes: {soak.changed}")
    # where no answer is kept, the items are asked for
    assert sum(hits) + sum(misses) + sum(whole) == soak.read
    # it would mean little without hits in both processes, and changes between them
    assert min(*hits, *whole) > 20
    assert min(soak.changed, soak.read_after_changes) > 20
