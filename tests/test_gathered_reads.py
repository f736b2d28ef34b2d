"""Reads of one moment share a statement; no answer is older than its question."""

import asyncio
import re
from collections.abc import Collection

import pytest

from economy.services import Services
from economy.services.gathered_reads import READS_AT_ONCE, GatheredReads
from economy.settings import Settings
from tests.sql_counter import recorded_sql
from tests.world import SERVER, World

TABLE = re.compile(r'FROM "?(user|inventory)\b')


class Failure(Exception):
    """Why a read failed."""


class Shelf:
    """What is read: each read waits for the test, and takes what is there when it ends."""

    def __init__(self) -> None:
        self.values = {key: f"{key}, first" for key in "abc"}
        self.asked: list[list[str]] = []
        self.running = 0
        self.most_running = 0
        self.failure: Exception | None = None
        self._held: list[asyncio.Event] = []

    async def load(self, keys: Collection[str]) -> dict[str, str]:
        found = {key: self.values[key] for key in keys if key in self.values}
        self.asked.append(sorted(keys))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        may_end = asyncio.Event()
        self._held.append(may_end)
        try:
            await may_end.wait()
            if self.failure is not None:
                raise self.failure
            return found
        finally:
            self.running -= 1

    def end_read(self, number: int = 0) -> None:
        """Of those that are under way: by default the one that began first."""
        self._held.pop(number).set()


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def reads(shelf: Shelf) -> GatheredReads[str, str]:
    return GatheredReads(shelf.load)


Asked = list[asyncio.Task[str | None]]


async def settled() -> None:
    """All has happened that can happen by itself."""
    for _ in range(10):
        await asyncio.sleep(0)


async def ask(reads: GatheredReads[str, str], *keys: str) -> Asked:
    """At the same moment."""
    asked = [asyncio.create_task(reads.read(key)) for key in keys]
    await settled()
    return asked


async def test_those_who_ask_at_once_share_a_read(
    shelf: Shelf, reads: GatheredReads[str, str]
) -> None:
    """Each key is read once; what there is not is None."""
    asked = await ask(reads, "a", "b", "a", "none", "a")
    assert shelf.asked == [["a", "b", "none"]]
    shelf.end_read()
    assert await asyncio.gather(*asked) == ["a, first", "b, first", "a, first", None, "a, first"]
    assert shelf.asked == [["a", "b", "none"]]


async def test_a_lone_reader_waits_for_nobody(shelf: Shelf, reads: GatheredReads[str, str]) -> None:
    """Two turns of the loop: the end of the one it asks in, and its read's own."""
    asking = asyncio.create_task(reads.read("a"))
    for _ in range(3):
        await asyncio.sleep(0)
    assert shelf.asked == [["a"]]
    shelf.end_read()
    assert await asking == "a, first"


async def test_nothing_is_kept(shelf: Shelf, reads: GatheredReads[str, str]) -> None:
    for value in ("1", "2"):
        shelf.values["a"] = value
        asked = await ask(reads, "a")
        shelf.end_read()
        assert await asyncio.gather(*asked) == [value]
    assert shelf.asked == [["a"], ["a"]]


async def test_who_asks_during_a_read_goes_into_the_next(
    shelf: Shelf, reads: GatheredReads[str, str]
) -> None:
    """Else it might be told what was before it asked."""
    first = await ask(reads, "a")
    shelf.values["a"] = "a, second"
    second = await ask(reads, "a")
    shelf.end_read()
    assert await asyncio.gather(*first) == ["a, first"]
    shelf.end_read()
    assert await asyncio.gather(*second) == ["a, second"]
    assert shelf.asked == [["a"], ["a"]]


async def test_no_more_reads_at_once(shelf: Shelf, reads: GatheredReads[str, str]) -> None:
    """What arrives while so many are under way is gathered, however long that takes; the first
    read that ends lets it go, whichever that is."""
    early = [await ask(reads, "a") for _ in range(READS_AT_ONCE)]
    assert shelf.running == READS_AT_ONCE
    shelf.values["a"] = "a, second"
    late = [*await ask(reads, "a", "b"), *await ask(reads, "c"), *await ask(reads, "a")]
    assert shelf.asked == READS_AT_ONCE * [["a"]]
    shelf.end_read(READS_AT_ONCE - 1)
    await settled()
    assert await asyncio.gather(*early[-1]) == ["a, first"]
    assert not early[0][0].done()
    assert shelf.asked[READS_AT_ONCE:] == [["a", "b", "c"]]
    shelf.end_read(READS_AT_ONCE - 1)
    assert await asyncio.gather(*late) == ["a, second", "b, first", "c, first", "a, second"]
    shelf.end_read()
    assert await asyncio.gather(*early[0]) == ["a, first"]
    assert (shelf.running, shelf.most_running) == (0, READS_AT_ONCE)
    [last] = await ask(reads, "a")
    shelf.end_read()
    assert await last == "a, second"


@pytest.mark.parametrize("cancelled", [0, 1, 2])
async def test_a_cancelled_caller_harms_nobody(
    shelf: Shelf, reads: GatheredReads[str, str], cancelled: int
) -> None:
    """While its read is under way, and while it waits for one; the first to ask as any other."""
    running = await ask(reads, "a", "a", "b")
    rest = [await ask(reads, "c") for _ in range(READS_AT_ONCE - 1)]
    waiting = await ask(reads, "a", "a", "b")
    for asked in (running, waiting):
        asked[cancelled].cancel()
    await settled()
    for _ in range(READS_AT_ONCE + 1):
        shelf.end_read()
        await settled()
    expected = ["a, first", "a, first", "b, first"]
    for asked in (running, waiting):
        assert asked[cancelled].cancelled()
        kept = [one for number, one in enumerate(asked) if number != cancelled]
        told = [value for number, value in enumerate(expected) if number != cancelled]
        assert [one.result() for one in kept] == told
    assert [one.result() for asked in rest for one in asked] == (READS_AT_ONCE - 1) * ["c, first"]


async def test_all_callers_cancelled(shelf: Shelf, reads: GatheredReads[str, str]) -> None:
    """What they have left behind holds up nobody."""
    asked = [one for _ in range(READS_AT_ONCE + 1) for one in await ask(reads, "a")]
    for one in asked:
        one.cancel()
    await settled()
    assert all(one.cancelled() for one in asked)
    while shelf.running:
        shelf.end_read()
        await settled()
    [last] = await ask(reads, "b")
    shelf.end_read()
    assert await last == "b, first"


async def test_an_error_is_everybodys_own(shelf: Shelf, reads: GatheredReads[str, str]) -> None:
    """Two who raise the same object would write into each other's traceback."""
    asked = await ask(reads, "a", "b", "a")
    shelf.failure = Failure("broken", 7)
    shelf.end_read()
    errors = await asyncio.gather(*asked, return_exceptions=True)
    assert [(type(error), str(error)) for error in errors] == 3 * [
        (Failure, "('broken', 7)"),
    ]
    assert len({id(error) for error in errors}) == 3
    shelf.failure = None
    [last] = await ask(reads, "a")
    shelf.end_read()
    assert await last == "a, first"


async def test_an_error_says_where_it_came_from(
    shelf: Shelf, reads: GatheredReads[str, str]
) -> None:
    """A bug is looked for in the log, where only the error that the caller got is written."""
    [asked] = await ask(reads, "a")
    shelf.failure = Failure("broken")
    shelf.end_read()
    [error] = await asyncio.gather(asked, return_exceptions=True)
    assert isinstance(error, Failure)
    told: BaseException | None = error
    places = set()
    while told is not None:
        step = told.__traceback__
        while step is not None:
            places.add(step.tb_frame.f_code.co_name)
            step = step.tb_next
        told = told.__cause__
    assert "load" in places


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Of one of several processes without Redis: it keeps no inventories."""
    return Settings(database_url=database_url, workers=2, jobs_in_server=False)


@pytest.fixture
async def holders(world: World) -> dict[int, int]:
    """50 users, by id: every other one holds so many boosts."""
    held = {}
    for number in range(50):
        name = f"user{number}"
        user = await world.services.users.create_user(
            SERVER, username=name, email=f"{name}@example.com"
        )
        held[user.id] = number % 2 * number
        if held[user.id]:
            await world.grant(user, world.boost, quantity=number)
    return held


async def test_fifty_who_ask_at_once(services: Services, holders: dict[int, int]) -> None:
    """One statement, and one more for those who hold nothing: do they exist?"""
    with recorded_sql(services.database) as statements:
        asked = [services.inventory.inventories([id_]) for id_ in [*holders, 1_000]]
        answers = await asyncio.gather(*asked)
    tables = sorted(found[1] for one in statements if (found := TABLE.search(one)))
    assert tables == ["inventory", "user"]
    quantities = {
        id_: sum(item.quantity for item in items) for one in answers for id_, items in one.items()
    }
    assert quantities == holders
    assert answers[-1] == {}


async def test_no_answer_is_older_than_its_question(world: World) -> None:
    """Whoever asks behind a purchase is told of it, whatever reads are under way."""
    await world.credit(world.anna, 10_000)
    inventory, anna = world.services.inventory, world.anna.id
    for quantity in range(1, 20):
        early = [asyncio.create_task(inventory.inventories([anna])) for _ in range(3)]
        await world.buy(world.anna, world.boost)
        late = [asyncio.create_task(inventory.inventories([anna])) for _ in range(3)]
        for asked in await asyncio.gather(*late):
            assert [item.quantity for item in asked[anna]] == [quantity]
        for asked in await asyncio.gather(*early):
            assert sum(item.quantity for item in asked[anna]) in (quantity - 1, quantity)
