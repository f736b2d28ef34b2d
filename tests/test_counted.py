"""Tests that what costs more than its ceiling is named, and that the sockets count exactly."""

import pytest

from bench.counted.ceilings import ceilings_of, problems, read_ceilings
from bench.counted.counting import CallCounter, Figures
from bench.counted.operations import OPERATIONS, Operation
from bench.counted.wire import PostgresConversation, RedisConversation, Traffic
from bench.suite import rows

ALONE = Operation(rows.PURCHASE)
AT_ONCE = Operation(rows.PURCHASE, at_once=64)
FIGURES = Figures(4, 5, 1000, 500, 7, 2, 700, 50, 180, 2000)
CEILINGS = {ALONE.name: ceilings_of(ALONE, FIGURES)}


def found(figures: Figures, *, with_calls: bool = True) -> list[str]:
    return list(problems({ALONE: figures}, CEILINGS, with_calls=with_calls))


def test_what_was_counted_when_the_ceilings_were_written_is_not_above_them() -> None:
    assert found(FIGURES) == []
    assert found(Figures(*(0 for _ in FIGURES))) == []


@pytest.mark.parametrize("name", Figures._fields)
def test_each_figure_above_its_ceiling_is_named(name: str) -> None:
    ceiling = CEILINGS[ALONE.name][name]
    assert found(FIGURES._replace(**{name: ceiling})) == []
    above = FIGURES._replace(**{name: ceiling + 1})
    assert found(above) == [f"GraphQL purchase: {name} is {ceiling + 1:g}, at most {ceiling:g}"]


def test_counts_of_a_request_alone_have_no_room() -> None:
    assert ceilings_of(ALONE, FIGURES) == {
        "statements": 4,
        "sql_round_trips": 5,
        "sql_bytes_sent": 1100,
        "sql_bytes_received": 550,
        "redis_commands": 7,
        "redis_round_trips": 2,
        "redis_bytes_sent": 770,
        "redis_bytes_received": 55,
        "body_bytes": 198,
        "calls": 2200,
    }


def test_requests_at_once_have_room_for_how_they_meet() -> None:
    ceilings = ceilings_of(AT_ONCE, FIGURES._replace(statements=4 / 64))
    assert (ceilings["statements"], ceilings["calls"]) == (36 / 64, 2600)


def test_function_calls_of_another_python_are_not_judged() -> None:
    assert found(FIGURES._replace(calls=9999), with_calls=False) == []
    assert len(found(FIGURES._replace(calls=9999, statements=9), with_calls=False)) == 1


def test_what_has_no_ceiling_is_named() -> None:
    others = {name: value for name, value in CEILINGS[ALONE.name].items() if name != "statements"}
    assert list(problems({ALONE: FIGURES}, {ALONE.name: others}, with_calls=True)) == [
        "GraphQL purchase: statements has no ceiling"
    ]
    assert list(problems({ALONE: FIGURES}, {}, with_calls=False)) == [
        f"GraphQL purchase: {name} has no ceiling" for name in Figures._fields
    ]


def test_ceilings_of_what_is_not_counted_are_named() -> None:
    assert list(problems({}, CEILINGS, with_calls=True)) == [
        "GraphQL purchase: has ceilings, but is not counted"
    ]


def test_the_committed_file_has_each_figure_of_each_operation() -> None:
    names = [(one.name, set(Figures._fields)) for one in OPERATIONS]
    assert [(name, set(figures)) for name, figures in read_ceilings().items()] == names


def test_calls_of_functions_are_counted_exactly() -> None:
    def count(work: int) -> int:
        counter = CallCounter()
        with counter.counting():
            for _ in range(work):
                len("")
        return counter.calls

    assert [count(work) - count(0) for work in (1, 10)] == [1, 10]


def test_statements_are_what_postgresql_says_it_has_executed() -> None:
    """In whatever pieces it says so."""
    begin, ready = b"C\x00\x00\x00\x0aBEGIN\x00", b"Z\x00\x00\x00\x05T"
    row = b"D\x00\x00\x00\x0b\x00\x01\x00\x00\x00\x01C"  # its value is no message
    said = begin + ready + row + b"s\x00\x00\x00\x04" + ready
    for cut in range(len(said) + 1):
        traffic = Traffic()
        conversation = PostgresConversation(traffic)
        assert conversation.ask(b"BEGIN") == b"BEGIN"
        passed = [conversation.answer(part) for part in (said[:cut], said[cut:])]
        assert b"".join(passed) == said
        assert traffic == Traffic(sent=5, received=len(said), round_trips=1, statements=2)
        conversation.ask(b"COMMIT")
        assert traffic.round_trips == 2


def test_commands_that_are_sent_together_are_one_round_trip() -> None:
    """And their answers pass together, in whatever pieces either side speaks."""
    asked = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*1\r\n$4\r\nPING\r\n"
    said = b"*2\r\n$1\r\n1\r\n:7\r\n+PONG\r\n"
    for cut in range(1, len(said)):
        traffic = Traffic()
        conversation = RedisConversation(traffic)
        assert conversation.ask(asked[:30]) + conversation.ask(asked[30:]) == asked
        assert [conversation.answer(said[:cut]), conversation.answer(said[cut:])] == [b"", said]
        assert traffic == Traffic(sent=len(asked), received=len(said), round_trips=1)


def test_an_answer_waits_for_the_rest_of_what_was_asked() -> None:
    traffic = Traffic()
    conversation = RedisConversation(traffic)
    conversation.ask(b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPI")
    assert conversation.answer(b"+PONG\r\n") == b""
    conversation.ask(b"NG\r\n")
    assert conversation.answer(b"+PONG\r\n") == b"+PONG\r\n+PONG\r\n"
    assert traffic.round_trips == 1
    conversation.ask(b"*1\r\n$4\r\nPING\r\n")
    assert traffic.round_trips == 2
