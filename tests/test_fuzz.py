"""Schemathesis finds nothing: every check over OpenAPI, and over GraphQL."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live import LiveServer, environment, live_server, run_economy

ROOT = Path(__file__).parent.parent
SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"
SECONDS = os.environ.get("TEST_FUZZ_SECONDS", "12")  # make fuzz takes longer
NO_LIMITS = {
    "rate_limit_player_money": "",
    "rate_limit_player_reads": "",
    "rate_limit_failed_authentication": "",
}


@pytest.fixture(scope="module")
def database_url(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("fuzz") / "economy.db"
    file.write_bytes(sqlite_template.read_bytes())
    url = f"sqlite:///{file}"
    assert run_economy("seed", database_url=url).returncode == 0
    return url


@pytest.fixture(scope="module")
def server(database_url: str) -> Iterator[LiveServer]:
    with live_server(database_url=database_url, **NO_LIMITS) as server:
        yield server


@pytest.fixture(params=["player", "server"])
def header(request: pytest.FixtureRequest, database_url: str) -> str:
    """A credential."""
    if request.param == "player":
        token = run_economy("token", "--user", "1", database_url=database_url).stdout.strip()
        return f"Authorization: Bearer {token}"
    return (
        f"X-Api-Key: {run_economy('token', '--server', database_url=database_url).stdout.strip()}"
    )


def assert_nothing_found(
    url: str, header: str, folder: Path, *arguments: str, hooks: str = ""
) -> None:
    run = subprocess.run(
        [
            *(SCHEMATHESIS, f"--config-file={ROOT / 'schemathesis.toml'}", "run", url),
            *("--seed=1", f"--max-time={SECONDS}", "--workers=1", "--no-color"),
            *("--continue-on-failure", "--checks=all", f"--header={header}", *arguments),
        ],
        cwd=folder,  # it leaves files behind
        env=environment() | {"SCHEMATHESIS_HOOKS": hooks, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
        timeout=100 + float(SECONDS),
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout


def test_openapi(server: LiveServer, header: str, tmp_path: Path) -> None:
    assert_nothing_found(f"{server.url}/openapi.json", header, tmp_path)
    assert "Traceback" not in server.log.read_text()


def test_graphql(server: LiveServer, header: str, tmp_path: Path) -> None:
    """An error in `errors` is no failure of the server here: the hooks' own check is stricter."""
    without = "--exclude-checks=not_a_server_error,positive_data_acceptance"
    assert_nothing_found(
        f"{server.url}/graphql", header, tmp_path, without, hooks="tests.fuzz_hooks"
    )
    assert "Traceback" not in server.log.read_text()
