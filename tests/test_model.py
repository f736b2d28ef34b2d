"""The economy beside a model of a few dicts: whatever is asked, and however much at once."""

import asyncio
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model_machine import EconomyMachine, Laboratory
from tests.model_services import two_processes

# Without it always the same few; with it as many others, at random.
EXAMPLES = int(os.environ.get("TEST_MODEL_EXAMPLES", "0"))
FEW, STEPS = 24, 12
VERBS = {"purchase", "add", "begin", "complete", "fail", "use", "debit", "grant", "revoke"}
VERBS |= {"reverse", "edit", "delete"}
# to find the shortest way to a difference may take longer than to find the difference
SECONDS = 600 + 4 * EXAMPLES


@pytest.fixture
def laboratory(database_url: str) -> Iterator[Laboratory]:
    with asyncio.Runner() as runner:
        opening = two_processes(database_url)
        processes = runner.run(opening.__aenter__())
        yield Laboratory(runner, processes)
        runner.run(opening.__aexit__(None, None, None))


@pytest.mark.timeout(SECONDS)
def test_every_answer_and_every_table_is_the_models(laboratory: Laboratory) -> None:
    class Machine(EconomyMachine):
        def __init__(self) -> None:
            super().__init__(laboratory)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES or FEW,
            stateful_step_count=STEPS,
            derandomize=not EXAMPLES,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            report_multiple_bugs=False,
        ),
    )
    told = laboratory.told
    print(f"model: {laboratory.examples} examples, {told.total()} answers, no difference")
    # if all that was asked had been refused, it would have shown nothing
    assert {verb for verb, outcome in told if outcome == "done"} >= VERBS
