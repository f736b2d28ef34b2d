"""Whether answers that were given at once are those of one after the other, in some order."""

from collections.abc import Sequence

from tests.economy_model import Economy
from tests.model_words import Answer, Ask, Tables

Chain = Sequence[tuple[Ask, Answer]]  # what is done in this order


def economy_after(
    economy: Economy, chains: Sequence[Chain], tables: Tables, *, is_expiring: bool
) -> Economy | None:
    """The economy after an order in which each ask gets its answer, and that ends in `tables`.

    `is_expiring`: at any moment any pending top-up may expire.
    """
    seen: dict[tuple[int, ...], list[Economy]] = {}

    def search(now: Economy, done: tuple[int, ...]) -> Economy | None:
        is_end = all(count == len(chain) for count, chain in zip(done, chains, strict=True))
        if is_end and now.tables() == tables:
            return now
        if now in seen.setdefault(done, []):
            return None
        seen[done].append(now)
        for number, chain in enumerate(chains):
            if done[number] == len(chain):
                continue
            (ask, answer), after = chain[done[number]], now.copy()
            if after.answer(ask) == answer:
                found = search(after, (*done[:number], done[number] + 1, *done[number + 1 :]))
                if found is not None:
                    return found
        for place in now.pending() if is_expiring else ():
            after = now.copy()
            after.answer(Ask("expire", place[0], target=place))
            found = search(after, done)
            if found is not None:
                return found
        return None

    return search(economy, (0,) * len(chains))
