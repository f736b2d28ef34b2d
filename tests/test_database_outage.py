"""A server process whose database goes and comes back: it tells its callers, and goes on after."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from economy.api.tokens import PlayerTokens
from economy.bootstrap import open_services
from economy.models.user import UserRow
from economy.services import Services
from economy.settings import Settings
from tests import servers
from tests.conftest import migrate_url
from tests.contention import Answer, Connection, assert_sound, connected
from tests.journal import journal_of
from tests.live import LiveServer, live_server
from tests.servers import PostgresServer, create_database, own_postgres_server
from tests.shop import Headers
from tests.world import SERVER, World

Fault = Callable[[PostgresServer], AbstractContextManager[None]]

CLIENTS, COINS = 12, 1_000_000
# Within seconds; the limit is a multiple of what the settings add up to, as machines are busy.
SETTINGS = {
    "request_timeout_seconds": "1",
    "database_pool_timeout_seconds": "1",
    "statement_timeout_ms": "500",
    "lock_timeout_ms": "500",
    "jobs_in_server": "false",
    "rate_limit_player_money": "",
    "rate_limit_player_reads": "",
}
LIMIT_SECONDS = 20.0
TOO_LONG_SECONDS = 120.0  # for one fault
BUY = """mutation ($key: String!) { purchase(input: {productId: 1, idempotencyKey: $key}) {
    ... on PurchaseSuccess { transaction { id } user { balance } item { quantity } } } }"""
READ = "{ me { balance } inventory { quantity } }"


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    with own_postgres_server() as server:
        yield server


def processes_of(server: PostgresServer) -> list[int]:
    """PostgreSQL's own first: it starts no others any more when it is stopped."""
    assert server.cluster is not None
    pid = server.cluster.process.pid
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


@contextlib.contextmanager
def stopped(server: PostgresServer) -> Iterator[None]:
    """At once, as in a crash."""
    assert server.cluster is not None
    servers._stop(server.cluster.process, signal.SIGQUIT)
    yield
    server.cluster.start()


@contextlib.contextmanager
def frozen(server: PostgresServer) -> Iterator[None]:
    """It takes connections and statements, and is silent, as behind a disk that has stalled."""
    send(signal.SIGSTOP, processes_of(server)[:1])
    pids = processes_of(server)
    send(signal.SIGSTOP, pids)
    try:
        yield
    finally:
        send(signal.SIGCONT, pids)


def send(number: signal.Signals, pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # a backend whose client has gone
            os.kill(pid, number)


@dataclass
class Client:
    """A player who buys one boost after the other; each until it is answered."""

    user: UserRow
    connection: Connection
    booked: dict[str, tuple[str, int, int | None]] = field(default_factory=dict)
    refused: int = 0

    async def buy(self, key: str, *, by_rest: bool) -> Answer:
        if by_rest:
            return await self.connection.post("/products/1/purchase", {}, key)
        query = {"query": BUY, "variables": {"key": key}}
        answer = await self.connection.post("/graphql", query)
        purchase = (answer.body.get("data") or {}).get("purchase")
        return answer if purchase is None else replace(answer, body=purchase)

    async def run(self, end: asyncio.Event) -> None:
        while not end.is_set():
            key = str(len(self.booked))
            answer = await self.buy(key, by_rest=(self.refused + len(self.booked)) % 2 == 0)
            assert answer.seconds < LIMIT_SECONDS
            if "transaction" in answer.body:
                self.booked[key] = answer.booked
            else:
                assert_refused(answer)
                self.refused += 1
                await asyncio.sleep(0.05)  # less than it was told to


def assert_refused(answer: Answer) -> None:
    """Told to come again, in the words of either transport."""
    if "errors" not in answer.body:
        told: list[dict[str, Any]] = [answer.body]
        assert answer.status == 503
    else:
        told = [error["extensions"] for error in answer.body["errors"]]
    assert told
    for one in told:
        assert (one["code"], one["retryable"]) == ("UNAVAILABLE", True), answer.body
    if answer.status != 200:  # nothing of a document was executed
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")


async def until(clients: list[Client], booked: int, refused: int = 0) -> None:
    """Until each has got so many more answers."""
    before = [(len(client.booked), client.refused) for client in clients]
    while True:
        now = [(len(client.booked), client.refused) for client in clients]
        if all(
            a_booked - b_booked >= booked and a_refused - b_refused >= refused
            for (a_booked, a_refused), (b_booked, b_refused) in zip(now, before, strict=True)
        ):
            return
        await asyncio.sleep(0.01)


async def assert_all_is_refused(server: LiveServer, headers: Headers, user: UserRow) -> None:
    """While the database is away; the process itself is alive."""

    async def ask(method: str, path: str, body: object = None) -> Answer:
        async with connected(server, headers) as connection:
            content = b"" if body is None else orjson.dumps(body)
            return await connection.send(method, path, content)

    ready, alive, told, *answers = await asyncio.gather(
        ask("GET", "/health/ready"),
        ask("GET", "/health/live"),
        ask("POST", "/graphql", {"query": READ}),
        ask("GET", f"/users/{user.id}/inventory"),
        ask("GET", "/analytics/popular-products"),
    )
    assert (ready.status, ready.body["database"]) == (503, "unavailable")
    assert (alive.status, alive.body) == (200, {"status": "ok"})
    assert not any((told.body.get("data") or {}).values())
    for answer in (told, *answers):
        assert_refused(answer)
    for answer in (ready, alive, told, *answers):
        assert answer.seconds < LIMIT_SECONDS


async def live_through(
    fault: Fault, server: LiveServer, postgres: PostgresServer, clients: list[Client]
) -> None:
    end, ready = asyncio.Event(), 0
    async with asyncio.timeout(TOO_LONG_SECONDS), asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.run(end))
        await until(clients, booked=3)
        async with connected(server, clients[0].connection.headers) as watcher:
            with fault(postgres):
                await until(clients, booked=0, refused=1)
                await assert_all_is_refused(server, watcher.headers, clients[0].user)
            while ready != 200:
                ready = (await watcher.send("GET", "/health/ready")).status
        await until(clients, booked=3)
        end.set()


async def assert_booked(services: Services, client: Client) -> None:
    """What it was told and no more."""
    rows = (await journal_of(services, client.user))[1:]
    booked = {
        row.idempotency_key: (str(row.id), row.balance_after, row.quantity_after) for row in rows
    }
    assert booked == client.booked
    assert [row.balance_after for row in rows] == [
        COINS - 100 * number for number in range(1, len(rows) + 1)
    ]


async def create_players(url: str) -> list[UserRow]:
    async with open_services(Settings(database_url=url)) as services:
        world = await World.create(services)
        create = services.users.create_user
        users = [
            await create(SERVER, username=f"user{number}", email=f"{number}@example.com")
            for number in range(CLIENTS)
        ]
        for user in users:
            await world.credit(user, COINS)
        return users


@pytest.mark.timeout(300)
async def test_recovery_without_restart(own_postgres: PostgresServer) -> None:
    """Nothing is lost and nothing doubled, whatever was under way."""
    await create_database(own_postgres, "outage")
    url = own_postgres.database_url("outage")
    await migrate_url(url)
    users, tokens = await create_players(url), PlayerTokens(Settings())
    with live_server(database_url=url, **SETTINGS) as server:
        async with contextlib.AsyncExitStack() as stack:
            clients = []
            for user in users:
                headers = {"Authorization": f"Bearer {tokens.issue(user.id)}"}
                connection = await stack.enter_async_context(connected(server, headers))
                clients.append(Client(user, connection))
            for fault in (stopped, frozen):
                await live_through(fault, server, own_postgres, clients)
    async with open_services(Settings(database_url=url)) as services:
        for client in clients:
            await assert_booked(services, client)
        await assert_sound(services)


async def test_idle_connections_to_a_server_that_is_silent_are_closed_all_the_same(
    own_postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The driver would wait for the server's end of each as long as for any command."""
    await migrate_url(own_postgres.url)
    settings = Settings(
        database_url=own_postgres.url, jobs_in_server=False, statement_timeout_ms=60_000
    )
    services_closed = open_services(settings)
    services = await services_closed.__aenter__()
    assert await services.database.is_healthy()  # leaves its connection in the pool
    with frozen(own_postgres):
        async with asyncio.timeout(LIMIT_SECONDS):
            await services_closed.__aexit__(None, None, None)
    [told] = caplog.messages  # by SQLAlchemy
    assert told.startswith("Exception closing connection")
