"""Who may do what: ids, actors and scopes, without a database."""

import pytest

from economy.errors import EconomyError, Forbidden, InvalidInput, Unauthenticated, UserNotFound
from economy.services.access import (
    ALL_SCOPES,
    Actor,
    Scope,
    acting_user_id,
    authenticated,
    parse_id,
    readable_user_id,
    reading_user_id,
    require_may_read,
    require_scope,
)

PLAYER = Actor.player(42)
READER = Actor.server("r", frozenset({Scope.READ_ANY}))
WRITER = Actor.server("w", ALL_SCOPES - {Scope.READ_ANY})


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        ("42", 42),
        (str(2**63 - 1), 2**63 - 1),
        (str(2**63), None),
        (str(2**70), None),
        ("9" * 5_000, None),
        ("0", None),
        ("-1", None),
        ("+1", None),
        ("01", None),
        ("1.0", None),
        ("1e3", None),
        ("1_000", None),
        (" 1", None),
        ("1 ", None),
        ("1\n", None),
        ("", None),
        ("abc", None),
        ("٣", None),  # a digit, but not one of ours
        ("\x00", None),
    ],
)
def test_ids_have_one_form(text: str, number: int | None) -> None:
    assert parse_id(text) == number


def test_actors_as_the_journal_names_them() -> None:
    assert Actor("player:42", 42, frozenset()) == PLAYER
    assert Actor("server:r", None, frozenset({Scope.READ_ANY})) == READER


def test_who_is_nobody_is_not_let_in() -> None:
    assert authenticated(PLAYER) is PLAYER
    with pytest.raises(Unauthenticated):
        authenticated(None)


@pytest.mark.parametrize("scope", Scope)
def test_a_scope_is_needed(scope: Scope) -> None:
    server = Actor.server("s", frozenset({scope}))
    assert require_scope(server, scope) is server
    for other in ALL_SCOPES - {scope}:
        with pytest.raises(Forbidden, match=f"the scope {other}"):
            require_scope(server, other)
    with pytest.raises(Forbidden):
        require_scope(PLAYER, scope)
    with pytest.raises(Unauthenticated):
        require_scope(None, scope)


@pytest.mark.parametrize(
    ("actor", "user_id", "expected"),
    [
        (PLAYER, None, 42),
        (PLAYER, "42", 42),
        (PLAYER, "43", Forbidden),
        (PLAYER, "042", Forbidden),
        (PLAYER, "abc", Forbidden),
        (PLAYER, "", Forbidden),
        (WRITER, "43", 43),
        (WRITER, None, InvalidInput),
        (WRITER, "abc", UserNotFound),
        (WRITER, "0", UserNotFound),
        (READER, "43", Forbidden),
        (READER, "abc", Forbidden),
        (READER, None, Forbidden),
    ],
)
def test_whom_one_acts_for(
    actor: Actor, user_id: str | None, expected: int | type[EconomyError]
) -> None:
    if isinstance(expected, int):
        assert acting_user_id(actor, user_id, Scope.ITEMS_WRITE) == expected
        return
    with pytest.raises(expected) as caught:
        acting_user_id(actor, user_id, Scope.ITEMS_WRITE)
    assert type(caught.value) is expected


@pytest.mark.parametrize(
    ("actor", "user_id", "expected"),
    [
        (PLAYER, "42", 42),
        (PLAYER, "43", Forbidden),
        (PLAYER, "abc", Forbidden),  # not a hint of what an id looks like
        (PLAYER, "042", Forbidden),
        (READER, "43", 43),
        (READER, "abc", UserNotFound),
        (READER, str(2**70), UserNotFound),
        (WRITER, "43", Forbidden),
        (WRITER, "abc", Forbidden),
        (None, "43", Unauthenticated),
        (None, "abc", Unauthenticated),
    ],
)
def test_whom_one_reads(
    actor: Actor | None, user_id: str, expected: int | type[EconomyError]
) -> None:
    for find in (readable_user_id, reading_user_id):
        if isinstance(expected, int):
            assert find(actor, user_id) == expected
            continue
        with pytest.raises(expected) as caught:
            find(actor, user_id)
        assert type(caught.value) is expected


@pytest.mark.parametrize(
    ("actor", "expected"),
    [(PLAYER, 42), (READER, InvalidInput), (WRITER, InvalidInput), (None, Unauthenticated)],
)
def test_whom_one_reads_by_default(actor: Actor | None, expected: int | type[EconomyError]) -> None:
    if isinstance(expected, int):
        assert reading_user_id(actor, None) == expected
        return
    with pytest.raises(expected):
        reading_user_id(actor, None)


def test_an_id_that_cannot_exist_is_nobodys_own() -> None:
    assert PLAYER.may_read(42)
    assert not PLAYER.may_read(None)
    assert not WRITER.may_read(None)
    require_may_read(READER, None)
