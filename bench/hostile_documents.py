"""How long hostile GraphQL documents take to be refused: make bench-hostile.

Each is tried at three sizes: linear time means that twice the size takes twice as long.
"""

import statistics
import time
from collections.abc import Callable

from economy.api.graphql.documents import Documents
from economy.api.graphql.schema import build_schema

ROUNDS = 5
SIZES = (250, 500, 1_000)


def fragment_bomb(tokens: int) -> str:
    depth = tokens // 14
    fragments = "".join(
        f"fragment F{n} on User {{ ...F{n + 1} ...F{n + 1} }} " for n in range(depth)
    )
    return f"{{ me {{ ...F0 }} }} {fragments}fragment F{depth} on User {{ id }}"


def same_fields_in_fragments(tokens: int) -> str:
    names = range(tokens // 13)
    fragments = " ".join(f"fragment F{n} on User {{ id inventory {{ id }} }}" for n in names)
    return f"{{ me {{ {' '.join(f'...F{n}' for n in names)} }} }} {fragments}"


HOSTILE: dict[str, Callable[[int], str]] = {
    "fragment bomb": fragment_bomb,
    "same fields in fragments": same_fields_in_fragments,
    "aliases": lambda n: "{ me { " + " ".join(f"a{i}: id" for i in range(n // 4)) + " } }",
    "20,000 aliases": lambda n: "{ " + " ".join(f"a{i}: me {{ id }}" for i in range(20 * n)) + " }",
    "the same field": lambda n: "{ me { " + "id " * (n - 10) + "} }",
    "nested inline fragments": lambda n: "{ me " + "{ ... " * (n // 4) + "{ id }" + " }" * (n // 4),
    "60,000 brackets": lambda n: "{" * 60 * n,
    "5,000 digits": lambda n: f"{{ products(first: {'9' * 5 * n}) {{ nodes {{ id }} }} }}",
    "unknown fields": lambda n: "{ " + " ".join(f"x{i}" for i in range(n - 10)) + " }",
    "nested introspection": lambda n: (
        "{ __schema { types "
        + "{ fields { type " * (n // 9)
        + "{ name }"
        + " } }" * (n // 9)
        + "}}"
    ),
    "directives": lambda n: "{ me { id " + "@skip(if: false) " * (n // 6) + "} }",
    "unused variables": lambda n: (
        "query (" + " ".join(f"$v{i}: Int" for i in range(n // 4)) + ") { me { id } }"
    ),
}


def milliseconds(documents: Documents, text: str) -> float:
    times = []
    for _ in range(ROUNDS):
        started_at = time.process_time()
        documents.parsed(text)
        times.append(time.process_time() - started_at)
    return statistics.median(times) * 1000


def main() -> None:
    schema = build_schema()._schema
    documents = Documents(schema, has_introspection=True, has_suggestions=False)
    print(
        f"{'CPU milliseconds, at size':26} {' '.join(f'{size:>7,}' for size in SIZES)}  refused as"
    )
    for name, make in HOSTILE.items():
        figures = " ".join(f"{milliseconds(documents, make(size)):7.1f}" for size in SIZES)
        errors = documents.parsed(make(SIZES[-1])).errors
        print(f"{name:26} {figures}  {errors[0].message if errors else 'NOT REFUSED'}"[:120])


if __name__ == "__main__":
    main()
