"""The `economy` command."""

import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click
import uvicorn
import uvicorn._subprocess

from economy.api.graphql.persisted import InvalidManifest, PersistedOperations
from economy.api.graphql.schema import build_schema
from economy.api.tokens import PlayerTokens
from economy.app import require_migrated
from economy.cli_keys import key_name, keys
from economy.commands import open_database, open_migrated, patient, read_settings, run
from economy.garbage import spare_the_collector
from economy.http_protocol import HttpProtocol
from economy.logs import configure_logging
from economy.metrics import share_between_processes
from economy.migrate import migrate as migrate_database
from economy.services.access import ALL_SCOPES, Scope, parse_id
from economy.settings import PREFIX, Settings
from economy.settings_reference import settings_reference

if TYPE_CHECKING:
    from celery import Celery

WORKER_SILENCE_SECONDS = 20
# Longer than load balancers keep an idle connection: a request may be lost if we close it first.
KEEP_ALIVE_SECONDS = 75


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A virtual-economy service for games. Settings come from ECONOMY_* variables."""


@main.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on.")
@click.option("--workers", type=int, help="Server processes.")
def serve(host: str | None, port: int | None, workers: int | None) -> None:
    """Serve GraphQL and REST."""
    # uvicorn's worker processes build the app anew, from the environment
    for name, value in (("HOST", host), ("PORT", port), ("WORKERS", workers)):
        if value is not None:
            os.environ[PREFIX + name] = str(value)
    settings = read_settings()
    configure_logging(settings)
    run(_check(settings))
    _check_files(settings)
    _check_address(settings)
    with _workers_prepared(settings):
        _run_server(settings)


def _check_files(settings: Settings) -> None:
    try:
        PersistedOperations.of(settings)
    except InvalidManifest as error:
        raise click.ClickException(f"{PREFIX}PERSISTED_OPERATIONS_FILE: {error}") from None
    try:
        PlayerTokens(settings).require_key_file()
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{PREFIX}JWT_JWKS: no set of keys is there: {error}") from None


def _check_address(settings: Settings) -> None:
    """uvicorn would tell of it after the start, within its log, and not name the settings."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.socket(family) as listener:
            # as uvicorn does: connections of a server that has just ended are in nobody's way
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((settings.host, settings.port))
    except OSError as error:
        where = f"{PREFIX}HOST={settings.host}, {PREFIX}PORT={settings.port}"
        raise click.ClickException(f"{where}: {error.strerror}") from None


@contextmanager
def _workers_prepared(settings: Settings) -> Iterator[None]:
    """What several processes share, until all have ended."""
    if settings.workers == 1:
        yield
        return
    if sys.platform == "linux":
        _fork_workers()
    with TemporaryDirectory(prefix="economy-metrics-") as folder:
        share_between_processes(folder)
        yield


def _run_server(settings: Settings) -> None:
    # uvicorn shuts down first and then raises the signal again, which would look like a crash
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.run(
        "economy.app:create_app",
        factory=True,
        http=HttpProtocol,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        access_log=False,
        log_config=None,
        log_level=settings.log_level.lower(),
        server_header=False,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.shutdown_seconds,
        # a child that does not answer its parent for so long is replaced: busy is not dead
        timeout_worker_healthcheck=WORKER_SILENCE_SECONDS,
    )


def _fork_workers() -> None:
    """uvicorn would start workers as new interpreters, which import for a second what is there."""
    spare_the_collector()
    vars(uvicorn._subprocess)["spawn"] = multiprocessing.get_context("fork")


@main.command()
def worker() -> None:
    """Run the periodic jobs that `economy beat` triggers. Needs ECONOMY_BROKER_URL."""
    settings = read_settings()
    run(_check(settings))
    options = ["--concurrency=1", "--without-gossip", "--without-mingle"]
    _celery(settings).worker_main(
        ["--quiet", "worker", f"--loglevel={settings.log_level}", *options]
    )


@main.command()
def beat() -> None:
    """Trigger the periodic jobs. Needs ECONOMY_BROKER_URL. Run one; a second does no harm."""
    settings = read_settings()
    # the jobs know what is due: nothing has to be remembered in a file
    celery = _celery(settings)
    celery.Beat(loglevel=settings.log_level, quiet=True, scheduler="celery.beat:Scheduler").run()


@main.command()
@click.option("--revision", default="head", show_default=True, help='"base" empties the database.')
def migrate(revision: str) -> None:
    """Bring the database to the newest schema. Safe to start several times at once."""
    settings = patient(read_settings())

    async def bring() -> None:
        async with open_database(settings) as database:
            await migrate_database(database, revision)

    run(bring())


@main.command()
def seed() -> None:
    """Add the sample catalogue; in development also demo players, and say how to use them."""
    settings = read_settings()
    configure_logging(settings)
    run(_seed(settings))


@main.command()
@click.option("--user", help="Id of the player.")
@click.option("--server", is_flag=True, help="A key for a game server.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="What the server key may do; all of it by default.",
)
@click.option("--name", callback=key_name, help="Of the server key, for `economy keys list`.")
def token(user: str | None, server: bool, scopes: tuple[str, ...], name: str | None) -> None:
    """Print a new credential, and nothing else."""
    if server == (user is not None) or ((scopes or name) and not server):
        raise click.UsageError("give either --user ID, or --server [--scope SCOPE]... [--name N]")
    settings = read_settings()

    async def issue() -> str:
        async with open_migrated(settings) as services:
            if user is None:
                chosen = frozenset(Scope(scope) for scope in scopes) or ALL_SCOPES
                return await services.server_keys.create_key(chosen, name=name)
            number = parse_id(user)
            if number is None or not await services.users.users([number]):
                raise click.ClickException(f"there is no user {user}")
            try:
                return PlayerTokens(settings).issue(number)
            except ValueError as error:
                raise click.ClickException(str(error)) from None

    click.echo(run(issue()))


@main.command()
def verify() -> None:
    """Check every invariant on the live database; exit code 1 if any row breaks one."""
    sys.exit(run(_verify(patient(read_settings()))))


main.add_command(keys)


@main.command("export-schema")
def export_schema() -> None:
    """Print the GraphQL schema."""
    click.echo(build_schema().as_str())


@main.command("export-settings")
def export_settings() -> None:
    """Print the reference of all settings."""
    click.echo(settings_reference(), nl=False)


def _celery(settings: Settings) -> "Celery":
    # here, as the server needs nothing of it
    from economy.worker import UnknownBroker, make_celery  # noqa: PLC0415

    if settings.broker_url is None:
        raise click.ClickException(f"set {PREFIX}BROKER_URL, such as redis://host:6379/1")
    try:
        return make_celery(settings)
    except UnknownBroker:
        raise click.ClickException(f"{PREFIX}BROKER_URL: there is no such kind of broker") from None


async def _check(settings: Settings) -> None:
    """In the server itself uvicorn would make a traceback of it."""
    async with open_database(settings) as database:
        await require_migrated(database)


async def _seed(settings: Settings) -> None:
    async with open_migrated(settings) as services:
        products = await services.seed.seed_catalogue()
        if not settings.is_development:
            click.echo(f"catalogue: {', '.join(products)}")
            return
        players = await services.seed.seed_demo_players()
        key = await services.seed.register_demo_key(settings.jwt_secret.get_secret_value())
        click.echo(f"GraphiQL          {settings.base_url}/graphql")
        click.echo(f"demo server key   {key}")
        if settings.jwt_jwks is not None:
            return
        player_token = PlayerTokens(settings).issue(next(iter(players.values())))
        click.echo(f"demo player token {player_token}")
        click.echo("buy something:")
        click.echo(
            f"  curl -X POST {settings.base_url}/products/{next(iter(products.values()))}/purchase"
            f" -H 'Authorization: Bearer {player_token}'"
        )


async def _verify(settings: Settings) -> int:
    async with open_migrated(settings) as services:
        with click.progressbar(
            length=1, label="rows examined", file=sys.stderr, show_pos=True
        ) as bar:

            def progress(done: int, total: int) -> None:
                bar.length = total
                bar.update(done - bar.pos)

            findings = await services.verification.verify(progress=progress)
    for finding in findings:
        state = "BROKEN" if finding.broken_rows else "ok"
        click.echo(f"{state:6}  {finding.name}  ({finding.rows_examined} rows): {finding.meaning}")
        for row in finding.broken_rows:
            click.echo(f"        {row}")
    broken = sum(1 for finding in findings if finding.broken_rows)
    click.echo(f"{len(findings)} invariants checked, {broken} broken")
    return 1 if broken else 0
