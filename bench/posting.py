"""How many lanes, and batches of how many: make bench-posting.

Purchases a second through the services, without a server in front, while so many players buy at
once, each one after the other. Rounds are interleaved; what stands there is the median.
"""

import argparse
import asyncio
import contextlib
import itertools
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from bench.suite.seed import USERS, product_ids, seed
from bench.suite.servers import OURS, Servers, servers
from economy.bootstrap import open_services
from economy.services import Services
from economy.services.access import Actor
from economy.settings import Settings

LANES = (1, 2, 3, 4)
BATCH_SIZES = (16, 64, 256)
AT_ONCE = (1, 32, 64, 256)
KEYS = itertools.count()


@dataclass
class Row:
    lanes: int
    batch_size: int
    players: int
    per_second: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)

    def line(self) -> str:
        rate, p99 = statistics.median(self.per_second), statistics.median(self.p99_ms)
        return (
            f"{self.lanes:>5} {self.batch_size:>6} {self.players:>8} {rate:>10,.0f} {p99:>8.1f} ms"
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-posting", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each row in each round")
    return parser.parse_args()


@contextlib.asynccontextmanager
async def opened(world: Servers, lanes: int, batch_size: int) -> AsyncIterator[Services]:
    settings = Settings(
        database_url=world.database_url(OURS),
        redis_url=world.redis_url(0),
        posting_lanes=lanes,
        posting_batch_size=batch_size,
    )
    async with open_services(settings) as services:
        yield services


async def load(services: Services, row: Row, seconds: float) -> None:
    ends_at = time.perf_counter() + seconds
    waits: list[float] = []

    async def buy(user_id: int) -> None:
        while (began_at := time.perf_counter()) < ends_at:
            await services.purchases.purchase(
                Actor.player(user_id),
                product_id=str(product_ids(user_id)[0]),
                quantity=1,
                expected_price=None,
                user_id=None,
                idempotency_key=f"posting-{next(KEYS)}",
            )
            waits.append(time.perf_counter() - began_at)

    began_at = time.perf_counter()
    await asyncio.gather(*(buy(1 + USERS // row.players * n) for n in range(row.players)))
    row.per_second.append(len(waits) / (time.perf_counter() - began_at))
    row.p99_ms.append(1000 * statistics.quantiles(waits, n=100)[98])


async def measure(world: Servers, options: argparse.Namespace) -> list[Row]:
    table = {
        (lanes, size): [Row(lanes, size, players) for players in AT_ONCE]
        for lanes, size in itertools.product(LANES, BATCH_SIZES)
    }
    for number in range(options.rounds + 1):
        for (lanes, size), rows in table.items():
            async with opened(world, lanes, size) as services:
                for row in rows:
                    await load(services, row, options.seconds if number else 0.2)
                    if number == 0:  # to warm up
                        row.per_second.clear()
                        row.p99_ms.clear()
    return [row for rows in table.values() for row in rows]


def main() -> None:
    with servers() as world:
        seed(world)
        found = asyncio.run(measure(world, arguments()))
    print("lanes  batch  players   a second      p99")
    for row in sorted(found, key=lambda row: (row.players, row.lanes, row.batch_size)):
        print(row.line())


if __name__ == "__main__":
    main()
