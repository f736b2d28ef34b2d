"""The committed ceilings of what is counted, and what is above them."""

import json
import math
import platform
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from bench.counted.counting import Figures
from bench.counted.operations import Operation

FILE = Path(__file__).parent.parent / "counted.json"
COUNTS = ("statements", "sql_round_trips", "redis_commands", "redis_round_trips")


class Room(NamedTuple):
    """What may be above what was counted."""

    counts: float
    percent: int  # of bytes and calls: ids and balances grow


# A request alone takes as many steps each time. How those at once meet is partly chance; if they
# shared nothing any more, each would take at least one step more.
ALONE = Room(0, 10)
AT_ONCE = Room(0.5, 30)
# Another version of Python calls the same functions in other ways.
CALLS_ARE_OF = ("CPython", (3, 11))

Ceilings = Mapping[str, Mapping[str, float]]  # by operation, by figure


def judges_calls() -> bool:
    return (platform.python_implementation(), sys.version_info[:2]) == CALLS_ARE_OF


def read_ceilings() -> Ceilings:
    ceilings: Ceilings = json.loads(FILE.read_text())
    return ceilings


def write_ceilings(counted: Mapping[Operation, Figures]) -> None:
    ceilings = {one.name: ceilings_of(one, figures) for one, figures in counted.items()}
    FILE.write_text(json.dumps(ceilings, indent=1) + "\n")


def ceilings_of(operation: Operation, figures: Figures) -> dict[str, float]:
    room = ALONE if operation.at_once == 1 else AT_ONCE
    ceilings = {
        name: value + room.counts
        if name in COUNTS
        else math.ceil(value * (100 + room.percent) / 100)
        for name, value in figures._asdict().items()
    }
    return {name: int(one) if one == int(one) else one for name, one in ceilings.items()}


def problems(
    counted: Mapping[Operation, Figures], ceilings: Ceilings, *, with_calls: bool
) -> Iterator[str]:
    """Each figure that is above its ceiling or has none, and ceilings of nothing."""
    for operation, figures in counted.items():
        for name, value in figures._asdict().items():
            ceiling = ceilings.get(operation.name, {}).get(name)
            if ceiling is None:
                yield f"{operation.name}: {name} has no ceiling"
            elif value > ceiling and (with_calls or name != "calls"):
                yield f"{operation.name}: {name} is {value:g}, at most {ceiling:g}"
    for rest in sorted(ceilings.keys() - {operation.name for operation in counted}):
        yield f"{rest}: has ceilings, but is not counted"
