"""Proves that the migrations build what the models say: `python -m tests.migration_drift`."""

import asyncio
import io
import os
import sys
import tempfile

from alembic import command
from alembic.util.exc import CommandError
from sqlalchemy import Connection, inspect

from economy.database import Database
from economy.migrate import alembic_config, migrate
from economy.models import metadata
from economy.settings import Settings
from tests.servers import PostgresServer, create_database, drop_database, postgres_server


async def differences(migrated_url: str, empty_url: str) -> list[str]:
    """How a migrated database differs from the models, which are built in an empty one."""
    migrated, built = (Database(Settings(database_url=url)) for url in (migrated_url, empty_url))
    try:
        async with migrated.unit_of_work() as session:
            connection = await session.connection()
            found = await connection.run_sync(_alembic_differences)
            is_there = await connection.run_sync(_not_compared_by_alembic)
        async with built.unit_of_work() as session:
            connection = await session.connection()
            await connection.run_sync(metadata.create_all)
            should_be_there = await connection.run_sync(_not_compared_by_alembic)
    finally:
        await migrated.close()
        await built.close()
    found += [f"only in the migrations: {line}" for line in sorted(is_there - should_be_there)]
    found += [f"only in the models: {line}" for line in sorted(should_be_there - is_there)]
    return found


def _alembic_differences(connection: Connection) -> list[str]:
    config = alembic_config(connection)
    config.stdout = io.StringIO()  # it tells of success there, of drift by raising
    try:
        command.check(config)
    except CommandError as error:
        return [str(error)]
    return []


def _not_compared_by_alembic(connection: Connection) -> set[str]:
    """Primary keys, CHECKs and the conditions of partial indexes, as the database spells them."""
    inspector, tables = inspect(connection), list(metadata.tables)
    lines = set()
    for (_, table), key in inspector.get_multi_pk_constraint(filter_names=tables).items():
        lines.add(f"{table}: PRIMARY KEY {key and key['constrained_columns']}")
    for (_, table), checks in inspector.get_multi_check_constraints(filter_names=tables).items():
        lines |= {f"{table}: {check['name']} CHECK {check['sqltext']}" for check in checks}
    for (_, table), indexes in inspector.get_multi_indexes(filter_names=tables).items():
        for index in indexes:
            where = index.get("dialect_options", {}).get(f"{connection.dialect.name}_where")
            lines.add(f"{table}: {index['name']} WHERE {where}")
    return lines


async def _migrate_and_compare(migrated_url: str, empty_url: str) -> list[str]:
    database = Database(Settings(database_url=migrated_url))
    await migrate(database)
    await database.close()
    return await differences(migrated_url, empty_url)


async def _compare_both(server: PostgresServer, folder: str) -> dict[str, list[str]]:
    names = [f"{name}_{os.getpid()}" for name in ("drift_migrated", "drift_models")]
    try:
        for name in names:
            await create_database(server, name)
        return {
            "PostgreSQL": await _migrate_and_compare(*map(server.database_url, names)),
            "SQLite": await _migrate_and_compare(*(f"sqlite:///{folder}/{name}" for name in names)),
        }
    finally:
        for name in names:
            await drop_database(server, name)


def main() -> int:
    with postgres_server() as server, tempfile.TemporaryDirectory() as folder:
        results = asyncio.run(_compare_both(server, folder))
    for database, found in results.items():
        print(f"{database}: {'; '.join(found) or 'the migrations build what the models say'}")
    return 1 if any(results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
