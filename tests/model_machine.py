"""Random asks, one by one and at once, put to the real economy and to its model."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from pprint import pformat
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from economy.services import Services
from tests.economy_model import ENDS
from tests.model_asks import (
    A_STRANGERS,
    ANY_OF_MINE,
    ANYTHING,
    ITEMS,
    MONEY,
    NEW_KEY,
    PURCHASES,
)
from tests.model_orders import economy_after
from tests.model_services import RealEconomy
from tests.model_words import Answer, Ask, Place, Refused, Tables

NOBODY = NOTHING = 10**9


def placed(asks: st.SearchStrategy[Ask], most: int) -> st.SearchStrategy[list[tuple[int, Ask]]]:
    """Each with the process that is asked."""
    return st.lists(st.tuples(st.integers(0, 1), asks), min_size=1, max_size=most)


@dataclass
class Laboratory:
    """What all examples share; `told` counts the answers by verb and outcome."""

    runner: asyncio.Runner
    processes: list[Services]
    examples: int = 0
    told: Counter[tuple[str, str]] = field(default_factory=Counter)


class EconomyMachine(RuleBasedStateMachine):
    def __init__(self, laboratory: Laboratory) -> None:
        super().__init__()
        self._laboratory = laboratory
        self._run = laboratory.runner.run
        self._real = RealEconomy(laboratory.processes)
        self._economy = self._run(self._real.start())
        self._asked: list[Ask] = []
        laboratory.examples += 1
        for user in (0, 1):  # with nothing, most is refused
            self._put([(0, Ask("add", user, amount=1000, key=NEW_KEY))])
            self._put([(0, Ask("purchase", user, product=0, quantity=3))])

    @rule(wishes=placed(ANYTHING, 6))
    def one_by_one(self, wishes: list[tuple[int, Ask]]) -> None:
        for wish in wishes:
            self._put([wish])

    @rule(wishes=placed(ANYTHING, 8) | placed(MONEY, 8) | placed(ITEMS, 8))
    def at_once(self, wishes: list[tuple[int, Ask]]) -> None:
        self._put(wishes)

    @rule(wishes=placed(MONEY, 8))
    def money_in_one_process(self, wishes: list[tuple[int, Ask]]) -> None:
        self._put([(0, wish) for _, wish in wishes])

    @rule(wishes=placed(ITEMS, 8))
    def items_in_one_process(self, wishes: list[tuple[int, Ask]]) -> None:
        self._put([(0, wish) for _, wish in wishes])

    @invariant()
    def all_invariants_hold(self) -> None:
        assert self._run(self._real.broken_invariants()) == {}

    def _put(self, wishes: list[tuple[int, Ask]]) -> None:
        placed = [(process, self._ask_of(wish)) for process, wish in wishes]
        answers, tables = self._run(self._answers_and_tables(placed))
        chains: dict[object, list[tuple[Ask, Answer]]] = {}
        is_expiring = False
        for number, ((process, ask), answer) in enumerate(zip(placed, answers, strict=True)):
            if ask.verb == "expire":
                is_expiring = True
                assert answer is True or len(placed) > 1 or not self._economy.pending()
                continue
            told = self._real.told(answer)
            outcome = told.code if isinstance(told, Refused) else "done"
            self._laboratory.told[ask.verb, outcome] += 1
            # a process keeps the order of a user's operations; an edit is no operation
            is_posted = ask.verb not in ("edit", "delete")
            chains.setdefault((process, ask.user) if is_posted else number, []).append((ask, told))
        after = economy_after(self._economy, list(chains.values()), tables, is_expiring=is_expiring)
        assert after is not None, self._difference(placed, list(chains.values()), tables)
        if is_expiring:
            assert not set(self._economy.pending()) & set(after.pending())
        self._economy = after

    async def _answers_and_tables(self, placed: list[tuple[int, Ask]]) -> tuple[list[Any], Tables]:
        calls = (self._real.ask(process, ask) for process, ask in placed)
        answers = await asyncio.gather(*calls)
        return answers, await self._real.tables()

    def _difference(
        self, placed: list[tuple[int, Ask]], chains: list[list[tuple[Ask, Answer]]], tables: Tables
    ) -> str:
        """What the model says when all are asked as they arrived."""
        model, told = self._economy.copy(), [one for chain in chains for one in chain]
        lines = ["in no order does the model get there:"]
        for _, ask in placed:
            answer = next((answer for one, answer in told if one is ask), None)
            lines += [f"asked    {ask}", f"answered {answer}", f"model    {model.answer(ask)}"]
        return "\n".join([*lines, "tables", pformat(tables), "model's", pformat(model.tables())])

    def _ask_of(self, wish: Ask) -> Ask:
        """The ask that the numbers of a wish mean here and now."""
        if wish.verb == "again":
            ask = self._asked[-1 - wish.target[1] % len(self._asked)]
        else:
            users, products = [*self._real.users, NOBODY], [*self._real.products, NOTHING]
            ask = wish._replace(user=users[wish.user])
            if wish.product is not None:
                ask = ask._replace(product=products[wish.product])
            if wish.verb in ("use", "revoke") and wish.product == 0:
                ask = ask._replace(product=self._most_held(ask))
            if wish.verb == "reverse" or wish.verb in ENDS:
                ask = ask._replace(target=self._target_of(ask))
        if wish.key == NEW_KEY and ask.key is not None:
            ask = ask._replace(key=f"{NEW_KEY}-{len(self._asked)}")
        self._asked.append(ask)
        return ask

    def _most_held(self, ask: Ask) -> int:
        held = self._economy.held
        return max(self._real.products, key=lambda product: held.get((ask.user, product), 0))

    def _target_of(self, ask: Ask) -> Place:
        """The newest but so many of those that the ask is made for, or of others."""
        rows, number = self._economy.rows, ask.target[1]
        mine = [place for place in rows if place[0] == ask.user]
        kind = "purchase" if ask.target[0] == PURCHASES else "top_up"
        status = "completed" if ask.verb == "reverse" else "pending"
        reversed_ = {row.target for row in rows.values() if row.kind == "reversal"}
        wanted = [place for place in mine if rows[place].kind == kind]
        wanted.sort(key=lambda place: rows[place].status == status and place not in reversed_)
        found = wanted if number < ANY_OF_MINE and wanted else mine
        if number == A_STRANGERS:
            found = [place for place in rows if place[0] != ask.user]
        return found[-1 - number % len(found)] if found else (0, 0)
