"""What is measured: one row of the table each."""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

OURS = "economy"
PGBENCH = "pgbench"
MERCURIUS = "mercurius"
POSTGRAPHILE = "PostGraphile"
PEERS = (MERCURIUS, POSTGRAPHILE)

PURCHASE = "purchase"
USE = "useItem"
ADD_FUNDS = "addFunds"
INVENTORY = "inventory"  # of those that have no cache
CACHED = "inventory, cached"
UNCACHED = "inventory, not cached"
POPULAR = "popularProducts"
MANY_STATEMENTS = "purchase, BEGIN + 4 + COMMIT"

GRAPHQL = "GraphQL"
REST = "REST"
SQL = "SQL"

OUR_WORKS = (PURCHASE, USE, ADD_FUNDS, CACHED, UNCACHED, POPULAR)
WRITES = (PURCHASE, MANY_STATEMENTS, USE, ADD_FUNDS)
READS = (INVENTORY, CACHED, UNCACHED)
CLIENTS = 32  # of pgbench


class Row(NamedTuple):
    subject: str
    work: str
    transport: str
    processes: int
    connections: int

    @property
    def name(self) -> str:
        how = f"{self.connections} conn."
        if self.subject == PGBENCH:
            return f"{self.subject}, {self.work}, {how}"
        many = "1 process" if self.processes == 1 else f"{self.processes} processes"
        return f"{self.subject} {self.transport}, {self.work}, {many}, {how}"


def pgbench(work: str) -> Row:
    return Row(PGBENCH, work, SQL, 1, CLIENTS)


def ours(work: str, *, processes: int, connections: int, transport: str = GRAPHQL) -> Row:
    return Row(OURS, work, transport, processes, connections)


def peers(work: str, *, processes: int, connections: int) -> list[Row]:
    return [Row(peer, work, GRAPHQL, processes, connections) for peer in PEERS]


PURCHASE_64 = ours(PURCHASE, processes=2, connections=64)
PURCHASE_32 = ours(PURCHASE, processes=2, connections=32)
PURCHASE_1 = ours(PURCHASE, processes=1, connections=1)
UNCACHED_32 = ours(UNCACHED, processes=2, connections=32)
CACHED_32 = ours(CACHED, processes=2, connections=32)


def usual_rows() -> list[Row]:
    """What the targets ask for and one row of each other work; those compared are neighbours."""
    return [
        pgbench(PURCHASE),
        PURCHASE_64,
        *peers(PURCHASE, processes=2, connections=64),
        *peers(PURCHASE, processes=1, connections=64),
        PURCHASE_32,
        pgbench(MANY_STATEMENTS),
        ours(PURCHASE, processes=1, connections=64),
        ours(PURCHASE, processes=2, connections=256),
        ours(PURCHASE, processes=2, connections=64, transport=REST),
        PURCHASE_1,
        *peers(PURCHASE, processes=1, connections=1),
        ours(USE, processes=2, connections=64),
        ours(USE, processes=2, connections=64, transport=REST),
        ours(ADD_FUNDS, processes=2, connections=64),
        ours(ADD_FUNDS, processes=2, connections=64, transport=REST),
        pgbench(INVENTORY),
        UNCACHED_32,
        CACHED_32,
        *peers(INVENTORY, processes=2, connections=32),
        *peers(INVENTORY, processes=1, connections=32),
        ours(CACHED, processes=1, connections=32),
        ours(CACHED, processes=2, connections=32, transport=REST),
        ours(POPULAR, processes=2, connections=32),
        ours(POPULAR, processes=2, connections=32, transport=REST),
    ]


def all_rows() -> list[Row]:
    return [pgbench(work) for work in (PURCHASE, MANY_STATEMENTS, INVENTORY)] + list(_crossed())


def _crossed() -> Iterator[Row]:
    many = tuple(product((1, 2), (1, 32, 64, 256)))
    for work, (processes, connections) in product(OUR_WORKS, many):
        if work == UNCACHED and processes == 1:
            continue  # it needs a server of its own
        for transport in (GRAPHQL, REST):
            yield Row(OURS, work, transport, processes, connections)
        if work in (PURCHASE, CACHED):
            peer_work = PURCHASE if work == PURCHASE else INVENTORY
            yield from peers(peer_work, processes=processes, connections=connections)
