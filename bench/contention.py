"""What it is like to wait for others: make bench-contention.

64 clients of 8 server processes on PostgreSQL (each commit is on disk) and Valkey: all upon one
user, with somebody else among them; then upon many users, of whom two processes are asked in
opposite orders and by the same external references; then upon many again while somebody holds one
user's row. Milliseconds are of this machine, clients included: look at how they compare.
"""

import asyncio
import contextlib
import itertools
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from economy.bootstrap import open_services
from economy.migrate import migrate
from economy.models.user import UserRow
from economy.services.access import ALL_SCOPES
from economy.settings import Settings
from tests.contention import Answer, Connection, assert_sound, connected, deadlocks, live_servers
from tests.live import LiveServer
from tests.rival import open_rival
from tests.servers import create_database, own_postgres_server, own_redis_server
from tests.shop import Headers
from tests.world import SERVER, World

PROCESSES, CLIENTS, USERS = 8, 64, 32
SECONDS = 15.0
NUMBERS = itertools.count()


@dataclass
class Figures:
    """Of one kind of caller."""

    name: str
    started_at: float = field(default_factory=time.perf_counter)
    ended_at: float = 0.0
    seconds: list[float] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)

    def add(self, answer: Answer) -> None:
        self.ended_at = time.perf_counter()
        self.seconds.append(answer.seconds)
        self.codes["200" if answer.status == 200 else answer.body["code"]] += 1

    def show(self) -> None:
        took = self.ended_at - self.started_at
        cuts = statistics.quantiles(self.seconds, n=1000, method="inclusive")
        figures = (statistics.median(self.seconds), cuts[989], cuts[998], max(self.seconds))
        shown = " ".join(f"{1000 * one:>9.1f}" for one in figures)
        codes = ", ".join(f"{code} {count:,}" for code, count in sorted(self.codes.items()))
        count = len(self.seconds)
        print(f"{self.name:34} {count:>8,} {count / took:>8,.0f} {shown}  {codes}", flush=True)


@dataclass
class Scene:
    world: World
    servers: list[LiveServer]
    headers: Headers
    users: list[UserRow]
    seconds: float

    async def ask(self, connection: Connection, user: UserRow, reference: str | None) -> Answer:
        """A top-up or what it pays for; each with a key."""
        number = next(NUMBERS)
        if number % 2:
            body = {"user_id": user.id}
            return await connection.post("/products/1/purchase", body, str(number))
        funds = {"amount": 1_000, "external_reference": reference}
        return await connection.post(f"/users/{user.id}/add-funds", funds, str(number))

    async def client(
        self,
        server: LiveServer,
        figures: Figures,
        choose: Callable[[], tuple[UserRow, str | None]],
    ) -> None:
        end = time.perf_counter() + self.seconds
        async with connected(server, self.headers) as connection:
            while time.perf_counter() < end:
                user, reference = choose()
                figures.add(await self.ask(connection, user, reference))

    async def one_user(self) -> None:
        hot, lone = Figures("64 upon one user, 8 processes"), Figures("  somebody else meanwhile")
        chosen, other = (self.users[0], None), (self.users[1], None)
        clients = [
            self.client(self.servers[number % PROCESSES], hot, lambda: chosen)
            for number in range(CLIENTS)
        ]
        await asyncio.gather(*clients, self.client(self.servers[0], lone, lambda: other))
        hot.show()
        lone.show()

    async def crossing(self) -> None:
        """One process goes up through the users, the other goes down."""
        figures = Figures("64 upon 32, crossing, 2 processes")
        turns = itertools.count()

        def chooser(step: int) -> Callable[[], tuple[UserRow, str | None]]:
            def choose() -> tuple[UserRow, str | None]:
                turn = next(turns)
                return self.users[step * turn % USERS], f"reference {turn // 16}"

            return choose

        clients = [
            self.client(self.servers[number % 2], figures, chooser((1, -1)[number % 2]))
            for number in range(CLIENTS)
        ]
        await asyncio.gather(*clients)
        figures.show()

    async def many(self, name: str) -> Figures:
        figures, others = Figures(name), self.users[1:]
        clients = [
            self.client(
                self.servers[number % PROCESSES], figures, lambda: (random.choice(others), None)
            )
            for number in range(CLIENTS)
        ]
        await asyncio.gather(*clients)
        return figures

    async def held(self) -> None:
        """Two clients at each process never give up on the user that is held."""
        (await self.many("64 upon 31, 8 processes")).show()
        stuck, chosen = Figures("  callers of a user that is held"), (self.users[0], None)
        async with (
            open_rival(self.world.services.settings.database_url) as rival,
            rival.holding_user(self.users[0].id),
        ):
            callers = [self.client(server, stuck, lambda: chosen) for server in self.servers * 2]
            others = asyncio.create_task(self.many("64 upon 31, another one is held"))
            await asyncio.gather(others, *callers)
        others.result().show()
        stuck.show()


@contextlib.asynccontextmanager
async def open_scene(
    database_url: str, servers: list[LiveServer], seconds: float
) -> AsyncIterator[Scene]:
    async with open_services(Settings(database_url=database_url, jobs_in_server=False)) as services:
        world = await World.create(services)
        headers = {"X-Api-Key": await services.server_keys.create_key(ALL_SCOPES)}
        create = services.users.create_user
        users = [
            await create(SERVER, username=f"user{number}", email=f"{number}@example.com")
            for number in range(USERS)
        ]
        for user in users:
            await world.credit(user, 1_000_000)
        yield Scene(world, servers, headers, users, seconds)


async def prepare(url: str) -> None:
    async with open_services(Settings(database_url=url, jobs_in_server=False)) as services:
        await migrate(services.database)


async def run(url: str, servers: list[LiveServer], seconds: float) -> None:
    before = await deadlocks(url)
    async with open_scene(url, servers, seconds) as scene:
        names = ("requests", "a second", "p50 ms", "p99 ms", "p99.9 ms", "max ms")
        first, second, *others = names
        heads = " ".join(f"{name:>9}" for name in others)
        print(f"{'':34} {first:>8} {second:>8} {heads}  answers", flush=True)
        for part in (scene.one_user, scene.crossing, scene.held):
            await part()
        await assert_sound(scene.world.services)
    print(f"verified: sound; deadlocks: {await deadlocks(url) - before}")


def main() -> None:
    """Seconds of each part may be given."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    with own_postgres_server(is_durable=True) as postgres, own_redis_server() as valkey:
        asyncio.run(create_database(postgres, "bench_contention"))
        url = postgres.database_url("bench_contention")
        asyncio.run(prepare(url))
        settings = {"database_url": url, "redis_url": valkey.url, "jobs_in_server": "false"}
        with live_servers(PROCESSES, **settings) as servers:
            asyncio.run(run(url, servers, seconds))


if __name__ == "__main__":
    main()
