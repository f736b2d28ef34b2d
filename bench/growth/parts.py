"""What grows: users, journal rows, the products of one user, the depth of a page of history."""

import json
import random
from collections.abc import Iterable, Iterator
from itertools import pairwise

from bench.growth.client import Client
from bench.growth.filling import (
    ASKED,
    add_history,
    add_holders,
    add_rounds,
    add_users,
    grow_users,
)
from bench.growth.measure import WARM_UP, Point, Site, Work
from bench.growth.requests import Ask, history, inventory, purchase
from bench.growth.stage import Stage
from bench.suite.seed import ITEMS, product_ids
from economy.services.pages import cursor_of

BY_USERS, BY_ROWS = "users", "journal rows"
BY_HELD, BY_DEPTH = "products of the user", "depth of the page"
BUYING, NOT_CACHED, CACHED = "purchase", "inventory, not cached", "inventory, cached"
USERS_DATABASE, ROWS_DATABASE = "users", "journal"
SHORT_PAGE, PAGE = "history, 10 rows", "history, 50 rows"

USERS = (10_000, 100_000, 1_000_000, 10_000_000)
ROWS = (100_000, 1_000_000, 10_000_000, 20_000_000)
USERS_OF_ROWS = 100_000  # they stay as many while the journal grows
SMALLEST = 100_000  # that the largest number may be
FIRST_ROUNDS = 10  # of those who are asked, so that their page is full from the start
HELD = (1, 100, 1_000)
MOST_SAMPLES = ASKED // 3 - WARM_UP  # as nobody is asked for two things
HOLDERS = WARM_UP + 300  # of each number; the answers are long, so that there are fewer
DEPTHS = (1, 10, 100, 1_000, 10_000)
DEEP_ROWS = 600_000
FEW, MANY = 10, 50  # rows of a page


def points(stage: Stage) -> Iterator[Point]:
    yield from by_users(stage)
    stage.drop(USERS_DATABASE)
    yield from by_rows(stage)
    yield from by_held(stage)
    yield from by_depth(stage)


def by_users(stage: Stage) -> Iterator[Point]:
    stage.create(USERS_DATABASE)
    for old, new in pairwise((0, *sizes(USERS, stage.largest))):
        stage.fill(USERS_DATABASE, grow_users, old, new)
        reading, buying = _asked(stage, new, groups=2)
        works = [_reads(stage, new, reading), _purchases(stage, new, buying)]
        with stage.site(USERS_DATABASE) as site:
            yield from site.measure(BY_USERS, works)


def by_rows(stage: Stage) -> Iterator[Point]:
    stage.create(ROWS_DATABASE)
    stage.fill(ROWS_DATABASE, grow_users, 0, USERS_OF_ROWS)
    for old, new in pairwise((0, *sizes(ROWS, stage.largest))):
        if old == 0:
            each = USERS_OF_ROWS // ASKED
            stage.fill(ROWS_DATABASE, add_rounds, FIRST_ROUNDS, USERS_OF_ROWS, each=each)
        else:
            stage.fill(ROWS_DATABASE, add_rounds, (new - old) // USERS_OF_ROWS, USERS_OF_ROWS)
        reading, looking_back, buying = _asked(stage, USERS_OF_ROWS, groups=3)
        pages = [history(stage.token(user_id), FEW) for user_id in looking_back]
        works = [
            _reads(stage, new, reading),
            Work(SHORT_PAGE, new, pages),
            _purchases(stage, new, buying),
        ]
        with stage.site(ROWS_DATABASE) as site:
            yield from site.measure(BY_ROWS, works)


def by_held(stage: Stage) -> Iterator[Point]:
    """In the journal as it is by now. All are asked once, again, and then they buy."""
    works = []
    for number, held in enumerate(HELD):
        first = USERS_OF_ROWS + 1 + HOLDERS * number
        stage.fill(ROWS_DATABASE, add_holders, first, first + HOLDERS - 1, held)
        tokens = [stage.token(user_id) for user_id in range(first, first + HOLDERS)]
        reads = [inventory(token, held) for token in tokens]
        buys = [purchase(token, random.randint(1, held)) for token in tokens]
        works.append(Work(NOT_CACHED, held, reads, is_cached=False))
        works.append(Work(CACHED, held, reads, is_cached=True))
        works.append(Work(BUYING, held, buys))
    with stage.site(ROWS_DATABASE) as site:
        yield from sorted(site.measure(BY_HELD, works), key=lambda point: point.work)


def by_depth(stage: Stage) -> Iterator[Point]:
    """Always the same page of the one user who has that many."""
    user_id = USERS_OF_ROWS + HOLDERS * len(HELD) + 1
    rows = min(DEEP_ROWS, stage.largest)
    stage.fill(ROWS_DATABASE, add_users, user_id, user_id)
    stage.fill(ROWS_DATABASE, add_history, user_id, rows)
    token = stage.token(user_id)
    works = []
    for depth in sizes(DEPTHS, rows // MANY):
        newest = rows - MANY * (depth - 1)
        after = None if depth == 1 else cursor_of(newest + 1)
        ask = history(token, MANY, after=after, amounts=(newest, newest - MANY + 1))
        works.append(Work(PAGE, depth, [ask] * (WARM_UP + stage.samples)))
    with stage.site(ROWS_DATABASE) as site:
        _require_cursor(site, history(token, MANY), rows - MANY + 1)
        yield from site.measure(BY_DEPTH, works)


def sizes(all_: Iterable[int], largest: int) -> list[int]:
    return [size for size in all_ if size <= largest]


def _reads(stage: Stage, size: int, user_ids: Iterable[int]) -> Work:
    asks = [inventory(stage.token(user_id), ITEMS) for user_id in user_ids]
    return Work(NOT_CACHED, size, asks, is_cached=False)


def _purchases(stage: Stage, size: int, user_ids: Iterable[int]) -> Work:
    asks = [
        purchase(stage.token(user_id), random.choice(product_ids(user_id))) for user_id in user_ids
    ]
    return Work(BUYING, size, asks)


def _asked(stage: Stage, users: int, *, groups: int) -> list[list[int]]:
    """From all over the range; nobody is in two groups, so that nobody's rows have been touched."""
    step = users // ASKED
    count = groups * (WARM_UP + stage.samples)
    chosen = random.sample(range(step, users + 1, step), count)
    return [chosen[number::groups] for number in range(groups)]


def _require_cursor(site: Site, ask: Ask, position: int) -> None:
    """Pages are not walked to: the service gives the cursor that is made here."""
    client = Client(site.port)
    answer = client.ask(ask.request)
    client.close()
    given = json.loads(answer.body)["data"]["me"]["transactions"]["pageInfo"]["endCursor"]
    if given != cursor_of(position):
        raise SystemExit(f"the cursor of row {position} is {given}, not {cursor_of(position)}")
