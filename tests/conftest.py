"""Fixtures: real servers once a session, a fresh migrated database for each test."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from economy.app import create_app
from economy.bootstrap import open_services
from economy.database import Database
from economy.migrate import migrate
from economy.services import Services
from economy.settings import Settings
from tests.servers import (
    PostgresServer,
    create_database,
    drop_database,
    postgres_server,
    redis_server,
)

TEMPLATE = "economy_template"
_names = (f"economy_test_{number}" for number in itertools.count(1))


async def migrated(url: str) -> None:
    database = Database(Settings(database_url=url))
    await migrate(database)
    await database.close()
