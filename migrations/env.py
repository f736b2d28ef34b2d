"""Runs Alembic's migrations on a connection or an URL that `economy migrate` hands over."""

from alembic import context
from sqlalchemy import Connection

from economy.models import metadata


def run_migrations(connection: Connection) -> None:
    # SQLite cannot alter a table in place: batch mode copies it (and drops its triggers)
    is_sqlite = connection.dialect.name == "sqlite"
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=is_sqlite,
        compare_type=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run_migrations(context.config.attributes["connection"])
