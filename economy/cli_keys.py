"""`economy keys`: listing, revoking and rotating the credentials of game servers."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

import click

from economy.commands import open_migrated, read_settings, run
from economy.models.server_key import ServerKeyRow
from economy.services.server_key import ServerKeyService

T = TypeVar("T")

MAX_NAME = 100


def key_name(_context: click.Context, _parameter: click.Parameter, name: str | None) -> str | None:
    """The callback of an option: a line of its own in the list holds it."""
    if name is not None and not (name.isprintable() and 1 <= len(name) <= MAX_NAME):
        raise click.BadParameter(f"1 to {MAX_NAME} characters that can be printed.")
    return name


@click.group()
def keys() -> None:
    """List, revoke and rotate server keys. `economy token --server` makes one."""


@keys.command("list")
def list_keys() -> None:
    """One line a key: id, state, created, last used, scopes, name. Never the key itself."""
    for row in _with_keys(lambda service: service.keys()):
        columns = (
            str(row.id),
            _state(row).ljust(24),
            f"created {row.created_at:%Y-%m-%d}",
            f"used {row.last_used_at:%Y-%m-%d %H:%M}"
            if row.last_used_at
            else "never used".ljust(21),
            row.scopes.replace(" ", ","),
            row.name or "",
        )
        click.echo("  ".join(columns).rstrip())


@keys.command()
@click.argument("key_id", type=click.UUID)
def revoke(key_id: UUID) -> None:
    """From now on the key is refused, by every process."""
    if not _with_keys(lambda service: service.revoke_key(key_id)):
        raise click.ClickException(f"there is no key {key_id}")


@keys.command()
@click.argument("key_id", type=click.UUID)
@click.option(
    "--overlap-hours",
    type=click.IntRange(0, 24 * 365),
    default=24,
    show_default=True,
    help="How long the old key is still let in.",
)
def rotate(key_id: UUID, overlap_hours: int) -> None:
    """Print a new key with the same name and scopes, and nothing else. The old one ends later."""
    overlap = timedelta(hours=overlap_hours)
    key = _with_keys(lambda service: service.rotate_key(key_id, overlap=overlap))
    if key is None:
        raise click.ClickException(f"there is no key {key_id}, or it has ended")
    click.echo(key)


def _with_keys(work: Callable[[ServerKeyService], Awaitable[T]]) -> T:
    settings = read_settings()

    async def open_and_work() -> T:
        async with open_migrated(settings) as services:
            return await work(services.server_keys)

    return run(open_and_work())


def _state(row: ServerKeyRow) -> str:
    if row.expires_at is None:
        return "valid"
    has_ended = row.expires_at <= datetime.now(UTC)
    return f"{'ended' if has_ended else 'until'} {row.expires_at:%Y-%m-%d %H:%M}"
