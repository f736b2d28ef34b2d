"""The load of a round: many clients at once, and what they were told."""

import asyncio
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from economy.api.tokens import PlayerTokens
from economy.settings import Settings
from tests.torture.client import PatientClient, WrongAnswer
from tests.torture.operations import Kind, Operation, Outcome

CLIENTS = 32
BOOST, PREMIUM = 1, 2  # the products
PRICE = 100  # of a boost
MIX = {
    Kind.PURCHASE: 32,
    Kind.TOP_UP: 20,
    Kind.USE: 14,
    Kind.BEGIN: 12,
    Kind.REVERSAL: 8,
    Kind.GRANT: 6,
    Kind.DEBIT: 5,
    Kind.REVOCATION: 3,
}


@dataclass(frozen=True)
class Acknowledged:
    operation: Operation
    outcome: Outcome


@dataclass
class Load:
    client: PatientClient
    server_key: dict[str, str]
    user_ids: list[int]
    dice: random.Random
    pause_seconds: float
    others: list[int] = field(default_factory=list)
    acknowledged: list[Acknowledged] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    is_over: bool = False
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _references: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._name = uuid4().hex[:8]
        tokens = PlayerTokens(Settings())
        self._players = {
            user_id: {"Authorization": f"Bearer {tokens.issue(user_id)}"}
            for user_id in self.user_ids
        }

    async def run(self) -> None:
        """Until it is over, and each client has its last answer."""
        await asyncio.gather(*(self._client() for _ in range(CLIENTS)))

    async def until_asked(self, times: int) -> None:
        """So many attempts more, whatever comes of them."""
        goal = self.client.attempts + times
        await self.until(lambda: self.client.attempts >= goal)

    async def until_answered(self, times: int) -> None:
        """So many final answers more."""
        goal = len(self.acknowledged) + times
        await self.until(lambda: len(self.acknowledged) >= goal)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while True:
                if condition() or self.wrong:
                    return
                await asyncio.sleep(0.002)

    async def credit(self, user_id: int, url: str | None = None) -> None:
        """At one server, if `url` is given: it can post again."""
        await self._ask(self._new(Kind.TOP_UP, user_id, amount=PRICE), url)

    def credit_for_another(self, user_id: int) -> Operation:
        """Who takes no part in the load, and is in its books all the same."""
        self.others.append(user_id)
        return self._new(Kind.TOP_UP, user_id, amount=PRICE)

    def acknowledge(self, operation: Operation, outcome: Outcome) -> None:
        self.acknowledged.append(Acknowledged(operation, outcome))

    async def _client(self) -> None:
        mine: list[Acknowledged] = []
        while not self.is_over and not self.wrong:
            operation = self._next(mine)
            outcome = await self._ask(operation, is_asked_twice=self.dice.random() < 0.05)
            if outcome is None:
                return
            mine.append(Acknowledged(operation, outcome))
            if operation.kind is Kind.BEGIN and outcome.code is None:
                await self._settle(operation, outcome)
            await asyncio.sleep(self.dice.uniform(0, self.pause_seconds))

    async def _settle(self, begun: Operation, outcome: Outcome) -> None:
        """By its provider, who may say both at once; some stay pending."""
        ends: list[tuple[Kind, ...]] = [(Kind.COMPLETE,), (Kind.FAIL,), ()]
        ends += [(Kind.COMPLETE, Kind.FAIL), (Kind.COMPLETE,)]
        target = outcome.transaction["id"]
        settlements = [
            self._new(kind, begun.user_id, transactionId=target) for kind in self.dice.choice(ends)
        ]
        await asyncio.gather(*(self._ask(settlement) for settlement in settlements))

    async def _ask(
        self, operation: Operation, url: str | None = None, *, is_asked_twice: bool = False
    ) -> Outcome | None:
        """None: the answer was wrong."""
        try:
            if is_asked_twice:
                outcome, other = await asyncio.gather(
                    self.client.ask(operation, url, is_first=False),
                    self.client.ask(operation, url, is_first=False),
                )
            else:
                outcome = other = await self.client.ask(operation, url)
        except WrongAnswer as error:
            self.wrong.append(str(error))
            return None
        if outcome.identity != other.identity:
            self.wrong.append(f"{operation}: two answers: {outcome} and {other}")
        self.acknowledge(operation, outcome)
        return outcome

    def _next(self, mine: list[Acknowledged]) -> Operation:
        dice = self.dice
        [kind] = dice.choices(list(MIX), list(MIX.values()))
        user_id = dice.choice(self.user_ids)
        product = str(BOOST if dice.random() < 0.9 else PREMIUM)
        quantity = dice.randint(1, 3) if product == str(BOOST) else 1
        match kind:
            case Kind.TOP_UP | Kind.BEGIN:
                asked: dict[str, Any] = {"amount": dice.randint(1, 5 * PRICE)}
                if dice.random() < 0.5:
                    asked["externalReference"] = self._reference()
                return self._new(kind, user_id, **asked)
            case Kind.DEBIT:
                return self._new(kind, user_id, amount=dice.randint(1, PRICE))
            case Kind.REVERSAL:
                return self._reversal(mine) or self._new(Kind.TOP_UP, user_id, amount=PRICE)
            case Kind.USE:
                return self._new(kind, user_id, productId=str(BOOST), quantity=dice.randint(1, 3))
        return self._new(kind, user_id, productId=product, quantity=quantity)

    def _reversal(self, mine: list[Acknowledged]) -> Operation | None:
        """Of something that the client has done itself. Now and then for a second time."""
        done = [
            (one.operation.user_id, one.outcome.transaction["id"])
            for one in mine
            if one.operation.kind in (Kind.PURCHASE, Kind.TOP_UP) and one.outcome.code is None
        ]
        if not done:
            return None
        user_id, target = self.dice.choice(done)
        how = self.dice.choice(["REFUSE", "TAKE_WHAT_IS_LEFT"])
        return self._new(Kind.REVERSAL, user_id, transactionId=target, ifSpent=how)

    def _reference(self) -> str:
        """A new one, or one that was used already."""
        if not self._references or self.dice.random() < 0.8:
            self._references.append(f"{self._name}-payment-{next(self._numbers)}")
            return self._references[-1]
        return self.dice.choice(self._references)

    def _new(self, kind: Kind, user_id: int, **asked: Any) -> Operation:
        is_players = kind in (Kind.PURCHASE, Kind.USE) and self.dice.random() < 0.5
        headers = self._players[user_id] if is_players else self.server_key
        return Operation(kind, user_id, f"{self._name}-{next(self._numbers)}", headers, asked)
