"""Redis behind TLS, a user and a password: as cache of two servers, and as broker of the jobs."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from economy.cache import CATALOGUE, INVENTORY, INVENTORY_ANSWERS
from economy.jobs import Job
from economy.services.access import ALL_SCOPES
from economy.services.analytics import POPULAR_PRODUCTS
from economy.settings import Settings
from tests.due_jobs import all_are_done, progress, until
from tests.live import LiveProcess, LiveServer, live_process, live_server
from tests.outage import (
    DEGRADED,
    LIMITS,
    WELL,
    Customer,
    Pair,
    fill_caches,
    limits_are_counted,
    read_everywhere,
    recover,
)
from tests.redis_client import FAILS
from tests.scale.secured_redis import (
    OF_ANOTHER,
    OF_THE_ADDRESS,
    PASSWORD,
    Authority,
    SecuredRedis,
    secured_redis,
    tls_in_front_of,
)
from tests.world import World

WRONG = "hush-wrong"
HITS = re.compile(r'^economy_cache_reads_total\{cache="(\w+)",outcome="hit"\} (\S+)$', re.MULTILINE)
PATIENT = {"redis_timeout_seconds": "10"}  # a busy machine is no failure


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("authority") / "trusted.pem")


@pytest.fixture(scope="module")
def redis_at_work(authority: Authority) -> Iterator[SecuredRedis]:
    with secured_redis(authority.certify(OF_THE_ADDRESS)) as secured:
        yield secured


@pytest.fixture
def secured(redis_at_work: SecuredRedis) -> SecuredRedis:
    """It runs, and holds nothing."""
    if redis_at_work.server.process.poll() is not None:
        redis_at_work.start()
    with redis_at_work.administered() as admin:
        admin.flushall()
    return redis_at_work


@pytest.fixture
def settings(postgres_url: str) -> Settings:
    """Of the world of the tests: it knows of no Redis."""
    return Settings(database_url=postgres_url, jobs_in_server=False)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
async def customer(world: World, client: httpx.AsyncClient) -> Customer:
    key = await world.services.server_keys.create_key(ALL_SCOPES)
    return await Customer.create(world, client, {"X-Api-Key": key})


def assert_secret(process: LiveProcess) -> None:
    log = process.log.read_text()
    assert not [line for line in log.splitlines() if "hush-" in line]


async def hits(client: httpx.AsyncClient, server: LiveServer) -> set[str]:
    """The caches in which something was found."""
    told = (await client.get(f"{server.url}/metrics")).text
    return {name for name, count in HITS.findall(told) if float(count) > 0}


async def test_two_servers_share_it_also_when_it_comes_back(
    customer: Customer, secured: SecuredRedis, authority: Authority, postgres_url: str
) -> None:
    both = {"database_url": postgres_url, "redis_url": secured.url(authority)}
    both |= LIMITS | PATIENT | {"jobs_in_server": "false"}
    with live_server(**both) as one, live_server(**both) as other:
        pair = Pair([one, other])
        assert await pair.status(customer.client) == WELL
        await customer.buy(one)
        await fill_caches(customer, pair)
        await read_everywhere(customer, pair)
        for server in pair.servers:
            cached = {INVENTORY, INVENTORY_ANSWERS, CATALOGUE, POPULAR_PRODUCTS}
            assert await hits(customer.client, server) >= cached
        await limits_are_counted(customer, pair, is_shared=True)
        assert pair.news() == [[], []]
        secured.server.kill()
        await customer.buy(one)
        await read_everywhere(customer, pair)
        assert await pair.status(customer.client) == DEGRADED

        async def come_back() -> None:
            secured.start()

        await recover([customer], pair, come_back)
        assert await pair.status(customer.client) == WELL
        pair.assert_told_once()
        for server in pair.servers:
            assert_secret(server)


async def assert_works_without(customer: Customer, url: str, database_url: str, why: str) -> None:
    """Degraded, it says why, once, and everything is answered."""
    with live_server(
        database_url=database_url, redis_url=url, jobs_in_server="false", **LIMITS, **PATIENT
    ) as server:
        pair = Pair([server])
        assert await pair.status(customer.client) == DEGRADED
        for _ in range(3):
            await customer.ask_everything(server)
        assert await pair.status(customer.client) == DEGRADED
        [line] = [line for line in server.log.read_text().splitlines() if " WARNING " in line]
        assert FAILS in line
        assert why in line
        assert_secret(server)


@pytest.mark.parametrize("who", [("economy", WRONG), ("economy", ""), ("nobody", PASSWORD)])
async def test_a_wrong_password_is_not_told(
    customer: Customer,
    secured: SecuredRedis,
    authority: Authority,
    postgres_url: str,
    who: tuple[str, str],
) -> None:
    url = secured.url(authority, *who)
    await assert_works_without(customer, url, postgres_url, "invalid username-password pair")
    with secured.administered() as admin:
        assert admin.dbsize() == 0


async def test_a_certificate_of_others_is_refused(
    customer: Customer, secured: SecuredRedis, tmp_path: Path, postgres_url: str
) -> None:
    url = secured.url(Authority.create(tmp_path / "other.pem"))
    await assert_works_without(customer, url, postgres_url, "CERTIFICATE_VERIFY_FAILED")
    with secured.administered() as admin:
        assert admin.dbsize() == 0


async def test_a_certificate_of_another_server_is_refused(
    customer: Customer, secured: SecuredRedis, tmp_path: Path, postgres_url: str
) -> None:
    authority = Authority.create(tmp_path / "trusted.pem")
    with tls_in_front_of(secured.server, authority.certify(OF_ANOTHER)) as port:
        url = SecuredRedis(secured.server, port).url(authority)
        await assert_works_without(customer, url, postgres_url, "CERTIFICATE_VERIFY_FAILED")
    with secured.administered() as admin:
        assert admin.dbsize() == 0


async def test_it_is_the_broker_of_worker_and_beat(
    world: World, secured: SecuredRedis, authority: Authority, postgres_url: str
) -> None:
    """Also when it was restarted meanwhile."""
    settings = {"database_url": postgres_url, "redis_url": secured.url(authority)}
    settings |= {"broker_url": secured.url(authority, "celery"), "jobs_every_seconds": "1"}
    with live_process("worker", **settings) as worker, live_process("beat", **settings) as beat:
        await until(lambda: all_are_done(world.services.database), why=worker.log.read_text)
        secured.server.kill()
        before = worker.log.read_text().count("succeeded")
        secured.start()

        async def works_again() -> bool:
            return worker.log.read_text().count("succeeded") >= before + len(Job)

        await until(works_again, why=worker.log.read_text)
        for process in (worker, beat):
            assert_secret(process)
            process.terminate()


@pytest.fixture(params=["password", "certificate"])
def closed_broker(
    request: pytest.FixtureRequest, secured: SecuredRedis, authority: Authority, tmp_path: Path
) -> tuple[str, str]:
    """Its URL, and why it does not let anybody in."""
    if request.param == "password":
        return secured.url(authority, "celery", WRONG), "invalid username-password pair"
    other = Authority.create(tmp_path / "other.pem")
    return secured.url(other, "celery"), "CERTIFICATE_VERIFY_FAILED"


async def test_a_broker_that_lets_nobody_in(
    world: World, secured: SecuredRedis, closed_broker: tuple[str, str], postgres_url: str
) -> None:
    """Worker and beat say so; and no job is done."""
    url, why = closed_broker
    settings = {"database_url": postgres_url, "broker_url": url, "jobs_every_seconds": "1"}
    with live_process("worker", **settings) as worker, live_process("beat", **settings) as beat:
        for process in (worker, beat):
            await until_said(process, why)
            assert_secret(process)
            process.kill()
    assert await progress(world.services.database) == {}
    with secured.administered() as admin:
        assert admin.dbsize() == 0


async def until_said(process: LiveProcess, words: str) -> None:
    async def is_said() -> bool:
        return words in process.log.read_text()

    await until(is_said, why=process.log.read_text)
