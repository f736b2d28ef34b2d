"""The figures of all rounds in one table, a line for each fault."""

from collections.abc import Sequence
from itertools import groupby

from tests.torture.rounds import Round

HEADINGS = (
    "fault",
    "rounds",
    "operations",
    "retries",
    "faults",
    "replays",
    "lost",
    "doubled",
    "recovery, s",
    "verify",
)


def table(rounds: Sequence[Round]) -> str:
    def name(one: Round) -> str:
        return f"{one.database}: {one.fault.value}"

    lines = [_figures(fault, list(some)) for fault, some in groupby(sorted(rounds, key=name), name)]
    lines = [HEADINGS, *lines, _figures("all", rounds)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def _figures(name: str, rounds: Sequence[Round]) -> tuple[str, ...]:
    return (
        name,
        str(len(rounds)),
        str(sum(one.operations for one in rounds)),
        str(sum(one.retries for one in rounds)),
        str(sum(one.injected for one in rounds)),
        str(sum(one.replays for one in rounds)),
        str(sum(one.findings.lost for one in rounds)),
        str(sum(one.findings.doubled for one in rounds)),
        f"{max((one.recovery_seconds for one in rounds), default=0):.1f}",
        "ok" if all(one.findings.is_verified for one in rounds) else "BROKEN",
    )
