"""An outage that one process sees and another does not: nobody reads what is old."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import redis

from economy.bootstrap import open_services
from economy.redis_client import RedisUnavailable
from economy.services import Services
from economy.settings import Settings
from tests.redis_client import until
from tests.servers import RedisServer
from tests.world import SERVER, World


@pytest.fixture
async def processes(
    postgres_url: str, breakable_redis: RedisServer, admin: redis.Redis
) -> AsyncIterator[list[Services]]:
    """Two, on one database and one Redis."""
    settings = Settings(database_url=postgres_url, redis_url=breakable_redis.url)
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_services(settings)) for _ in range(2)]


def is_trusted(services: Services) -> bool:
    assert services.redis is not None
    return services.redis.is_trusted


async def quantities(services: Services, user_id: int) -> list[int]:
    return [item.quantity for item in await services.inventory.inventory_of(SERVER, str(user_id))]


async def test_a_full_redis_is_told_of_writes(
    processes: list[Services], admin: redis.Redis
) -> None:
    """The other process only reads hits, and never learns that memory is out."""
    writer, reader = processes
    world = await World.create(writer)
    await world.credit(world.anna, 1_000)
    await world.buy(world.anna, world.boost)
    assert await quantities(reader, world.anna.id) == [1]
    admin.config_set("maxmemory", 1)
    assert writer.redis is not None
    with pytest.raises(RedisUnavailable):
        await writer.redis.execute("SET", "k", "v")
    assert not is_trusted(writer)
    assert is_trusted(reader)
    await world.buy(world.anna, world.boost)
    assert not is_trusted(writer)
    assert await quantities(reader, world.anna.id) == [2]


async def test_an_idle_process_notices_an_outage(
    processes: list[Services], breakable_redis: RedisServer
) -> None:
    assert [is_trusted(one) for one in processes] == [True, True]
    breakable_redis.stop_answering()
    await until(lambda: not any(is_trusted(one) for one in processes))
    breakable_redis.answer_again()
    await until(lambda: all(is_trusted(one) for one in processes))
