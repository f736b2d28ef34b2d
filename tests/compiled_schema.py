"""A schema of every kind of field, type and value that resolvers can come up with."""

from typing import Annotated, Any, NewType

import strawberry
from graphql import GraphQLSchema, Undefined
from strawberry.extensions import FieldExtension
from strawberry.permission import BasePermission
from strawberry.schema.config import StrawberryConfig
from strawberry.types.field import StrawberryField

from tests.compiled_outcomes import How, Make, When, many, note, one, timed

Odd = NewType("Odd", int)

Lazy = strawberry.lazy("tests.compiled_schema")
# types that are made at runtime say nothing to a type checker
ANNOTATED: Any = Annotated
LIST: Any = list


def _lazy(name: str) -> Any:
    return ANNOTATED[name, Lazy]


Either = ANNOTATED[_lazy("Left") | _lazy("Right"), strawberry.union("Either")]
KINDS: dict[str, tuple[Any, Make, Any]] = {
    "text": (str, lambda: "text", {}),
    "id": (strawberry.ID, lambda: strawberry.ID("1"), 1.5),
    "number": (int, lambda: 7, 2**31),
    "ratio": (float, lambda: 0.5, float("nan")),
    "flag": (bool, lambda: True, "yes"),
    "odd": (Odd, lambda: 3, 4),
    "how": (How, lambda: How.NULL, "nothing"),
    "node": (_lazy("Node"), lambda: _new("Node"), 5),
    "thing": (_lazy("Thing"), lambda: _new("Node"), object),
    "slow": (_lazy("Slow"), lambda: _new("Quick"), 6),
    "either": (Either, lambda: _new("Right"), "neither"),
}


def _new(name: str) -> Any:
    return globals()[name]()


def _fields() -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, (type_, make, wrong) in KINDS.items():
        fields[name] = one(type_ | None, make, wrong, is_async=False)
        fields[f"{name}_strict"] = one(type_, make, wrong, is_async=False)
        fields[f"{name}_async"] = one(type_ | None, make, wrong, is_async=True)
        fields[f"{name}_async_strict"] = one(type_, make, wrong, is_async=True)
        fields[f"{name}_list"] = many(LIST[type_ | None] | None, make, wrong)
        fields[f"{name}_list_strict"] = many(LIST[type_], make, wrong)
        grid = LIST[LIST[type_] | None] | None
        fields[f"{name}_grid"] = many(grid, make, wrong, depth=2)
    return fields


class Forbidding(BasePermission):
    message = "not for you"
    error_extensions = {"code": "NO"}  # noqa: RUF012

    def has_permission(self, source: Any, info: strawberry.Info, **kwargs: Any) -> bool:
        info.context.append(["asked", type(source).__name__, kwargs])
        return kwargs.get("word") == "please"


class Doubling(FieldExtension):
    def resolve(self, next_: Any, source: Any, info: strawberry.Info, **kwargs: Any) -> Any:
        return 2 * next_(source, info, **kwargs)


class Shouting(StrawberryField):
    """A kind of field with a result of its own."""

    def get_result(self, source: Any, info: Any, args: list[Any], kwargs: Any) -> Any:
        result: Any = super().get_result(source, info, args, kwargs)
        return result.upper()


class Read:
    """What a source is read from: each attribute counts how often."""

    def __init__(self) -> None:
        self.reads = 0
        self.same = "read"
        self.nothing = None
        self.undefined = Undefined
        self.error = ValueError("kept")
        self.number = "12"
        self.large = 2**31
        self.odd = 4
        self.secret = "secret"
        self.loud = "quiet"

    @property
    def raising(self) -> str:
        self.reads += 1
        raise ValueError(f"read {self.reads} times")

    @property
    def changing(self) -> Any:
        self.reads += 1
        return None if self.reads % 2 else "even"

    @property
    def coming(self) -> Any:
        return timed([], When.LATER, How.VALUE, "came", None)

    @property
    def failing(self) -> Any:
        return timed([], When.SOON, How.RAISE, "came", None)


@strawberry.type
class Attributes:
    same: str
    nothing: str
    undefined: str | None
    error: str | None
    number: int
    large: int | None
    odd: Odd | None
    missing: str | None
    raising: str | None
    changing: str | None
    coming: str
    failing: str | None
    secret: str | None = strawberry.field(permission_classes=[Forbidding])
    loud: str = Shouting(python_name="loud")  # type: ignore[assignment]


@strawberry.interface
class Named:
    name: str = "named"


@strawberry.interface
class Thing(Named):
    pass


@strawberry.interface
class Slow:
    name: str = "slow"

    @classmethod
    async def resolve_type(cls, value: Any, *_: Any) -> str | None:
        return None if value == 6 else "Quick"


@strawberry.type
class Quick(Slow):
    @classmethod
    async def is_type_of(cls, value: Any, _info: Any) -> bool:
        return isinstance(value, Quick)

    later: str | None = one(str | None, lambda: "text", {}, is_async=True)


@strawberry.type
class Parameters:
    @strawberry.field
    def of_root(root: Any, info: strawberry.Info, word: str = "root") -> str:  # noqa: N805
        note(info)
        return f"{type(root).__name__} {word}"

    @strawberry.field
    def of_nothing() -> str:
        return "nothing"

    @strawberry.field
    def of_parent(the: strawberry.Parent[Any], told: strawberry.Info) -> str:  # noqa: N805
        return f"{type(the).__name__} {told.field_name}"

    @strawberry.field(permission_classes=[Forbidding])  # type: ignore[untyped-decorator]
    def guarded(self, word: str = "now") -> str | None:
        return word

    @strawberry.field(extensions=[Doubling()])  # type: ignore[untyped-decorator]
    def doubled(self, number: int = 1) -> int:
        return number

    @strawberry.field(name="else")  # type: ignore[untyped-decorator]
    async def other(self, from_: Annotated[str, strawberry.argument(name="from")] = "x") -> str:
        return from_


def _type(name: str, *bases: type) -> Any:
    return strawberry.type(type(name, bases, {"__module__": __name__} | _fields()))


Node = _type("Node", Parameters, Thing)
Left = _type("Left", Parameters)
Right = _type("Right", Parameters)


@strawberry.type
class Query(_type("Fields", Parameters)):  # type: ignore[misc]
    @strawberry.field
    def attributes(self) -> Attributes:
        return Read()  # type: ignore[return-value]


@strawberry.type
class Mutation(_type("Steps", Parameters)):  # type: ignore[misc]
    pass


def _odd(value: int) -> Any:
    if value == 5:
        raise ValueError("five")
    return value if value % 2 else None


def build_schema() -> GraphQLSchema:
    config = StrawberryConfig(scalar_map={Odd: strawberry.scalar(name="Odd", serialize=_odd)})
    schema = strawberry.Schema(query=Query, mutation=Mutation, types=[Quick], config=config)
    return schema._schema
