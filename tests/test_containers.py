"""The real image, and the real stack of docker-compose.yml on a real engine.

They need an engine that holds the images which the two files name: pulled, or the stand-ins of
tests/containers/make_images.sh. Elsewhere all is skipped, and a warning in the summary says so.
"""

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.containers.engine import build_arguments, docker, require_engine, run
from tests.containers.stack import (
    JWT_SECRET,
    PASSWORD,
    Stack,
    copy_checkout,
    instant,
    running_stack,
)

pytestmark = [
    pytest.mark.timeout(1200),  # packages are downloaded
    pytest.mark.filterwarnings("always::tests.containers.engine.ContainersNotTriedWarning"),
]

BASE = "python:3.11-slim-bookworm"
SECRETS = ("ECONOMY_JWT_SECRET", "POSTGRES_PASSWORD")
OURS = {"api", "worker", "beat", "migrate"}
MEGABYTE = 10**6
BUILD_TOOLS = [
    "cc",
    "gcc",
    "g++",
    "make",
    "ld",
    "strip",
    "cargo",
    "git",
    "pip",
    "pip3",
    "hatchling",
]
BUILD_PACKAGES = ["pip", "setuptools", "wheel", "hatchling", "trove_classifiers", "pytest", "mypy"]


@pytest.fixture(scope="session")
def engine() -> None:
    require_engine()


@pytest.fixture(scope="module")
def image(engine: None) -> str:
    """Built as `docker build` does it for anybody, from what a clone would hold."""
    arguments = [part for name in build_arguments() for part in ("--build-arg", name)]
    with tempfile.TemporaryDirectory() as folder:
        copy_checkout(Path(folder))
        built = run("docker", "build", "--tag", "economy", *arguments, ".", folder=Path(folder))
    assert built.returncode == 0, built.stdout + built.stderr
    return "economy"


@pytest.fixture(scope="module")
def stack(engine: None) -> Iterator[Stack]:
    with running_stack() as stack:
        yield stack


def run_python(image: str, program: str) -> Any:
    """What it prints, read as JSON."""
    alone = ["--rm", "--read-only", "--network=none", "--entrypoint=python"]
    return json.loads(docker("run", *alone, image, "-c", f"import json, os\n{program}"))


def test_the_image_is_small(image: str) -> None:
    size, base = (
        int(docker("image", "inspect", "--format", "{{.Size}}", name)) for name in (image, BASE)
    )
    print(f"the image: {size / MEGABYTE:.0f} MB, of which the base: {base / MEGABYTE:.0f} MB")
    assert size <= 250 * MEGABYTE
    assert size - base <= 110 * MEGABYTE  # the base may be a stand-in of another size


def test_the_image_has_nothing_to_build_with(image: str) -> None:
    program = f"import shutil; print(json.dumps([*filter(shutil.which, {BUILD_TOOLS})]))"
    assert run_python(image, program) == []
    program = (
        "from importlib.util import find_spec\n"
        f"print(json.dumps([*filter(find_spec, {BUILD_PACKAGES})]))"
    )
    assert run_python(image, program) == []
    assert run_python(image, "print(json.dumps(os.path.exists('/src')))") is False


def test_the_image_starts_as_an_account_without_rights(image: str) -> None:
    [inspected] = json.loads(docker("image", "inspect", image))
    assert inspected["Config"]["User"] == "10001:10001"
    assert run_python(image, "print(json.dumps([os.getuid(), os.getgid(), os.getgroups()]))") == [
        10001,
        10001,
        [10001],
    ]
    program = (
        "writable = [folder for folder, _, _ in os.walk('/opt') if os.access(folder, os.W_OK)]\n"
        "print(json.dumps(writable))"
    )
    assert run_python(image, program) == []


def test_the_image_keeps_no_build_argument_and_no_secret(image: str) -> None:
    [inspected] = json.loads(docker("image", "inspect", image))
    names = {variable.partition("=")[0] for variable in inspected["Config"]["Env"]}
    assert not names & {"PIP_INDEX_URL", "CA_BUNDLE", "ECONOMY_JWT_SECRET", "PGPASSWORD"}
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
    assert "/opt/venv" in history
    assert "CERTIFICATE" not in history
    assert "PIP_INDEX_URL" not in history


def test_without_secrets_nothing_is_started(engine: None, tmp_path: Path) -> None:
    copy_checkout(tmp_path)
    stack = Stack(tmp_path, "economy-test-without-secrets")
    example = (tmp_path / ".env.example").read_text()
    for missing, other in (SECRETS, SECRETS[::-1]):
        (tmp_path / ".env").write_text(
            example.replace(f"\n{other}=\n", f"\n{other}={JWT_SECRET}\n")
        )
        refused = stack.try_compose("up", "--detach")
        assert refused.returncode != 0
        assert f"set {missing} in .env" in refused.stderr
    assert stack.containers() == {}


def test_migrations_ran_once_and_first(stack: Stack) -> None:
    containers = stack.containers()
    migrate = containers["migrate"]
    assert (migrate["State"]["Status"], migrate["State"]["ExitCode"]) == ("exited", 0)
    assert migrate["RestartCount"] == 0
    migrated_at = instant(migrate["State"]["FinishedAt"])
    for name in OURS - {"migrate"}:
        assert migrated_at < instant(containers[name]["State"]["StartedAt"]), name


def test_ten_containers_migrate_an_empty_database_at_once(stack: Stack) -> None:
    stack.compose("exec", "-T", "postgres", "createdb", "--username=economy", "ten")
    names = [f"{stack.project}-migrate-{number}" for number in range(10)]
    url = "ECONOMY_DATABASE_URL=postgresql://economy@postgres:5432/ten"
    settings = [f"--network={stack.project}_default", "-e", url, "-e", f"PGPASSWORD={PASSWORD}"]
    try:
        for name in names:
            docker("create", "--read-only", "--name", name, *settings, "economy", "migrate")
        docker("start", *names)
        assert docker("wait", *names).split() == ["0"] * 10
    finally:
        run("docker", "rm", "--force", *names)
    assert schema_of(stack, "ten") == schema_of(stack, "economy")


def test_all_that_can_be_is_locked(stack: Stack) -> None:
    containers = stack.containers()
    assert set(containers) >= OURS | {"postgres", "redis"}
    for name in OURS:
        host = containers[name]["HostConfig"]
        assert host["ReadonlyRootfs"] is True, name
        assert host["CapDrop"] == ["ALL"], name
        assert host["Privileged"] is False, name
        assert containers[name]["Config"]["User"] == "10001:10001", name
    for name, container in containers.items():
        assert container["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"], name
        restart = "no" if name == "migrate" else "unless-stopped"
        assert container["HostConfig"]["RestartPolicy"]["Name"] in (restart, ""), name
    for name in OURS - {"migrate"}:
        refused = stack.try_compose("exec", "-T", name, "touch", "/var/lib/economy/written")
        assert refused.returncode != 0, name
        assert "Read-only file system" in refused.stderr, name


def test_nothing_is_published_but_the_api(stack: Stack) -> None:
    published = {
        (name, port, binding["HostIp"])
        for name, container in stack.containers().items()
        for port, bindings in container["NetworkSettings"]["Ports"].items()
        for binding in bindings or []
    }
    assert published == {("api", "8000/tcp", "127.0.0.1")}


def test_secrets_come_from_the_environment(stack: Stack) -> None:
    """The password that .env names is the one that PostgreSQL asks for over the network."""
    ask = ["psql", "--host=postgres", "--username=economy", "--no-password", "--command=SELECT 1"]
    exec_as = ["exec", "-T", "-e"]
    assert stack.try_compose(*exec_as, f"PGPASSWORD={PASSWORD}", "postgres", *ask).returncode == 0
    refused = stack.try_compose(*exec_as, "PGPASSWORD=another", "postgres", *ask)
    assert refused.returncode != 0
    assert "password authentication failed" in refused.stderr
    for file in (".env.example", "docker-compose.yml", "Dockerfile"):
        text = (stack.folder / file).read_text()
        assert PASSWORD not in text
        assert JWT_SECRET not in text


def test_one_command_buys(stack: Stack) -> None:
    first, second = stack.buy(), stack.buy()
    assert first["transaction"]["status"] == second["transaction"]["status"] == "completed"
    assert second["item"]["quantity"] == first["item"]["quantity"] + 1
    assert_books_are_right(stack, second)


def test_a_restart_of_the_database_is_survived(stack: Stack) -> None:
    before, bought = stack.containers(), stack.buy()
    stack.compose("restart", "postgres")
    stack.wait_until_sound()
    again = stack.buy()
    assert again["item"]["quantity"] == bought["item"]["quantity"] + 1
    assert_books_are_right(stack, again)
    after = stack.containers()
    assert after["postgres"]["State"]["StartedAt"] != before["postgres"]["State"]["StartedAt"]
    for name in OURS:
        assert after[name]["State"]["StartedAt"] == before[name]["State"]["StartedAt"], name


def test_sigterm_ends_all_in_order_and_what_was_bought_stays(stack: Stack) -> None:
    """The first process of each container gets it; whoever ignored it would be killed: 137."""
    bought = stack.buy()
    for name in OURS - {"migrate"}:
        command = stack.compose("exec", "-T", name, "cat", "/proc/1/cmdline").split("\0")
        assert "/opt/venv/bin/economy" in command, name
    stack.compose("stop")
    ended = {name: container["State"] for name, container in stack.containers().items()}
    assert {name: state["ExitCode"] for name, state in ended.items()} == dict.fromkeys(ended, 0)
    for name in OURS:
        assert instant(ended[name]["FinishedAt"]) < instant(ended["postgres"]["FinishedAt"]), name
    stack.compose("down")
    assert stack.containers() == {}
    stack.compose("up", "--detach")
    stack.wait_until_sound()
    again = stack.buy()
    assert again["item"]["quantity"] == bought["item"]["quantity"] + 1
    assert_books_are_right(stack, again)


def test_prometheus_finds_server_worker_and_rules(stack: Stack) -> None:
    stack.compose("--profile", "observability", "up", "--detach", "prometheus")
    api = "http://prometheus:9090/api/v1"

    def target_healths() -> dict[str, str]:
        found = stack.ask_inside(f"{api}/targets")
        targets = found["data"]["activeTargets"] if found else []
        return {target["labels"]["job"]: target["health"] for target in targets}

    def rule_healths() -> dict[str, str]:
        [group] = stack.ask_inside(f"{api}/rules")["data"]["groups"]
        return {rule["name"]: rule["health"] for rule in group["rules"]}

    stack.wait_until(lambda: target_healths() == {"economy": "up", "economy-worker": "up"})
    shipped = (stack.folder / "deploy/prometheus/alerts.yml").read_text()
    rules = dict.fromkeys(re.findall(r"^ +- alert: (\w+)$", shipped, re.MULTILINE), "ok")
    assert len(rules) == 6
    stack.wait_until(lambda: rule_healths() == rules)  # unknown before they are first evaluated
    host = stack.containers()["prometheus"]
    assert not any((host["NetworkSettings"]["Ports"] or {}).values())
    stack.compose("--profile", "observability", "rm", "--stop", "--force", "prometheus")


def schema_of(stack: Stack, database: str) -> list[str]:
    """With the version of it that Alembic notes."""
    exec_in = ["exec", "-T", "postgres"]
    dumped = stack.compose(*exec_in, "pg_dump", "--username=economy", "--schema-only", database)
    version = ["psql", "--username=economy", "--tuples-only", "--command=TABLE alembic_version"]
    # A line for psql differs with each dump.
    lines = [line for line in dumped.splitlines() if not line.startswith("\\")]
    return [*lines, stack.compose(*exec_in, *version, database)]


def assert_books_are_right(stack: Stack, bought: dict[str, Any]) -> None:
    """Of 10,000 coins each boost took 100; and every invariant of the database holds."""
    assert bought["user"]["balance"] == 10_000 - 100 * bought["item"]["quantity"]
    verified = stack.compose("exec", "-T", "api", "economy", "verify")
    assert verified.endswith("invariants checked, 0 broken")
