"""A schema that answers what its resolvers are given: every kind of argument and input object."""

from enum import Enum
from typing import Annotated, Any, NewType

import strawberry
from graphql import GraphQLSchema, ValueNode, value_from_ast_untyped
from strawberry.relay import GlobalID
from strawberry.scalars import JSON
from strawberry.schema.config import StrawberryConfig

Words = NewType("Words", str)
Even = NewType("Even", int)
Lazy = strawberry.lazy("tests.compiled_inputs")


@strawberry.enum
class Color(Enum):
    RED = "red"
    BLUE = strawberry.enum_value("blue", description="Of the sky.")


@strawberry.input
class Point:
    x: int
    y: int = 2
    label: str | None = strawberry.field(name="name", default=strawberry.UNSET)
    color: Color | None = Color.BLUE


@strawberry.input
class Checked:
    word: str
    secret: strawberry.Private[str] = "hidden"

    def __post_init__(self) -> None:
        if self.word == "wrong":
            raise ValueError("checked")


@strawberry.input
class Tree:
    value: int
    left: Annotated["Tree", Lazy] | None = None
    right: "Tree | None" = strawberry.UNSET
    children: list[Annotated["Tree", Lazy]] | None = None


@strawberry.input
class Lists:
    numbers: list[int] = strawberry.field(default_factory=lambda: [1, 2])
    grid: list[list[int | None] | None] | None = None
    colors: list[Color] | None = None
    points: list[Point] = strawberry.field(default_factory=list)


@strawberry.input
class Patch:
    name: strawberry.Maybe[str]
    nullable: strawberry.Maybe[str | None]
    point: strawberry.Maybe[Point | None]


@strawberry.input(one_of=True)
class Choice:
    number: strawberry.Maybe[int]
    point: strawberry.Maybe[Point]
    words: strawberry.Maybe[list[str]]


@strawberry.input
class Outer:
    point: Point
    checked: Checked | None = None
    choice: Choice | None = None
    flag: bool = True
    ratio: float | None = 0.5
    even: Even | None = None
    id: strawberry.ID | None = None
    camel_case: str = "camel"


@strawberry.type
class Query:
    @strawberry.field
    def leaves(
        self,
        number: int,
        text: str | None = "text",
        ratio: float = 1.5,
        flag: bool | None = strawberry.UNSET,
        id_: Annotated[strawberry.ID | None, strawberry.argument(name="id")] = None,
    ) -> str:
        return repr((number, text, ratio, flag, id_))

    @strawberry.field
    def colors(self, color: Color = Color.RED, other: Color | None = None) -> str:
        return repr((color, other))

    @strawberry.field
    def needing(self, number: int | None, text: str = "x") -> str | None:
        return repr((number, text))

    @strawberry.field
    async def needing_later(self, number: int | None) -> str | None:
        return repr(number)

    @strawberry.field
    def scalars(
        self, even: Even | None = None, words: Words | None = None, json: JSON | None = None
    ) -> str:
        return repr((even, words, json))

    @strawberry.field
    def point(self, point: Point, other: Point | None = None, tail: int = 0) -> str:
        return repr((point, other, tail))

    @strawberry.field
    def checked(self, word: Checked, number: int = 5) -> str:
        return repr((word, number))

    @strawberry.field
    async def checked_later(self, word: Checked, number: int = 5) -> str:
        return repr((word, number))

    @strawberry.field
    def tree(self, tree: Tree | None = None) -> str:
        return repr(tree)

    @strawberry.field
    def lists(
        self,
        lists: Lists | None = None,
        numbers: list[int | None] = [1],  # noqa: B006
        grid: list[list[int]] | None = None,
        points: list[Point] | None = None,
    ) -> str:
        numbers.append(7)  # nobody else's
        return repr((lists, numbers, grid, points))

    @strawberry.field
    def patch(self, patch: Patch, name: strawberry.Maybe[str] = None) -> str:
        return repr((patch, name))

    @strawberry.field
    def choice(self, choice: Choice, also: Choice | None = None) -> str:
        return repr((choice, also))

    @strawberry.field
    def outer(self, outer: Outer) -> str:
        return repr(outer)

    @strawberry.field
    async def global_id(self, id_: GlobalID, number: int = 1) -> str | None:
        return f"{id_} {number}"

    @strawberry.field
    async def fails_later(self) -> str | None:
        raise ValueError("later")


def _even(value: Any) -> Any:
    if value == 5:
        raise ValueError("five")
    return value if value % 2 == 0 else None


def _words(node: ValueNode, variables: dict[str, Any] | None = None) -> str:
    return repr(value_from_ast_untyped(node, variables))


def build_schema() -> GraphQLSchema:
    words = strawberry.scalar(name="Words", parse_value=repr, parse_literal=_words)
    even = strawberry.scalar(name="Even", parse_value=_even)
    config = StrawberryConfig(scalar_map={Words: words, Even: even})
    return strawberry.Schema(query=Query, config=config)._schema
