"""The commands of docs/BACKUP.md, a busy economy to back up, and histories to compare."""

import asyncio
import os
import random
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from signal import SIGINT

from sqlalchemy import select

from economy.errors import ConcurrencyConflict, Decline
from economy.models.transaction import Transaction, TransactionRow
from economy.models.user import UserRow
from economy.repositories.tables import columns_of, table_of
from economy.services import Services
from economy.services.chain import as_written
from economy.services.operations import Booking, IfSpent
from tests.live import ECONOMY, LAUNCHER, environment
from tests.world import SERVER, World

PAGE = Path(__file__).parent.parent / "docs" / "BACKUP.md"
COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STRICT_SHELL = ["/bin/bash", "-euo", "pipefail", "-c"]
TIMEOUT_SECONDS = 60
PLAYERS, CLIENTS_OF_EACH = 4, 2

Histories = dict[int, list[TransactionRow]]  # by user


def commands_of_the_page() -> dict[str, list[str]]:
    """What each section tells to run, block by block."""
    sections = PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
    found = {section.partition("\n")[0]: COMMANDS.findall(section) for section in sections}
    return {title: blocks for title, blocks in found.items() if blocks}


@dataclass(frozen=True)
class Operator:
    """Runs what the page says, with the page's variables set."""

    binaries: Path  # of PostgreSQL
    variables: dict[str, str]

    def run(self, title: str, block: int = 0, **variables: str) -> str:
        """What it prints."""
        done = subprocess.run(
            [*STRICT_SHELL, commands_of_the_page()[title][block]],
            env=self._environment() | variables,
            capture_output=True,
            encoding="utf-8",
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def running(self, title: str, block: int) -> Iterator[None]:
        """What would run for ever."""
        shell = [*STRICT_SHELL, "exec " + commands_of_the_page()[title][block]]
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, str(os.getpid()), *shell], env=self._environment()
        )
        try:
            yield
        finally:
            process.send_signal(SIGINT)
            assert process.wait(TIMEOUT_SECONDS) == 0

    def _environment(self) -> dict[str, str]:
        others = environment()
        folders = [str(self.binaries), str(ECONOMY.parent), others.get("PATH", os.defpath)]
        return others | self.variables | {"PATH": os.pathsep.join(folders)}


@dataclass(frozen=True)
class Credit:
    """A payment that was acknowledged: whoever sent it still knows this much."""

    user: UserRow
    reference: str
    row: TransactionRow

    @property
    def key(self) -> str:
        return f"key-of-{self.reference}"


@dataclass
class BusyEconomy:
    """Players and servers that ask for everything that can be asked, until told to stop."""

    world: World
    players: list[UserRow]
    acknowledged: list[TransactionRow] = field(default_factory=list)
    credits: list[Credit] = field(default_factory=list)
    _progress: asyncio.Event = field(default_factory=asyncio.Event)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @classmethod
    async def create(cls, services: Services) -> "BusyEconomy":
        world = await World.create(services)
        names = [f"player-{number}" for number in range(PLAYERS)]
        players = [
            await services.users.create_user(SERVER, username=name, email=f"{name}@example.com")
            for name in names
        ]
        return cls(world, players)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """At the end everything that was asked for has been answered."""
        is_over = asyncio.Event()

        async def ask_on(player: UserRow, dice: random.Random) -> None:
            while not is_over.is_set():
                with suppress(Decline, ConcurrencyConflict):  # nothing was done
                    booking = await self._ask(player, dice)
                    self.acknowledged.append(booking.transaction)
                    self._progress.set()

        async def come_and_go() -> None:
            while not is_over.is_set():
                with suppress(ConcurrencyConflict):  # SQLite has one writer, and no line for it
                    await self._come_and_go(f"guest-{next(self._numbers)}")

        async with asyncio.TaskGroup() as clients:
            clients.create_task(come_and_go())
            for number, player in enumerate(self.players * CLIENTS_OF_EACH):
                clients.create_task(ask_on(player, random.Random(number)))
            try:
                yield
            finally:
                is_over.set()

    async def acknowledge(self, how_many: int) -> None:
        """Wait until so many more operations have been acknowledged."""
        goal = len(self.acknowledged) + how_many
        while len(self.acknowledged) < goal:
            self._progress.clear()
            await self._progress.wait()

    async def _ask(self, player: UserRow, dice: random.Random) -> Booking:
        world, product = self.world, dice.choice([self.world.boost, self.world.premium])
        asks: list[Callable[[], Awaitable[Booking]]] = [
            lambda: self._pay(player),
            lambda: self._pay(player),
            lambda: world.begin(player, 50, external_reference=self._reference()),
            lambda: world.buy(player, product, idempotency_key=self._reference()),
            lambda: world.buy(player, world.boost, idempotency_key=self._reference()),
            lambda: world.use(player, world.boost, idempotency_key=self._reference()),
            lambda: world.debit(player, 30),
            lambda: world.grant(player, product),
            lambda: world.revoke(player, product),
        ]
        mine = [row for row in self.acknowledged[-200:] if row.user_id == player.id]
        top_ups = [row for row in mine if row.kind == "top_up"]
        if top_ups:  # pending, completed or failed: some are too late
            asks += [
                lambda: world.complete(dice.choice(top_ups)),
                lambda: world.complete(dice.choice(top_ups)),
                lambda: world.fail(dice.choice(top_ups)),
                lambda: world.reverse(dice.choice(mine), if_spent=IfSpent.TAKE_WHAT_IS_LEFT),
            ]
        return await dice.choice(asks)()

    async def _pay(self, player: UserRow) -> Booking:
        reference = self._reference()
        booking = await self.world.credit(
            player, 200, external_reference=reference, idempotency_key=f"key-of-{reference}"
        )
        self.credits.append(Credit(player, reference, booking.transaction))
        return booking

    async def _come_and_go(self, name: str) -> None:
        users = self.world.services.users
        user = await users.create_user(SERVER, username=name, email=f"{name}@example.com")
        await self._pay(user)
        await self.world.delete(user)

    def _reference(self) -> str:
        return f"payment-{next(self._numbers)}"


async def pay_again(services: Services, credit: Credit) -> Booking:
    """As whoever sent it would, who does not know that the database has been restored."""
    return await services.wallet.add_funds(
        SERVER,
        user_id=str(credit.user.id),
        amount=200,
        external_reference=credit.reference,
        idempotency_key=credit.key,
    )


async def histories_in(services: Services) -> Histories:
    """Every row of the journal, every column, at one moment."""
    table, histories = table_of(Transaction), Histories()
    columns = columns_of(Transaction, TransactionRow)
    async with services.database.snapshot() as session:
        for found in await session.execute(select(*columns).order_by(table.c.user_id, table.c.seq)):
            row = TransactionRow._make(found)
            histories.setdefault(row.user_id, []).append(row)
    return histories


def as_it_was(history: list[TransactionRow], last_seq: int) -> list[TransactionRow]:
    """A history up to one of its events: what was settled later was pending still."""
    return [
        row
        if row.settled_seq is not None and row.settled_seq <= last_seq
        else as_written(row)._replace(settled_hash=None)
        for row in history
        if row.seq <= last_seq
    ]
