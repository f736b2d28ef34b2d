"""`economy keys`: what its commands print, and that no key is shown but the one just made."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from economy.bootstrap import open_services
from economy.cli import main
from economy.services.access import ALL_SCOPES, Scope
from economy.settings import Settings
from tests.live import run_economy

KEY = re.compile("eck_[A-Za-z0-9_-]{43}\n")
ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
DAY, MINUTE = "[0-9]{4}-[0-9]{2}-[0-9]{2}", "[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}"


def run(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, env={"ECONOMY_DATABASE_URL": url})


def done(result: Result) -> str:
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def refused(result: Result) -> str:
    assert (result.exit_code, result.stdout) == (1, "")
    return result.stderr


def let_in(url: str, key: str) -> frozenset[Scope] | None:
    """What the key may do, if it is let in; that is a use of it."""

    async def find() -> Any:
        async with open_services(Settings(database_url=url)) as services:
            return await services.server_keys.find_actor(key.strip())

    actor = asyncio.run(find())
    return None if actor is None else actor.scopes


def listed(url: str) -> list[list[str]]:
    """The columns of each line."""
    return [re.split(" {2,}", line) for line in done(run(url, "keys", "list")).splitlines()]


def test_listing(sqlite_url: str) -> None:
    assert done(run(sqlite_url, "keys", "list")) == ""
    first = done(run(sqlite_url, "token", "--server"))
    arguments = ["--server", "--scope", "read:any", "--scope", "items:write", "--name", "игра 1"]
    second = done(run(sqlite_url, "token", *arguments))
    assert KEY.fullmatch(first)
    assert KEY.fullmatch(second)
    every_scope = ",".join(sorted(ALL_SCOPES))
    today = f"created {datetime.now(UTC):%Y-%m-%d}"
    lines = listed(sqlite_url)
    assert [line[1:] for line in lines] == [
        ["valid", today, "never used", every_scope],
        ["valid", today, "never used", "items:write,read:any", "игра 1"],
    ]
    assert all(re.fullmatch(ID, line[0]) for line in lines)

    assert let_in(sqlite_url, second) == frozenset({Scope.READ_ANY, Scope.ITEMS_WRITE})
    used = [line[3] for line in listed(sqlite_url)]
    assert used[0] == "never used"
    assert re.fullmatch(f"used {MINUTE}", used[1])
    printed = done(run(sqlite_url, "keys", "list"))
    assert "eck_" not in printed
    for key in (first, second):
        assert key.strip().removeprefix("eck_") not in printed


def test_revoking(sqlite_url: str) -> None:
    key, other = (done(run(sqlite_url, "token", "--server")) for _ in range(2))
    key_id = listed(sqlite_url)[0][0]
    for _ in range(2):  # again is no fault
        assert done(run(sqlite_url, "keys", "revoke", key_id)) == ""
        assert let_in(sqlite_url, key) is None
    assert let_in(sqlite_url, other) == ALL_SCOPES
    states = [line[1] for line in listed(sqlite_url)]
    assert re.fullmatch(f"ended {MINUTE}", states[0])
    assert states[1] == "valid"


def test_rotating(sqlite_url: str) -> None:
    arguments = ["--server", "--scope", "read:any", "--name", "game"]
    old = done(run(sqlite_url, "token", *arguments))
    old_id = listed(sqlite_url)[0][0]
    before = datetime.now(UTC)
    new = done(run(sqlite_url, "keys", "rotate", old_id))
    assert KEY.fullmatch(new)
    assert new != old
    for key in (old, new):
        assert let_in(sqlite_url, key) == frozenset({Scope.READ_ANY})
    lines = listed(sqlite_url)
    assert [(line[4], line[5]) for line in lines] == [("read:any", "game")] * 2
    assert lines[1][1] == "valid"
    until = datetime.strptime(lines[0][1], "until %Y-%m-%d %H:%M").replace(tzinfo=UTC)
    assert before <= until - timedelta(hours=24) + timedelta(minutes=1)
    assert until - timedelta(hours=24) <= datetime.now(UTC)

    newest = done(run(sqlite_url, "keys", "rotate", lines[1][0], "--overlap-hours", "0"))
    assert let_in(sqlite_url, new) is None
    assert let_in(sqlite_url, newest) == frozenset({Scope.READ_ANY})
    ended = refused(run(sqlite_url, "keys", "rotate", lines[1][0]))
    assert ended == f"Error: there is no key {lines[1][0]}, or it has ended\n"
    assert len(listed(sqlite_url)) == 3


def test_keys_that_do_not_exist(sqlite_url: str) -> None:
    id_ = str(uuid4())
    assert refused(run(sqlite_url, "keys", "revoke", id_)) == f"Error: there is no key {id_}\n"
    assert refused(run(sqlite_url, "keys", "rotate", id_)) == (
        f"Error: there is no key {id_}, or it has ended\n"
    )
    assert listed(sqlite_url) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["revoke"],
        ["revoke", "abc"],
        ["rotate", "abc"],
        ["rotate", str(uuid4()), "--overlap-hours", "-1"],
        ["rotate", str(uuid4()), "--overlap-hours", "soon"],
    ],
)
def test_wrong_arguments(sqlite_url: str, arguments: list[str]) -> None:
    result = run(sqlite_url, "keys", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert listed(sqlite_url) == []


def test_as_a_process_of_its_own(postgres_url: str) -> None:
    """The bare key and nothing else, so that a script can take it."""
    key = run_economy("token", "--server", database_url=postgres_url)
    assert (key.returncode, key.stderr) == (0, "")
    [line] = done(run(postgres_url, "keys", "list")).splitlines()
    rotated = run_economy("keys", "rotate", line.split()[0], database_url=postgres_url)
    assert (rotated.returncode, rotated.stderr) == (0, "")
    assert KEY.fullmatch(rotated.stdout)
    for one in (key.stdout, rotated.stdout):
        assert let_in(postgres_url, one) == ALL_SCOPES
