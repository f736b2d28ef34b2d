"""DataLoaders over services: what one document asks for, gathered into few statements."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

from aiodataloader import DataLoader

from economy.errors import EconomyError
from economy.models.inventory import InventoryRow
from economy.models.product import ProductRow
from economy.models.transaction import TransactionRow
from economy.models.user import UserRow
from economy.services import Services
from economy.services.pages import Page
from economy.services.user import HistoryPage

Key = TypeVar("Key")
Value = TypeVar("Value")

HistoryKey = tuple[int, int | None, HistoryPage]  # (user id, its `last_seq` as seen, page)


class Loaders:
    """A loader keeps what it has loaded: use new ones after each mutation."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.known_products: dict[int, ProductRow] = {}  # that an operation has brought along

    @cached_property
    def users(self) -> DataLoader[int, UserRow | None]:
        return DataLoader(_by_key(self._services.users.users))

    @cached_property
    def products(self) -> DataLoader[int, ProductRow | None]:
        return DataLoader(_by_key(self._services.products.products))

    @cached_property
    def inventories(self) -> DataLoader[int, list[InventoryRow] | None]:
        return DataLoader(_by_key(self._services.inventory.inventories))

    @cached_property
    def histories(self) -> DataLoader[HistoryKey, Page[TransactionRow]]:
        return DataLoader(self._load_histories)

    async def _load_histories(self, keys: list[HistoryKey]) -> list[Any]:
        """One statement for each different page that is asked for; an error fails its own keys."""
        found: dict[HistoryKey, Page[TransactionRow] | EconomyError] = {}
        for page in dict.fromkeys(page for _, _, page in keys):
            mine = [key for key in keys if key[2] == page]
            # of a user that was seen twice the later row counts, or that which is not current
            seqs = dict(sorted(((id_, seq) for id_, seq, _ in mine), key=_strictest_last))
            try:
                histories = await self._services.users.histories(seqs, page)
            except EconomyError as error:
                found.update(dict.fromkeys(mine, error))
            else:
                found.update({key: histories[key[0]] for key in mine})
        return [found[key] for key in keys]


def _strictest_last(seen: tuple[int, int | None]) -> tuple[bool, int]:
    _, seq = seen
    return (True, 0) if seq is None else (False, seq)


def _by_key(
    load: Callable[[Sequence[Key]], Awaitable[Mapping[Key, Value]]],
) -> Callable[[list[Key]], Coroutine[Any, Any, list[Value | None]]]:
    async def batch(keys: list[Key]) -> list[Value | None]:
        found = await load(keys)
        return [found.get(key) for key in keys]

    return batch
