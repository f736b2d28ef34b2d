"""A live service with the sample catalogue, and players of it: what the examples meet."""

import contextlib
import itertools
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from economy.api.tokens import PlayerTokens
from economy.settings import Settings
from tests.live import live_server, run_economy

NEW_USER = """
  mutation($name: String!, $email: String!) {
    createUser(input: { username: $name, email: $email }) {
      ... on CreateUserSuccess { user { id } }
    }
  }
"""

Row = tuple[object, ...]


@dataclass(frozen=True)
class Seeded:
    """A database as `make run` makes it, and the server key that it prints."""

    file: Path
    server_key: str

    @classmethod
    def of(cls, file: Path) -> "Seeded":
        seeded = run_economy("seed", database_url=f"sqlite:///{file}")
        [key] = re.findall(r"^demo server key +(\S+)$", seeded.stdout, re.MULTILINE)
        return cls(file, key)

    def copy(self, folder: Path) -> "Seeded":
        file = folder / "economy.db"
        file.write_bytes(self.file.read_bytes())
        return Seeded(file, self.server_key)


@dataclass(frozen=True)
class Game:
    url: str
    seeded: Seeded
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def server_key(self) -> str:
        return self.seeded.server_key

    def new_player(self, coins: int) -> "Player":
        name = f"player{next(self._numbers)}"
        variables = {"name": name, "email": f"{name}@example.com"}
        answer = self.post("/graphql", json={"query": NEW_USER, "variables": variables})
        player_id = int(answer["data"]["createUser"]["user"]["id"])
        if coins:
            self.credit(player_id, key="start", amount=coins)
        return Player(self, player_id, name, PlayerTokens(Settings()).issue(player_id))

    def credit(self, player_id: int, *, key: str, **body: object) -> None:
        self.post(f"/users/{player_id}/add-funds", json=body, headers={"Idempotency-Key": key})

    def post(
        self, path: str, *, json: dict[str, object], headers: dict[str, str] | None = None
    ) -> Any:
        """As the server key; refused it is a failure."""
        headers = {"X-Api-Key": self.server_key} | (headers or {})
        answer = httpx.post(self.url + path, json=json, headers=headers, trust_env=False)
        return answer.raise_for_status().json()


@dataclass(frozen=True)
class Player:
    game: Game
    id: int
    name: str
    token: str

    def rows(self, table: str, columns: str) -> list[Row]:
        with contextlib.closing(sqlite3.connect(self.game.seeded.file)) as connection:
            order = "seq" if table == "transaction" else "product_id"
            return connection.execute(
                f'SELECT {columns} FROM "{table}" WHERE user_id = {self.id} ORDER BY {order}'
            ).fetchall()

    def journal(self) -> list[Row]:
        """Without what was credited."""
        columns = "kind, status, quantity, amount, balance_after, failure_code"
        return [row for row in self.rows("transaction", columns) if row[0] != "top_up"]

    def payments(self) -> list[Row]:
        """What was credited with a reference; the coins to start with have none."""
        columns = "external_reference, status, amount, balance_after"
        return [row for row in self.rows("transaction", columns) if row[0] is not None]

    def held(self) -> list[Row]:
        return self.rows("inventory", "product_id, quantity")


@contextlib.contextmanager
def live_game(seeded: Seeded, **settings: str) -> Iterator[Game]:
    with live_server(database_url=f"sqlite:///{seeded.file}", **settings) as server:
        yield Game(server.url, seeded)
