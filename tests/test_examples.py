"""The examples do what they say against a live server, and what they print is in the database."""

import itertools
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.game import Game, Player, Seeded, live_game
from tests.live import environment, run_economy
from tests.lossy_proxy import LossyProxy, lossy_proxy
from tests.node import NpmProject

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
TYPESCRIPT = ["apollo", "urql", "graphql-request"]
PYTHON = ["player.py", "rest_player.py"]
BOOST = "Буст на день"

pytestmark = pytest.mark.timeout(400)  # npm downloads three hundred packages

Run = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def seeded(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Seeded:
    file = tmp_path_factory.mktemp("seeded") / "template.db"
    file.write_bytes(sqlite_template.read_bytes())
    return Seeded.of(file)


@pytest.fixture(scope="session")
def game(seeded: Seeded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Game]:
    copy = seeded.copy(tmp_path_factory.mktemp("game"))
    with live_game(copy) as game:
        yield game
    verified = run_economy("verify", database_url=f"sqlite:///{copy.file}")
    assert verified.returncode == 0, verified.stdout


@pytest.fixture
def player(game: Game) -> Player:
    return game.new_player(1_000)


@pytest.fixture(scope="session")
def typescript() -> Iterator[NpmProject]:
    """The project, installed, with its types and its manifest of operations generated."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "examples" / "typescript"
        generated = shutil.ignore_patterns("node_modules", "generated")
        shutil.copytree(EXAMPLES / "typescript", folder, ignore=generated)
        shutil.copy(ROOT / "schema.graphql", temporary)
        project = NpmProject(folder, cache=Path(temporary) / "cache")
        project.install()
        for script in ("codegen", "manifest"):
            done = project.run(script)
            assert done.returncode == 0, done.stdout + done.stderr
        yield project


def run_python(name: str, *arguments: str, **variables: str) -> Run:
    return subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / "python" / name, *arguments],
        env=environment() | {"NO_PROXY": "127.0.0.1"} | variables,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def test_the_versions_are_exact_and_the_lock_names_no_address() -> None:
    package = json.loads((EXAMPLES / "typescript/package.json").read_text())
    versions = (package["dependencies"] | package["devDependencies"]).values()
    assert len(versions) > 5
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", one) for one in versions)
    lock = json.loads((EXAMPLES / "typescript/package-lock.json").read_text())["packages"]
    assert lock[""]["dependencies"] == package["dependencies"]
    assert lock[""]["devDependencies"] == package["devDependencies"]
    assert not [name for name, one in lock.items() if "resolved" in one]
    assert not [name for name, one in lock.items() if name and "integrity" not in one]
    pinned = (EXAMPLES / "python/requirements.txt").read_text().split()
    assert pinned == [f"gql[httpx]=={version('gql')}", f"httpx=={version('httpx')}"]


def test_the_page_tells_how_to_run_each_of_them() -> None:
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    scripts = json.loads((EXAMPLES / "typescript/package.json").read_text())["scripts"]
    assert set(re.findall(r"^npm run (\S+)", page, re.MULTILINE)) == scripts.keys()
    assert scripts.keys() == {"codegen", "manifest", "check", *TYPESCRIPT}
    files = {file.name for file in (EXAMPLES / "python").glob("*.py")}
    assert set(re.findall(r"^python examples/python/(\S+)", page, re.MULTILINE)) == files
    assert files == {"game_server.py", *PYTHON}


def test_typescript_passes_strictly(typescript: NpmProject) -> None:
    options = json.loads((typescript.folder / "tsconfig.json").read_text())["compilerOptions"]
    assert options["strict"] is True
    checked = typescript.run("check")
    assert (checked.returncode, checked.stdout) == (0, "")


def test_typescript_stops_where_a_refusal_is_not_handled(
    typescript: NpmProject, tmp_path: Path
) -> None:
    """The schema grows by one: the types made of it do not fit the game any more."""
    folder = tmp_path / "typescript"
    shutil.copytree(typescript.folder, folder, ignore=shutil.ignore_patterns("node_modules"))
    (folder / "node_modules").symlink_to(typescript.folder / "node_modules")
    types = folder / "generated" / "graphql.ts"
    known, new = (
        "{ __typename: 'AlreadyOwnedError'",
        "{ __typename: 'GiftOnlyError', code: string }",
    )
    text = types.read_text(encoding="utf-8")
    assert text.count(known) == 1
    types.write_text(text.replace(known, f"{new} | {known}"), encoding="utf-8")
    checked = NpmProject(folder, typescript.cache).run("check")
    assert checked.returncode != 0
    [line] = [line for line in checked.stdout.splitlines() if "error" in line]
    assert line.startswith("game.ts(")
    assert "GiftOnlyError" in checked.stdout
    assert "not assignable to parameter of type 'never'" in line


@pytest.mark.parametrize("client", TYPESCRIPT)
def test_a_typescript_client_buys_once_although_the_answer_is_lost(
    typescript: NpmProject, player: Player, client: str
) -> None:
    with lossy_proxy(player.game.url, loses_first="PurchaseSuccess") as proxy:
        played = typescript.run(client, GAME_URL=proxy.url, GAME_TOKEN=player.token)
    assert (played.returncode, played.stderr) == (0, "")
    [(since,)] = player.rows("inventory", "date(purchased_at)")
    assert played.stdout.splitlines() == [
        f"Bought: now 2 x {BOOST}, 800 coins left (answered again, not bought again)",
        f"{player.name} has 800 coins and holds:",
        f"  2 x {BOOST}, since {since}",
    ]
    assert player.journal() == [("purchase", "completed", 2, 200, 800, None)]
    assert player.held() == [(1, 2)]
    # Apollo learns from the first answer that persisted operations are off
    assert proxy.statuses == ([400] if client == "apollo" else []) + ["lost", 200, 200]


def test_apollo_sends_hashes_and_the_document_where_one_is_unknown(
    typescript: NpmProject, seeded: Seeded, tmp_path: Path
) -> None:
    manifest = json.loads((typescript.folder / "generated/persisted_operations.json").read_text())
    assert sorted(one["name"] for one in manifest["operations"]) == ["Buy", "Inventory"]
    manifest["operations"] = [one for one in manifest["operations"] if one["name"] == "Buy"]
    file = tmp_path / "older.json"
    file.write_text(json.dumps(manifest))
    settings = {"persisted_operations": "prefer", "persisted_operations_file": str(file)}
    with live_game(seeded.copy(tmp_path), **settings) as game, lossy_proxy(game.url) as proxy:
        player = game.new_player(1_000)
        played = typescript.run("apollo", GAME_URL=proxy.url, GAME_TOKEN=player.token)
    assert (played.returncode, played.stderr) == (0, "")
    assert played.stdout.startswith(f"Bought: now 2 x {BOOST}, 800 coins left\n{player.name} has")
    sent = [json.loads(one.body) for one in proxy.exchanges]
    assert [one["operationName"] for one in sent] == ["Buy", "Inventory", "Inventory"]
    assert ["query" in one for one in sent] == [False, False, True]
    assert all(len(one["extensions"]["persistedQuery"]["sha256Hash"]) == 64 for one in sent)
    assert proxy.statuses == [200, 400, 200]
    assert player.journal() == [("purchase", "completed", 2, 200, 800, None)]


def test_a_player_of_python_buys_and_uses_once_although_the_answer_is_lost(player: Player) -> None:
    with lossy_proxy(player.game.url, loses_first="PurchaseSuccess") as proxy:
        played = run_python("player.py", GAME_URL=proxy.url, GAME_TOKEN=player.token)
    assert (played.returncode, played.stderr) == (0, "")
    assert played.stdout.splitlines() == [
        f"Bought: now 2 x {BOOST}, 800 coins",
        f"Used: 1 x {BOOST} left",
        f"{player.name} has 800 coins and holds:",
        f"  1 x {BOOST}",
    ]
    assert proxy.statuses == ["lost", 200, 200, 200]
    bought, used = (
        ("purchase", "completed", 2, 200, 800, None),
        ("use", "completed", 1, 0, 800, None),
    )
    assert player.journal() == [bought, used]
    assert player.held() == [(1, 1)]


def test_a_player_over_rest_buys_and_uses_once_although_the_answer_is_lost(player: Player) -> None:
    with lossy_proxy(player.game.url, loses_first='"use"') as proxy:
        played = run_python("rest_player.py", GAME_URL=proxy.url, GAME_TOKEN=player.token)
    assert (played.returncode, played.stderr) == (0, "")
    assert played.stdout.splitlines() == [
        f"On sale: {BOOST}, 100 coins",
        "Bought: now 2, 800 coins left",
        "Used: 1 left",
        f"{player.name} holds:",
        f"  1 x {BOOST}",
    ]
    assert proxy.statuses == [200, 200, "lost", 200, 200]
    bought, used = (
        ("purchase", "completed", 2, 200, 800, None),
        ("use", "completed", 1, 0, 800, None),
    )
    assert player.journal() == [bought, used]
    assert player.held() == [(1, 1)]


def test_who_cannot_pay_or_is_not_known_is_told_so(typescript: NpmProject, game: Game) -> None:
    poor = game.new_player(0)
    for credential, told in (
        (poor.token, "Too few coins: 0, this needs 200"),
        ("nonsense", "The token is not valid."),
    ):
        variables = {"GAME_URL": game.url, "GAME_TOKEN": credential}
        runs = [typescript.run(client, **variables) for client in TYPESCRIPT]
        runs += [run_python(name, **variables) for name in PYTHON]
        assert [one.returncode for one in runs] == [1] * 5
        assert [told in one.stdout + one.stderr for one in runs] == [True] * 5, runs
    assert poor.journal() == [("purchase", "failed", 2, 200, 0, "INSUFFICIENT_FUNDS")] * 5
    assert poor.held() == []


def pay(url: str, key: str, *payments: str) -> Run:
    return run_python("game_server.py", *payments, GAME_URL=url, GAME_SERVER_KEY=key)


def assert_waited_as_told(proxy: LossyProxy) -> None:
    for one, following in itertools.pairwise(proxy.exchanges):
        if one.retry_after is not None:
            assert following.asked_at - one.answered_at >= one.retry_after


def test_a_game_server_credits_each_payment_once(game: Game, player: Player) -> None:
    """The first request meets an overloaded server, the answer to the second one is lost."""
    first, second = f"{player.name}-1", f"{player.name}-2"
    payments = [f"{first}:{player.id}:500", f"{second}:{player.id}:250"]
    with lossy_proxy(game.url, loses_first="top_up", refuses=1) as proxy:
        paid = pay(proxy.url, game.server_key, *payments)
    assert (paid.returncode, paid.stderr) == (0, "")
    assert paid.stdout.splitlines() == [
        f"{first}: was credited before: 500 to {player.name}, then 1500",
        f"{second}: credited: 250 to {player.name}, then 1750",
    ]
    assert proxy.statuses == [503, "lost", 200, 200]
    assert_waited_as_told(proxy)
    credited = [(first, "completed", 500, 1_500), (second, "completed", 250, 1_750)]
    assert player.payments() == credited

    again = pay(game.url, game.server_key, *payments)
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.splitlines() == [
        f"{first}: was credited before: 500 to {player.name}, then 1500",
        f"{second}: was credited before: 250 to {player.name}, then 1750",
    ]
    assert player.payments() == credited


def test_a_game_server_waits_as_long_as_a_rate_limit_says(seeded: Seeded, tmp_path: Path) -> None:
    settings = {"rate_limit_server_money": "1/3"}
    with live_game(seeded.copy(tmp_path), **settings) as game, lossy_proxy(game.url) as proxy:
        player = game.new_player(0)
        paid = pay(proxy.url, game.server_key, f"p-1:{player.id}:500", f"p-2:{player.id}:250")
    assert (paid.returncode, paid.stderr) == (0, "")
    assert proxy.statuses[0] == proxy.statuses[-1] == 200
    assert set(proxy.statuses[1:-1]) == {429}
    assert_waited_as_told(proxy)
    assert player.payments() == [("p-1", "completed", 500, 500), ("p-2", "completed", 250, 750)]


def test_a_game_server_tells_which_payments_it_could_not_credit(game: Game, player: Player) -> None:
    """Of an unknown user, and one that was credited elsewhere, under another key."""
    mine, elsewhere = f"{player.name}-1", f"{player.name}-2"
    game.credit(player.id, key="by-hand", amount=70, external_reference=elsewhere)
    payments = [f"lost:{2**40}:5", f"{elsewhere}:{player.id}:70", f"{mine}:{player.id}:30"]
    paid = pay(game.url, game.server_key, *payments)
    assert paid.returncode == 1
    assert paid.stdout == f"{mine}: credited: 30 to {player.name}, then 1100\n"
    lines = paid.stderr.splitlines()
    assert [line.split(" (")[0] for line in lines] == [
        "lost: NOT CREDITED",
        f"{elsewhere}: NOT CREDITED",
    ]
    assert ["USER_NOT_FOUND" in lines[0], "ALREADY_TAKEN" in lines[1]] == [True, True]
    stranger = pay(game.url, "nonsense", f"{player.name}-3:{player.id}:1")
    assert (stranger.returncode, stranger.stdout) == (1, "")
    assert "UNAUTHENTICATED: The server key is not valid." in stranger.stderr
    rows = [row for row in player.payments() if row[1] == "completed"]
    assert rows == [(elsewhere, "completed", 70, 1_070), (mine, "completed", 30, 1_100)]
