"""Random valid documents, the same for the same seed."""

from random import Random
from typing import Any

from graphql import (
    GraphQLField,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_composite_type,
    is_enum_type,
    is_list_type,
)

USUAL = ("VALUE", "NOW", "LIST")
NUMBERS = ["0", "1", "-5", "2147483647"]
STRINGS = ['"please"', '""', '"\\u0000"', '"""block"""']


class Composer:
    """Of fields that take enums, lists of enums, strings and numbers, or nothing."""

    def __init__(self, schema: GraphQLSchema, random: Random) -> None:
        self._schema, self._random = schema, random
        self._names = 0
        self._fragments: list[str] = []

    def document(self, operation: str, *, depth: int, width: int) -> str:
        self._fragments.clear()
        is_query = operation == "query"
        root = self._schema.query_type if is_query else self._schema.mutation_type
        return " ".join([operation, self._set(root, depth, width), *self._fragments])

    def _set(self, type_: Any, depth: int, width: int) -> str:
        selections = ["__typename"] if self._random.random() < 0.2 else []
        if not is_abstract_type(type_) or self._random.random() < 0.5:
            selections += self._selections(type_, depth, width)
        if is_abstract_type(type_):
            for member in self._schema.get_possible_types(type_):
                inner = " ".join(self._selections(member, depth, width))
                selections.append(self._fragment(member.name, inner))
        elif self._random.random() < 0.3:
            inner = " ".join(self._selections(type_, depth, width))
            selections.append(self._fragment(type_.name, inner))
        return f"{{ {' '.join(selections or ['__typename'])} }}"

    def _fragment(self, type_name: str, inner: str) -> str:
        condition = f"on {type_name} {{ {inner} }}"
        if self._random.random() < 0.5:
            return f"... {condition}"
        name = self._new_name()
        self._fragments.append(f"fragment {name} {condition}")
        return f"...{name}"

    def _selections(self, type_: Any, depth: int, width: int) -> list[str]:
        fields = [
            (name, field)
            for name, field in getattr(type_, "fields", {}).items()
            if depth > 1 or not is_composite_type(get_named_type(field.type))
        ]
        chosen = self._random.choices(fields, k=self._random.randint(1, width)) if fields else []
        selections = []
        for name, field in chosen:
            head = f"{self._new_name()}: {name}{self._arguments(field)}"
            # once more: the two are merged into one
            for _ in range(2 if self._random.random() < 0.1 else 1):
                named_type = get_named_type(field.type)
                is_leaf = not is_composite_type(named_type)
                inner = "" if is_leaf else self._set(named_type, depth - 1, width)
                selections.append(f"{head} {inner}")
        return selections or ["__typename"]

    def _arguments(self, field: GraphQLField) -> str:
        given = [
            f"{name}: {self._value(argument.type)}"
            for name, argument in field.args.items()
            if self._random.random() < 0.6
        ]
        return f"({', '.join(given)})" if given else ""

    def _value(self, type_: Any) -> Any:
        type_ = get_nullable_type(type_)
        if is_list_type(type_):
            items = [self._value(type_.of_type) for _ in range(self._random.randint(0, 3))]
            return f"[{', '.join(items)}]"
        if is_enum_type(type_):
            usual = [name for name in type_.values if name in USUAL]
            return self._random.choice(usual if self._random.random() < 0.5 else list(type_.values))
        return self._random.choice(NUMBERS if type_.name == "Int" else STRINGS)

    def _new_name(self) -> str:
        self._names += 1
        return f"a{self._names}"
