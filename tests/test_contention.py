"""Many processes want the same rows: everybody is answered, in turn, and the books are exact."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest

from economy.models.user import UserRow
from economy.services.access import ALL_SCOPES
from tests.contention import (
    REQUEST_TIMEOUT_SECONDS,
    Answer,
    Connection,
    assert_sound,
    assert_whole,
    connected,
    deadlocks,
    live_servers,
)
from tests.journal import journal_of
from tests.live import LiveServer
from tests.redis_database import empty_database
from tests.shop import Headers
from tests.world import SERVER, World

PROCESSES, CLIENTS, ROUNDS = 8, 64, 6
CROSSING_USERS, CROSSING_ROUNDS = 8, 4
COINS = 10_000
PENDING = """mutation ($user: ID!, $reference: String!, $key: String!) {
    beginTopUp(input: {userId: $user, amount: 5, externalReference: $reference,
        idempotencyKey: $key}) {
        __typename ... on BeginTopUpSuccess { transaction { id } } } }"""
FAIL = """mutation ($user: ID!, $id: UUID!) {
    failTopUp(input: {userId: $user, transactionId: $id}) { __typename } }"""


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


@dataclass
class Rush:
    """What 64 clients were told of one user's economy, by (kind, key)."""

    user: UserRow
    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)
    is_under_way: asyncio.Event = field(default_factory=asyncio.Event)

    async def run_client(self, name: int, here: Connection, elsewhere: Connection) -> None:
        """What each process is asked for is asked for again at the next."""
        user = {"user_id": self.user.id}
        funds = f"/users/{self.user.id}/add-funds"
        for number in range(ROUNDS):
            asked: list[tuple[str, str, dict[str, Any]]] = [
                ("top_up", funds, {"amount": 200, "external_reference": f"{name}-{number}"}),
                ("purchase", "/products/1/purchase", user),
                ("purchase", "/products/1/purchase", user | {"expected_price": 100}),
                ("use", "/products/1/use", user),
            ]
            for position, (kind, path, body) in enumerate(asked):
                key = f"{name}-{number}-{position}"
                answer = await here.post(path, body, key)
                assert (answer.status, answer.body["replayed"]) == (200, False), answer.body
                self.answers[kind, key] = answer
            kind, path, body = asked[number % 4]
            key = f"{name}-{number}-{number % 4}"
            again = await elsewhere.post(path, body, key)
            assert again.status == 200
            assert again.body == self.answers[kind, key].body | {"replayed": True}
            self.is_under_way.set()

    async def run(self, servers: list[LiveServer], headers: Headers) -> None:
        async with contextlib.AsyncExitStack() as stack:
            here, elsewhere = [
                [
                    await stack.enter_async_context(connected(server, headers))
                    for server in (servers[first:] + servers[:first]) * (CLIENTS // len(servers))
                ]
                for first in (0, 1)
            ]
            clients = map(self.run_client, range(CLIENTS), here, elsewhere)
            await asyncio.gather(*clients)


async def be_served_meanwhile(
    rush: Rush, user: UserRow, servers: list[LiveServer], headers: Headers
) -> int:
    """Somebody else, at each process in turn; returns how many of the rush were answered then."""
    await rush.is_under_way.wait()
    for server in servers:
        async with connected(server, headers) as connection:
            answer = await connection.post(f"/users/{user.id}/add-funds", {"amount": 100}, "k")
            assert answer.booked[1] == 100
            bought = await connection.post("/products/1/purchase", {"user_id": user.id}, server.url)
            assert (bought.status, bought.body.get("code")) in [
                (200, None),
                (402, "INSUFFICIENT_FUNDS"),
            ]
    return len(rush.answers)


async def rush_upon_one_user(world: World, servers: list[LiveServer], headers: Headers) -> None:
    rush = Rush(world.anna)
    _, answered = await asyncio.gather(
        rush.run(servers, headers), be_served_meanwhile(rush, world.boris, servers, headers)
    )
    count = CLIENTS * ROUNDS
    assert answered < len(rush.answers) == 4 * count
    assert max(answer.seconds for answer in rush.answers.values()) < REQUEST_TIMEOUT_SECONDS
    assert_whole(await journal_of(world.services, world.anna), rush.answers)
    state = await world.state()
    assert state["user"] == [(world.anna.id, 0, 4 * count), (world.boris.id, 0, 1 + PROCESSES)]
    assert state["inventory"] == [(world.anna.id, 1, count), (world.boris.id, 1, 1)]


async def begin_and_fail(connection: Connection, user: UserRow, reference: str, key: str) -> None:
    """The reference is claimed, and set free again in a later batch."""
    variables = {"user": str(user.id), "reference": reference, "key": f"pending-{key}"}
    begun = await connection.post("/graphql", {"query": PENDING, "variables": variables})
    told = begun.body["data"]["beginTopUp"]
    if told["__typename"] == "AlreadyTakenError":
        return
    assert told["__typename"] == "BeginTopUpSuccess"
    variables = {"user": str(user.id), "id": told["transaction"]["id"]}
    failed = await connection.post("/graphql", {"query": FAIL, "variables": variables})
    assert failed.body == {"data": {"failTopUp": {"__typename": "FailTopUpSuccess"}}}


async def cross(
    connection: Connection, user: UserRow, name: str, pair: int
) -> list[tuple[str, str]]:
    """Returns the references that were got, with who got them."""
    got = []
    for number in range(CROSSING_ROUNDS):
        reference, key = f"r-{number}-{pair}", f"{name}-{number}"
        answer = await connection.post(
            f"/users/{user.id}/add-funds", {"amount": 10, "external_reference": reference}, key
        )
        assert answer.status in (200, 409), answer.body
        if answer.status == 200:
            got.append((reference, user.username))
        else:
            assert answer.body["code"] == "ALREADY_TAKEN"
        bought = await connection.post("/products/1/purchase", {"user_id": user.id}, key)
        assert bought.status == 200, bought.body
        await begin_and_fail(connection, user, f"p-{pair}", key)
    return got


async def cross_in_batches(world: World, servers: list[LiveServer], headers: Headers) -> None:
    """The two processes are asked in opposite orders; a user shares its references with another."""
    create = world.services.users.create_user
    users = [
        await create(SERVER, username=f"user{number}", email=f"{number}@example.com")
        for number in range(CROSSING_USERS)
    ]
    for user in users:
        await world.credit(user, COINS)
    slots, last = CLIENTS // 2 // CROSSING_USERS, CROSSING_USERS - 1
    async with contextlib.AsyncExitStack() as stack:
        asked = []
        for side, server in enumerate(servers[:2]):
            for slot in range(slots):
                for number in range(CROSSING_USERS) if side == 0 else range(last, -1, -1):
                    connection = await stack.enter_async_context(connected(server, headers))
                    pair = min(number, last - number)
                    name = f"{side}-{slot}-{number}"
                    asked.append(cross(connection, users[number], name, pair))
        got = [one for each in await asyncio.gather(*asked) for one in each]
    references = [f"r-{n}-{pair}" for n in range(CROSSING_ROUNDS) for pair in range(4)]
    assert sorted(reference for reference, _ in got) == sorted(references)
    state = {row.id: row.balance for row in (await world.state())["user"]}
    spent = 100 * 2 * slots * CROSSING_ROUNDS
    for user in users:
        mine = sum(10 for _, username in got if username == user.username)
        assert state[user.id] == COINS + mine - spent
    claims = {row.value for row in (await world.state())["claim"]}
    assert claims >= set(references)
    assert not [value for value in claims if value.startswith("p-")]


@pytest.mark.timeout(300)  # of which most is the start of the processes
async def test_eight_processes(
    world: World, postgres_url: str, redis_url: str, worker_id: str
) -> None:
    """64 clients upon one user, then upon several in crossing order; nobody has to ask twice."""
    headers = {"X-Api-Key": await world.services.server_keys.create_key(ALL_SCOPES)}
    before = await deadlocks(postgres_url)
    settings = {
        "database_url": postgres_url,
        "redis_url": empty_database(redis_url, worker_id),
        "jobs_in_server": "false",
    }
    with live_servers(PROCESSES, **settings) as servers:
        await rush_upon_one_user(world, servers, headers)
        await cross_in_batches(world, servers, headers)
    await assert_sound(world.services)
    await world.services.database.close()  # whatever this process has to report
    assert await deadlocks(postgres_url) == before


async def test_a_deadlock_is_counted(postgres_url: str) -> None:
    """So that no deadlock means that there was none."""
    before, url = await deadlocks(postgres_url), postgres_url.replace("+asyncpg", "", 1)
    one, other = [await asyncpg.connect(url) for _ in range(2)]
    locks = "SELECT pg_advisory_xact_lock($1)"
    for connection in (one, other):
        await connection.execute("BEGIN; SET LOCAL deadlock_timeout = '10ms'")
    await one.execute(locks, 1)
    await other.execute(locks, 2)
    ends = await asyncio.gather(
        one.execute(locks, 2), other.execute(locks, 1), return_exceptions=True
    )
    assert asyncpg.DeadlockDetectedError in [type(end) for end in ends]
    for connection in (one, other):
        await connection.close()
    while True:
        if await deadlocks(postgres_url) == before + 1:
            break
        await asyncio.sleep(0.01)
