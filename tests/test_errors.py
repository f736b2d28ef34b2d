"""Every error has its REST status and its GraphQL form, under the same code."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, get_origin

import pytest

from economy import errors
from economy.api.graphql import scalars
from economy.api.graphql.errors import MEMBERS, TOP_LEVEL, extensions_of, member_of
from economy.api.rest.errors import STATUS, problem_of
from economy.errors import EconomyError, ErrorCode, FieldProblem

# GraphQL requires a key by type: there a key of the wrong form is input like any other.
SPELT_ANOTHER_WAY = {ErrorCode.IDEMPOTENCY_KEY_MISSING: ErrorCode.INVALID_INPUT}
SIMPLE: dict[Any, Any] = {int: 7, str: "8", bool: False}


def concrete(error: type[EconomyError]) -> Iterator[type[EconomyError]]:
    """Every error that can be raised: each leaf, and what is raised itself beside its leaves."""
    below = error.__subclasses__()
    if not below or hasattr(error, "code"):
        yield error
    for one in below:
        yield from concrete(one)


def example(error: type[EconomyError]) -> EconomyError:
    values: dict[str, Any] = {}
    for field in fields(error):
        if field.name == "problems":
            values[field.name] = (FieldProblem(("user_id",), "wrong"),)
        elif get_origin(field.type) is tuple:
            values[field.name] = ("external_reference",)
        else:
            values[field.name] = SIMPLE[field.type]
    return error(**values)


ERRORS = sorted(set(concrete(EconomyError)), key=lambda error: error.__name__)


@pytest.mark.parametrize("error", ERRORS)
def test_both_translations(error: type[EconomyError]) -> None:
    made = example(error)
    problem = problem_of(made)
    assert problem["status"] == STATUS[error.code]
    assert 400 <= STATUS[error.code] <= 599
    assert problem["code"] == error.code.value
    assert (error in MEMBERS) != (error in TOP_LEVEL)
    top_level = extensions_of(made)
    assert top_level["code"] == error.code.value
    assert top_level["retryable"] == problem["retryable"] == error.retryable
    if error in MEMBERS:
        member: Any = member_of(made)
        assert member.code.name == SPELT_ANOTHER_WAY.get(error.code, error.code).value
        assert (member.message, member.retryable) == (problem["detail"], problem["retryable"])
        assert type(member) is MEMBERS[error][0]
    else:
        with pytest.raises(error):
            member_of(made)


def test_what_may_be_retried_is_a_429_or_a_503_and_nothing_else_is() -> None:
    assert {error for error in ERRORS if error.retryable} == {
        error for error in ERRORS if STATUS[error.code] in (429, 503)
    }
    assert {error for error in ERRORS if STATUS[error.code] == 429} == {errors.RateLimited}


def test_no_code_is_left_over() -> None:
    assert {error.code for error in ERRORS} == set(ErrorCode) == STATUS.keys()
    assert [code.value for code in ErrorCode] == [code.name for code in ErrorCode]
    assert [str(code.value) for code in scalars.ErrorCode] == list(scalars.ErrorCode.__members__)
    assert scalars.ErrorCode.__members__.keys() == {
        SPELT_ANOTHER_WAY.get(error.code, error.code).value for error in MEMBERS
    }


def test_every_decline_is_something_that_a_player_can_act_on() -> None:
    assert [error for error in concrete(errors.Decline) if error not in MEMBERS] == []
