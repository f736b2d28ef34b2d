"""Behind pgbouncer in transaction mode, with two connections to the server for everybody."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import asyncpg
import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from economy.bootstrap import open_services
from economy.errors import LockNotGranted, Unavailable
from economy.jobs import Job
from economy.models.user import UserRow
from economy.services import Services
from economy.services.access import ALL_SCOPES
from economy.settings import Settings
from tests.contention import assert_sound
from tests.due_jobs import until
from tests.journal import error_of, journal_of, nothing_changes
from tests.live import PROGRESS, live_server, run_economy
from tests.outage import player
from tests.rival import Rival
from tests.scale.pgbouncer import (
    OURS,
    SERVER_CONNECTIONS,
    Buyers,
    Pgbouncer,
    assert_nothing_is_left,
    running_pgbouncer,
)
from tests.servers import PostgresServer, create_database, drop_database
from tests.shop import Headers
from tests.world import SERVER, World

pytestmark = pytest.mark.filterwarnings("always::tests.scale.pgbouncer.PgbouncerNotTriedWarning")

LOCK_TIMEOUT_MS, STATEMENT_TIMEOUT_MS = 300, 700
IN_FORCE = ["300ms", "700ms", "1400ms", "force_generic_plan"]
PLAYERS = 20
BUY = """mutation ($key: String!) { purchase(input: {productId: 1, idempotencyKey: $key}) {
    ... on PurchaseSuccess { replayed transaction { id } } } }"""
HISTORY = "{ me { balance transactions(first: 3) { edges { node { kind } } } } }"


@pytest.fixture(scope="module")
def pgbouncer(postgres: PostgresServer) -> Iterator[Pgbouncer]:
    with running_pgbouncer(postgres.url) as pgbouncer:
        yield pgbouncer


@pytest.fixture
def database_url(pgbouncer: Pgbouncer, postgres_url: str) -> str:
    return pgbouncer.url(postgres_url)


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(
        database_url=database_url,
        database_statement_caches=False,
        jobs_in_server=False,
        lock_timeout_ms=2_000,
        database_pool_timeout_seconds=30,
    )


@pytest.fixture
async def empty_url(postgres: PostgresServer, worker_id: str) -> AsyncIterator[str]:
    """A database without a schema, on the server itself."""
    name = f"pgbouncer_{worker_id}"
    await drop_database(postgres, name)
    await create_database(postgres, name)
    yield postgres.database_url(name)
    await drop_database(postgres, name)


async def ask_for_everything(
    client: httpx.AsyncClient, url: str, headers: Headers, server_key: Headers, user: UserRow
) -> list[httpx.Response]:
    """Fifteen requests at once: of the ten that change something, each comes twice."""
    post, get = client.post, client.get
    keys = [headers | {"Idempotency-Key": f"{user.id}-{number}"} for number in range(5)]
    credit = server_key | {"Idempotency-Key": f"{user.id}-credit"}
    bought = {"query": BUY, "variables": {"key": f"{user.id}-graphql"}}
    asks: list[Callable[[], Awaitable[httpx.Response]]] = [
        lambda: post(f"{url}/products/1/purchase", headers=keys[0]),
        lambda: post(f"{url}/products/1/purchase", headers=keys[1]),
        lambda: post(f"{url}/graphql", headers=headers, json=bought),
        lambda: post(f"{url}/products/1/use", headers=keys[2]),
        lambda: post(f"{url}/users/{user.id}/add-funds", headers=credit, json={"amount": 50}),
    ]
    reads: list[Callable[[], Awaitable[httpx.Response]]] = [
        lambda: get(f"{url}/users/{user.id}/inventory", headers=headers),
        lambda: get(f"{url}/analytics/popular-products", headers=headers),
        lambda: get(f"{url}/products", headers=headers),
        lambda: post(f"{url}/graphql", headers=headers, json={"query": HISTORY}),
        lambda: post(f"{url}/graphql", headers=headers, json={"query": HISTORY}),
    ]
    answers = await asyncio.gather(*(ask() for ask in [*asks, *asks, *reads]))
    return list(answers)


async def start_with_three_boosts(world: World, count: int) -> list[UserRow]:
    users = [
        await world.services.users.create_user(SERVER, username=name, email=f"{name}@example.com")
        for name in (f"player-{number}" for number in range(count))
    ]
    for user in users:
        await world.credit(user, 1_000)
        await world.buy(user, world.boost, quantity=3)
    return users


def was_replayed(answer: httpx.Response) -> bool:
    body = answer.json()
    booked: dict[str, bool] = body["data"]["purchase"] if "data" in body else body
    return booked["replayed"]


async def test_a_server_of_two_processes(world: World, database_url: str, rival: Rival) -> None:
    users = await start_with_three_boosts(world, PLAYERS)
    key = {"X-Api-Key": await world.services.server_keys.create_key(ALL_SCOPES)}
    limits = httpx.Limits(max_connections=None)
    with live_server(
        "--workers", "2", database_url=database_url, database_statement_caches="false"
    ) as server:
        async with httpx.AsyncClient(limits=limits, timeout=60, trust_env=False) as client:
            answers = await asyncio.gather(
                *(ask_for_everything(client, server.url, player(one), key, one) for one in users)
            )
        statuses = [answer.status_code for mine in answers for answer in mine]
        assert statuses == [200] * 15 * PLAYERS
        processes = await rival.connection.fetch(
            """SELECT pid FROM pg_stat_activity
            WHERE datname = current_database() AND backend_type = 'client backend'
            AND pid <> pg_backend_pid()"""
        )
        assert len(processes) == SERVER_CONNECTIONS
    for user, mine in zip(users, answers, strict=True):
        twice = zip(mine[:5], mine[5:10], strict=True)
        assert [{was_replayed(one), was_replayed(other)} for one, other in twice] == [
            {True, False}
        ] * 5
        assert await world.worth(user) == (1_000 - 300 - 300 + 50, 0)
        assert await world.held(user, world.boost) == 3 + 3 - 1
        assert len(await journal_of(world.services, user)) == 2 + 5
    await assert_sound(world.services)
    await assert_nothing_is_left(database_url)


async def test_commands(pgbouncer: Pgbouncer, empty_url: str) -> None:
    """Again and again: none of them leaves anything that would be in the way of the next."""
    url = pgbouncer.url(empty_url)
    for command in ("migrate", "seed", "verify", "verify"):
        run = run_economy(command, database_url=url, database_statement_caches="false")
        assert run.returncode == 0, run.stderr
        assert run.stderr == (PROGRESS if command == "verify" else "")
    assert run.stdout.endswith(" invariants checked, 0 broken\n")
    await assert_nothing_is_left(url)


async def test_long_streams_while_others_work(world: World, database_url: str) -> None:
    """A verification reads more than fits into one portion, between the statements of others."""
    await world.credit(world.anna, 100_000)
    bookings, *broken = await asyncio.gather(
        asyncio.gather(*(world.buy(world.anna, world.boost) for _ in range(900))),
        world.broken(),
        world.broken(),
        world.broken(),
    )
    assert broken == [{}] * 3
    assert sorted(one.user.balance for one in bookings) == list(range(10_000, 100_000, 100))
    assert await world.broken() == {}
    for job in Job:
        await world.services.jobs.run(job)
        await world.services.jobs.run(job)
    assert await world.worth(world.anna) == (10_000, 0)
    await assert_nothing_is_left(database_url)


@pytest.fixture
async def strict(settings: Settings, world: World) -> AsyncIterator[Services]:
    """Services whose timeouts are short."""
    timeouts = {"lock_timeout_ms": LOCK_TIMEOUT_MS, "statement_timeout_ms": STATEMENT_TIMEOUT_MS}
    async with open_services(settings.model_copy(update=timeouts)) as services:
        yield services


async def show(session: AsyncSession, name: str) -> str:
    return str(await session.scalar(text(f"SHOW {name}")))


async def test_a_transaction_has_its_timeouts(
    world: World, strict: Services, rival: Rival, database_url: str
) -> None:
    async with strict.database.unit_of_work() as session:
        assert [await show(session, name) for name in OURS] == IN_FORCE
    async with strict.database.posting_unit_of_work() as connection:
        assert [await connection.fetchval(f"SHOW {name}") for name in OURS] == IN_FORCE
    async with strict.database.snapshot() as session:
        shown = [await show(session, name) for name in OURS]
        assert shown == ["300ms", "0", "1400ms", "auto"]
    await world.credit(world.anna, 100)
    hurried = World(strict, world.anna, world.boris, world.boost, world.premium)
    async with nothing_changes(world):
        async with rival.holding_user(world.anna.id):
            error = await error_of(hurried.buy(world.anna, world.boost))
        assert isinstance(error, LockNotGranted)
        with pytest.raises(Unavailable):
            await hurried.sql('UPDATE "user" SET balance = 7 WHERE pg_sleep(60) IS NULL')
    await assert_nothing_is_left(database_url)
    assert (await hurried.buy(world.anna, world.boost)).user.balance == 0


async def test_a_read_that_takes_too_long_is_ended_on_the_server(
    strict: Services, rival: Rival, database_url: str
) -> None:
    async def sleep(session: AsyncSession) -> None:
        await session.execute(text("SELECT pg_sleep(600)"))

    async def nobody_sleeps() -> bool:
        await rival.connection.execute("SELECT pg_stat_clear_snapshot()")
        sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        return bool(await rival.connection.fetchval(sleeping) == 0)

    with pytest.raises(Unavailable):
        await strict.database.read(sleep)
    await until(nobody_sleeps)
    assert await strict.database.is_healthy()
    await assert_nothing_is_left(database_url)


async def test_it_is_restarted_under_load(world: World, pgbouncer: Pgbouncer) -> None:
    """What is refused may be tried again, and nothing is lost or done twice."""
    await world.credit(world.anna, 100_000)
    buyers = Buyers(world)
    async with asyncio.TaskGroup() as group:
        for name in range(8):
            group.create_task(buyers.buy_until(400, name))
        for count in (50, 200):
            await buyers.until_booked(count)
            pgbouncer.kill()
            await buyers.until_refused()
            pgbouncer.start()
    assert {error.retryable for error in buyers.refused} == {True}
    rows = await journal_of(world.services, world.anna)
    count = len(buyers.booked)
    assert len(rows) == 1 + count
    assert {row.idempotency_key: row.id for row in rows[1:]} == {
        key: booking.transaction.id for key, booking in buyers.booked.items()
    }
    assert await world.worth(world.anna) == (100_000 - 100 * count, 0)
    assert await world.held(world.anna, world.boost) == count
    await assert_sound(world.services)


@pytest.mark.parametrize("command", ["migrate", "serve", "seed"])
async def test_with_statement_caches_nothing_starts(
    pgbouncer: Pgbouncer, empty_url: str, command: str
) -> None:
    run = run_economy(command, database_url=pgbouncer.url(empty_url))
    assert (run.returncode, run.stdout) == (1, "")
    [line] = run.stderr.splitlines()
    assert "unsupported startup parameter: jit" in line
    plain = await asyncpg.connect(empty_url.replace("+asyncpg", "", 1))
    tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    assert await plain.fetchval(tables) == 0
    await plain.close()
