"""Waits for what the fields of a compiled operation have left to come."""

from collections.abc import Awaitable
from typing import Any

from graphql import GraphQLOutputType
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import Path, gather_with_cancel

from economy.api.graphql.compiled_arguments import State

# values of these classes are never awaitable
PLAIN = {str, int, bool, float, type(None), dict, list}


async def awaited(
    state: State,
    completed: Awaitable[Any],
    type_: GraphQLOutputType,
    details: FieldDetailsList,
    path: Path,
) -> Any:
    try:
        return await completed
    except Exception as error:
        state.handle_field_error(error, type_, details, path)
        return None


async def gathered(results: Any, waiting: list[Any]) -> Any:
    """A dict or a list whose values at these places are awaited, all at once."""
    if len(waiting) == 1:
        results[waiting[0]] = await results[waiting[0]]
        return results
    values = await gather_with_cancel(*(results[place] for place in waiting))
    for place, value in zip(waiting, values, strict=True):
        results[place] = value
    return results


def settle(state: State, results: Any, waiting: list[Any]) -> None:
    """An error goes up at once, but what was begun must not be forgotten."""
    if waiting:
        state.settle_in_background([results[place] for place in waiting])
