"""One round: load, a fault at a random moment, recovery, and the check of everything."""

import asyncio
import random
import time
import traceback
from dataclasses import dataclass, field

from tests.torture.check import Findings, check
from tests.torture.client import PatientClient, WrongAnswer
from tests.torture.faults import ON_POSTGRES, ON_SQLITE, Fault, Injected, Scene
from tests.torture.load import Load
from tests.torture.system import System

USERS = 10
RECOVERY_SECONDS = 60.0


@dataclass(frozen=True)
class Size:
    """Of a round, in final answers."""

    before_fault: tuple[int, int]  # at random from .. to
    after_recovery: int
    replays: int
    pause_seconds: float  # the longest of a client between two operations


LONG = Size((30, 200), after_recovery=60, replays=60, pause_seconds=0.03)
# with pauses, as in them a server starts
SHORT = Size((20, 80), after_recovery=20, replays=20, pause_seconds=0.2)


@dataclass
class Round:
    fault: Fault
    database: str
    operations: int = 0
    retries: int = 0
    injected: int = 0
    replays: int = 0
    recovery_seconds: float = 0.0
    findings: Findings = field(default_factory=Findings)


async def run_round(system: System, fault: Fault, dice: random.Random, size: Size) -> Round:
    done = Round(fault, system.name)
    user_ids = await system.new_users(USERS)
    client = PatientClient(system.urls, dice)
    load = Load(client, system.server_key, user_ids, dice, size.pause_seconds)
    problems = done.findings.problems
    try:
        try:
            await _live_through(system, load, done, size)
        except Exception:  # the round has failed: what there is to tell is told
            problems.append(traceback.format_exc())
        done.operations, done.retries = len(load.acknowledged), client.retries.total()
        if fault is Fault.DRAIN and client.executed_unanswered:
            problems.append(f"{client.executed_unanswered} requests were done and not answered")
        problems += load.wrong
        if not problems:
            done.replays = await _replay(load, size.replays, problems)
    finally:
        await client.close()
    async with system.services() as services:
        found = await check(services, load.user_ids + load.others, load.acknowledged)
    found.problems += problems
    done.findings = found
    return done


async def _live_through(system: System, load: Load, done: Round, size: Size) -> None:
    strikes = ON_SQLITE if system.postgres is None else ON_POSTGRES
    dice = load.dice
    clients = asyncio.create_task(load.run())
    try:
        await load.until_answered(dice.randint(*size.before_fault))
        injected: Injected = await strikes[done.fault](Scene(system, load, dice))
        done.injected = injected.times
        done.recovery_seconds = await _recover(system, load) - injected.over_at
        await load.until_answered(size.after_recovery)
    finally:
        load.is_over = True
        await clients


async def _recover(system: System, load: Load) -> float:
    """Without a restart by anybody: each server answers, posts, and uses what it should. When."""
    async with asyncio.timeout(RECOVERY_SECONDS):
        await asyncio.gather(*(_recovered(load, url) for url in system.urls()))
    return time.monotonic()


async def _recovered(load: Load, url: str) -> None:
    while True:
        answer = await load.client.get(f"{url}/health/ready")
        if answer is not None and answer.status_code == 200 and answer.json()["status"] == "ok":
            break
        await asyncio.sleep(0.02)
    await load.credit(load.dice.choice(load.user_ids), url)


async def _replay(load: Load, count: int, problems: list[str]) -> int:
    """Some of all keys once more, at whichever server and by whichever transport."""
    some = load.dice.sample(load.acknowledged, min(count, len(load.acknowledged)))
    for one in some:
        try:
            again = await load.client.ask(one.operation, is_first=False)
        except WrongAnswer as error:
            problems.append(str(error))
            continue
        if again.identity != one.outcome.identity:
            problems.append(f"{one}, and again {again}")
        if again.code is None and not again.replayed:
            problems.append(f"done again: {one}, and again {again}")
    return len(some)
