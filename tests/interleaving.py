"""Runs actors step by step, in every order there is: each stops at pause points until let on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from contextvars import ContextVar
from functools import wraps
from typing import Any

import pytest

from economy.cache_store import MemoryStore
from economy.database import Database
from economy.redis_client import RedisClient
from economy.repositories import posting_postgres

PATIENCE_SECONDS = 30.0
REDIS_STEPS = {"MGET": "look up", "UNLINK": "forget"}


class Actor:
    """One caller of the services; what it starts, such as a batch, stops in its name."""

    def __init__(self, name: str, work: Callable[[], Awaitable[Any]]) -> None:
        self.name = name
        self.result: Any = None
        self.is_done = False
        self.next_step = ""
        self.sends = asyncio.Lock()
        self._work = work
        self._has_stopped = asyncio.Event()
        self._may_go = asyncio.Event()

    async def start(self) -> None:
        """Up to its first pause point."""
        self._task = asyncio.create_task(self._run())
        await self._until_stopped()

    async def go_on(self) -> None:
        """Up to its next pause point, or its end."""
        self._has_stopped.clear()
        self._may_go.set()
        await self._until_stopped()

    async def stop_before(self, step: str) -> None:
        self.next_step = step
        self._may_go = asyncio.Event()
        self._has_stopped.set()
        await self._may_go.wait()

    async def _run(self) -> None:
        _ACTOR.set(self)
        try:
            self.result = await self._work()
        finally:
            self.is_done = True
            self._has_stopped.set()

    async def _until_stopped(self) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._has_stopped.wait()
        if self.is_done:
            await self._task  # raises what it raised


_ACTOR: ContextVar[Actor | None] = ContextVar("_ACTOR", default=None)


async def pause_before(step: str) -> None:
    """Those who are no actors go on."""
    actor = _ACTOR.get()
    if actor is not None:
        await actor.stop_before(step)


class Order:
    """Who goes next: first as told, then always the first who may."""

    def __init__(self, told: Sequence[str]) -> None:
        self.told = told
        self.taken: list[str] = []
        self.steps: list[str] = []
        self.others: list[list[str]] = []

    async def play(self, *actors: Actor) -> AsyncIterator[Actor]:
        """Who has just made a step."""
        for actor in actors:
            await actor.start()
        while waiting := {actor.name: actor for actor in actors if not actor.is_done}:
            place = len(self.taken)
            name = self.told[place] if place < len(self.told) else next(iter(waiting))
            self.taken.append(name)
            self.others.append([other for other in waiting if other != name])
            self.steps.append(f"{name}: {waiting[name].next_step}")
            await waiting[name].go_on()
            yield waiting[name]


async def in_every_order(play: Callable[[Order], Awaitable[None]]) -> list[Order]:
    """Play again and again, until every order that can be has been played once."""
    orders: list[Order] = []
    untried: list[list[str]] = [[]]
    while untried:
        order = Order(untried.pop())
        await play(order)
        orders.append(order)
        for place in range(len(order.told), len(order.taken)):
            untried += [[*order.taken[:place], other] for other in order.others[place]]
    assert len({tuple(order.taken) for order in orders}) == len(orders)
    return orders


def pause_at_database(patch: pytest.MonkeyPatch, database: Database) -> None:
    """Before each read, and before each commit."""
    # on SQLite the one calls the other
    for name in ("read", "read_often") if database.dialect == "postgresql" else ("read",):
        patch.setattr(database, name, _pausing(getattr(database, name), "read"))
    for name in ("unit_of_work", "_driver_unit_of_work"):
        patch.setattr(database, name, _pausing_before_commit(getattr(database, name)))
    # what writes without locks commits by itself; it is the same for all databases
    if not hasattr(write := posting_postgres.write_if_current, "__wrapped__"):
        patch.setattr(posting_postgres, "write_if_current", _pausing(write, "commit"))


def pause_at_redis(patch: pytest.MonkeyPatch, client: RedisClient, *, leases: bool = True) -> None:
    """Before each command; `leases`: also between looking up and placing a lease."""
    execute, execute_all = client.execute, client.execute_all

    async def pausing_execute(*command: Any) -> Any:
        step = REDIS_STEPS.get(command[0]) or ("renew" if command[-1] == "renew" else "fill")
        actor = _ACTOR.get()
        # commands that are sent together may have others' between them
        async with nullcontext() if actor is None else actor.sends:
            await pause_before(step)
            return await execute(*command)

    async def pausing_execute_all(commands: Any) -> Any:
        # a single command passes here, too, and has paused already
        if leases and len(commands) > 1:
            await pause_before("lease")
        return await execute_all(commands)

    patch.setattr(client, "execute", pausing_execute)
    patch.setattr(client, "execute_all", pausing_execute_all)


def pause_at_memory(patch: pytest.MonkeyPatch, store: MemoryStore[Any], which: str = "") -> None:
    steps = {"read_or_lease": "look up", "fill": "fill", "forget": "forget"}
    steps |= {"start_generation": "renew"}
    for method, step in steps.items():
        patch.setattr(store, method, _pausing(getattr(store, method), which + step))


def pause_before_answers(patch: pytest.MonkeyPatch, told: object, method: str) -> None:
    """Once `method` has done all there is to do before a writer is answered."""
    real = getattr(told, method)

    async def pausing(*args: Any) -> None:
        await real(*args)
        await pause_before("answer")

    patch.setattr(told, method, pausing)


UnitOfWork = Callable[[], AbstractAsyncContextManager[Any]]


def _pausing_before_commit(unit_of_work: UnitOfWork) -> UnitOfWork:
    @asynccontextmanager
    async def pausing() -> AsyncIterator[Any]:
        async with unit_of_work() as opened:
            yield opened
            await pause_before("commit")

    return pausing


def _pausing(real: Callable[..., Awaitable[Any]], step: str) -> Callable[..., Awaitable[Any]]:
    @wraps(real)
    async def pausing(*args: Any, **kwargs: Any) -> Any:
        await pause_before(step)
        return await real(*args, **kwargs)

    return pausing
