"""Many rounds, on as many systems as they need; a system lives through each of its faults once."""

import asyncio
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from tests.live import run_economy
from tests.torture.faults import ON_POSTGRES, ON_SQLITE, Fault
from tests.torture.rounds import Round, Size, run_round
from tests.torture.system import System, postgres_system, sqlite_system

MOST_SERVERS = 4
TOLD_PROBLEMS = 10  # of one round
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Series:
    """Faults of one system, in this order."""

    faults: Sequence[Fault]
    servers: int  # 0: one, on SQLite

    def open_system(self) -> AbstractAsyncContextManager[System]:
        return postgres_system(self.servers) if self.servers else sqlite_system()


@dataclass
class Results:
    rounds: list[Round] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def are_good(self) -> bool:
        return not self.problems and all(one.findings.are_good for one in self.rounds)


def all_series(rounds: int, dice: random.Random) -> Iterator[Series]:
    """PostgreSQL and SQLite in turn, so that every fault comes equally often."""
    left = rounds
    for number in itertools.count():
        if left <= 0:
            return
        is_sqlite = number % 2 == 1
        faults = list(ON_SQLITE if is_sqlite else ON_POSTGRES)
        dice.shuffle(faults)
        yield Series(faults[:left], 0 if is_sqlite else 2 + number // 2 % (MOST_SERVERS - 1))
        left -= len(faults)


async def run_series(
    series: Series, dice: random.Random, results: Results, *, size: Size, tell: Tell
) -> None:
    """It ends at the first round that fails."""
    async with series.open_system() as system:
        for fault in series.faults:
            done = await run_round(system, fault, dice, size)
            results.rounds.append(done)
            tell(f"{done.database}, {len(system.servers)} servers: {fault.value}: {_told(done)}")
            if not done.findings.are_good:
                problems = done.findings.problems
                results.problems += [f"{fault.value}: {len(problems)} problems"]
                results.problems += [*problems[:TOLD_PROBLEMS], system.logs()]
                return
        results.problems += await _end(system)


async def _end(system: System) -> list[str]:
    """What is wrong with how the servers stop, or with what `economy verify` says."""
    problems = []
    codes = await system.stop_servers()
    if any(codes):
        problems.append(f"exit codes of the servers: {codes}\n{system.logs()}")
    url = system.database_url
    verified = await asyncio.to_thread(run_economy, "verify", database_url=url)
    if verified.returncode != 0:
        problems.append(f"economy verify: {verified.stdout}{verified.stderr}")
    return problems


def _told(done: Round) -> str:
    if not done.findings.are_good:
        return "FAILED"
    return (
        f"{done.operations} operations, {done.retries} retries, {done.injected} faults, "
        f"{done.recovery_seconds:.1f} s to recover"
    )
