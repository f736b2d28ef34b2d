"""Runs the fields of one selection: all at once, or those of a mutation one by one."""

from collections.abc import Mapping, Sequence
from typing import Any

from graphql.pyutils import Path, is_awaitable

from economy.api.graphql.compiled_arguments import State
from economy.api.graphql.compiled_reading import Leaf, RunField, RunFields, reading_together
from economy.api.graphql.compiled_waiting import PLAIN, gathered, settle


def at_once(fields: Mapping[str, RunField], leaves: Sequence[Leaf]) -> RunFields:
    """By name in the answer. The leaves among them neither wait nor fail, unless something is
    unusual: then each of them says for itself what it is."""
    all_fields = list(fields.items())
    read_leaves = reading_together(list(fields), leaves)
    names_of_leaves = {leaf.name for leaf in leaves}
    others = [(name, field) for name, field in all_fields if name not in names_of_leaves]

    def run(state: State, source: Any, path: Path | None) -> Any:
        read = None if read_leaves is None else read_leaves(source)
        results, rest = ({}, all_fields) if read is None else (read, others)
        waiting: list[str] = []
        try:
            for name, run_field in rest:
                result = results[name] = run_field(state, source, path)
                if result.__class__ not in PLAIN and is_awaitable(result):
                    waiting.append(name)
        except Exception:
            settle(state, results, waiting)
            raise
        return gathered(results, waiting) if waiting else results

    return run


def one_by_one(fields: Mapping[str, RunField]) -> RunFields:
    async def run(state: State, source: Any, path: Path | None) -> Any:
        results: dict[str, Any] = {}
        for name, run_field in fields.items():
            result = run_field(state, source, path)
            results[name] = await result if is_awaitable(result) else result
        return results

    return run
