"""Declines that are told again under their key, though they would end otherwise by then."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from economy.errors import ErrorCode
from economy.services.operations import Booking
from tests.journal import error_of, nothing_changes, one_decline
from tests.world import World


class Scenario(NamedTuple):
    """Of Anna."""

    before: Callable[[World], Awaitable[object]]
    ask: Callable[[World], Awaitable[Booking]]
    then: Callable[[World], Awaitable[object]]  # now it would end otherwise


async def told_twice(world: World, scenario: Scenario) -> ErrorCode:
    """Stored the first time, the same the second time: what it was."""
    await scenario.before(world)
    async with one_decline(world, world.anna):
        first = await error_of(scenario.ask(world))
    assert vars(first)["replayed"] is False
    await scenario.then(world)
    async with nothing_changes(world):
        again = await error_of(scenario.ask(world))
    assert (type(again), str(again)) == (type(first), str(first))
    assert vars(again) == vars(first) | {"replayed": True}
    return first.code
