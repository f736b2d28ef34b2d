"""Fields that come out as their arguments say: values, nulls, errors, now or later."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from enum import Enum
from typing import Any

import strawberry
from graphql import GraphQLError, Undefined

Events = list[Any]  # the context: what resolvers were told, in the order of their calls


@strawberry.enum
class How(Enum):
    VALUE = "value"
    NULL = "null"
    UNDEFINED = "undefined"
    WRONG = "wrong"  # no value of the type
    RAISE = "raise"
    REFUSE = "refuse"  # raise GraphQL's own error
    RETURN_ERROR = "return_error"


@strawberry.enum
class When(Enum):
    NOW = "now"
    SOON = "soon"  # an awaitable
    LATER = "later"  # after others
    TASK = "task"


@strawberry.enum
class Shape(Enum):
    LIST = "list"
    TUPLE = "tuple"
    OWN_LIST = "own_list"
    GENERATOR = "generator"
    ASYNC_GENERATOR = "async_generator"
    DICT = "dict"
    STRING = "string"
    ITERABLE = "iterable"
    NUMBER = "number"


class Backwards(list[Any]):
    """What a list is only by name."""

    def __iter__(self) -> Iterator[Any]:
        return super().__reversed__()


class Iterable:
    def __init__(self, items: list[Any]) -> None:
        self._items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)


def outcome(how: How, value: Any, wrong: Any) -> Any:
    match how:
        case How.NULL:
            return None
        case How.UNDEFINED:
            return Undefined
        case How.WRONG:
            return wrong
        case How.RAISE:
            raise ValueError("raised")
        case How.REFUSE:
            raise GraphQLError("refused", extensions={"code": 1, "more": [None]})
        case How.RETURN_ERROR:
            return GraphQLError("returned", extensions={"code": 2})
    return value


class Coming:
    """An awaitable that notes when it is awaited, if ever."""

    def __init__(self, events: Events, how: How, value: Any, wrong: Any, *, turns: int) -> None:
        self._events, self._turns = events, turns
        self._outcome = (how, value, wrong)

    def __await__(self) -> Generator[Any, None, Any]:
        return self._come().__await__()

    async def _come(self) -> Any:
        self._events.append(["awaited", self._turns, str(self._outcome[0])])
        for _ in range(self._turns):
            await asyncio.sleep(0)
        return outcome(*self._outcome)


def timed(events: Events, when: When, how: How, value: Any, wrong: Any) -> Any:
    match when:
        case When.SOON:
            return Coming(events, how, value, wrong, turns=0)
        case When.LATER:
            return Coming(events, how, value, wrong, turns=3)
        case When.TASK:
            return asyncio.ensure_future(Coming(events, how, value, wrong, turns=1))
    return outcome(how, value, wrong)


def item(events: Events, when: When, how: How, value: Any, wrong: Any) -> Any:
    """What cannot be raised now is returned."""
    try:
        return timed(events, when, how, value, wrong)
    except (ValueError, GraphQLError) as error:
        return error


def shaped(shape: Shape, items: list[Any]) -> Any:
    async def generator() -> AsyncIterator[Any]:
        for one in items:
            await asyncio.sleep(0)
            yield one

    shapes: dict[Shape, Callable[[], Any]] = {
        Shape.TUPLE: lambda: tuple(items),
        Shape.OWN_LIST: lambda: Backwards(items),
        Shape.GENERATOR: lambda: (one for one in items),
        Shape.ASYNC_GENERATOR: generator,
        Shape.DICT: lambda: dict(enumerate(items)).values(),
        Shape.ITERABLE: lambda: Iterable(items),
    }
    return shapes[shape]() if shape in shapes else items


def note(info: strawberry.Info) -> None:
    raw, selections = info._raw_info, info.selected_fields
    events: Events = info.context
    events.append(
        [
            *(info.field_name, info.python_name, info.path.as_list(), raw.parent_type.name),
            *(str(raw.return_type), info.variable_values, info.root_value, len(raw.field_nodes)),
            *(repr(selections), sorted(raw.fragments), raw.operation.operation.value),
        ]
    )


Make = Callable[[], Any]


def one(type_: Any, make: Make, wrong: Any, *, is_async: bool) -> Any:
    def resolve(
        self: Any, info: strawberry.Info, how: How = How.VALUE, when: When = When.NOW
    ) -> Any:
        note(info)
        return timed(info.context, when, how, make(), wrong)

    async def resolve_later(
        self: Any, info: strawberry.Info, how: How = How.VALUE, when: When = When.NOW
    ) -> Any:
        value: Any = resolve(self, info, how, when)
        return await value if isinstance(value, Awaitable) else value

    chosen = resolve_later if is_async else resolve
    chosen.__annotations__["return"] = type_
    return strawberry.field(resolver=chosen)


def many(type_: Any, make: Make, wrong: Any, *, depth: int = 1) -> Any:
    def resolve(
        self: Any,
        info: strawberry.Info,
        *,
        shape: Shape = Shape.LIST,
        when: When = When.NOW,
        hows: list[How] = [How.VALUE, How.VALUE],  # noqa: B006
        whens: list[When] = [When.NOW],  # noqa: B006
    ) -> Any:
        note(info)
        if shape is Shape.STRING:
            return timed(info.context, when, How.VALUE, "text", wrong)
        if shape is Shape.NUMBER:
            return timed(info.context, when, How.VALUE, 5, wrong)
        items = [
            item(info.context, whens[place % len(whens)] if whens else When.NOW, how, make(), wrong)
            for place, how in enumerate(hows)
        ]
        value = shaped(shape, items)
        return timed(
            info.context, when, How.VALUE, value if depth == 1 else [value, None, value], wrong
        )

    resolve.__annotations__["return"] = type_
    return strawberry.field(resolver=resolve)
