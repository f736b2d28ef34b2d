"""What a live server writes into its log at DEBUG: no credential, no forged line, each bug once."""

import re
import sqlite3
from http.client import HTTPConnection
from typing import Any

import httpx

from economy.api.tokens import PlayerTokens
from economy.settings import Settings
from tests.live import live_server
from tests.rest import open_shop

BAD_TOKEN = "eyJhbGciOiJIUzI1NiJ9.YmFkLXRva2Vu.c2lnbmF0dXJl"
BAD_KEY = "eck_bad-key-that-nobody-has"
# What would begin a line, or colour a terminal, if it came into the log as it was sent.
FORGED = "\n2026-01-01 00:00:00,000 ERROR economy [-] FORGED \x1b[31mred\x1b[0m\r\nFORGED"
BUY = (
    "mutation ($key: String!) { purchase(input: {productId: 1, idempotencyKey: $key}) {__typename}}"
)
LINE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:,]{12} ([A-Z]+) (economy\S*) \[([^\]]*)\] (.*)")


class Log:
    """A server's requests, and its log once it has ended."""

    def __init__(self, client: httpx.Client, credentials: list[dict[str, str]]) -> None:
        self.client = client
        self.credentials = credentials
        self.bugs: list[str] = []  # ids of the requests that met one

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        response = self.client.request(method, path, **request)
        if "INTERNAL_ERROR" in response.text:
            self.bugs.append(response.headers["x-request-id"])
        return response

    def graphql(self, headers: dict[str, str], document: str, **values: Any) -> httpx.Response:
        return self.send("POST", "/graphql", json={"query": document} | values, headers=headers)

    def ask_for_everything(self) -> None:
        """Good and bad, with each credential where it belongs and where it does not."""
        for headers in [*self.credentials, {"Authorization": BAD_TOKEN}, {}]:
            secret = (next(iter(headers.values()), "") + FORGED).replace("Bearer ", "")
            self.send("GET", "/users/1/inventory", headers=headers)
            self.send("GET", "/products", headers=headers, params={"after": secret})
            self.send("GET", "/nothing", headers=headers, params={"token": secret})
            self.send("POST", "/products/1/purchase", headers=headers, json={"note": secret})
            self.send("POST", "/products/1/purchase", headers=headers, content=secret)
            self.send("POST", "/products/1/purchase", headers=headers)
            self.graphql(headers, BUY, variables={"key": str(len(self.bugs))})
            self.send("PUT", "/graphql", headers=headers, content=secret)
            self.graphql(headers, "{ me { id inventory { id } } }")
            self.graphql(headers, f"{{ {secret} }}")
            self.graphql(headers, "{ __typename }", operationName=secret)
            self.graphql(headers, "query A { __typename }", operationName=secret)
            self.graphql(
                headers, "query ($a: ID!) { user(id: $a) { id } }", variables={"a": secret}
            )
            self.graphql(headers, BUY, variables={"key": secret})
            hashed = {"persistedQuery": {"version": 1, "sha256Hash": secret}}
            self.send("POST", "/graphql", headers=headers, json={"extensions": hashed})
            self.send_headers(headers, secret.replace("\n", "").replace("\r", ""))
            self.send_headers(headers, secret.replace("\n", "\n ").replace("\r", ""))

    def send_headers(self, headers: dict[str, str], forged: str) -> None:
        """Values that httpx would not send."""
        for name in ("X-Request-Id", "Idempotency-Key", "User-Agent", "X-Forwarded-For"):
            connection = HTTPConnection(self.client.base_url.host, self.client.base_url.port)
            connection.request("POST", "/products/1/purchase", headers=headers | {name: forged})
            response = connection.getresponse()
            if response.status == 500:
                self.bugs.append(str(response.getheader("x-request-id")))
            connection.close()


async def credentials_in(url: str, **changes: Any) -> list[dict[str, str]]:
    """A player's, a server's, and two that are good for nothing."""
    settings = Settings(database_url=url, jobs_in_server=False, **changes)
    async with open_shop(settings) as shop:
        await shop.world.credit(shop.world.anna, 1_000)
        token = PlayerTokens(settings).issue(shop.world.anna.id)
        key = shop.server["X-Api-Key"]
    good = [{"Authorization": f"Bearer {token}"}, {"X-Api-Key": key}]
    return [*good, {"Authorization": f"Bearer {BAD_TOKEN}"}, {"X-Api-Key": BAD_KEY}]


async def test_a_log_of_good_and_bad_days(sqlite_url: str) -> None:
    credentials = await credentials_in(sqlite_url)
    # the daily verification, which begins at the start, would miss the table, too
    settings = {"log_level": "DEBUG", "jobs_in_server": "false"}
    with live_server(database_url=sqlite_url, **settings) as server:
        with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
            log = Log(client, credentials)
            log.ask_for_everything()
            assert log.bugs == []
            with sqlite3.connect(sqlite_url.partition("///")[2]) as connection:
                connection.execute("DROP TABLE inventory")
            connection.close()
            log.ask_for_everything()
        server.terminate()
        server.wait()
        text = server.log.read_text()

    for headers in credentials:
        for secret in headers.values():
            for part in (secret.removeprefix("Bearer "), secret.rpartition(".")[2]):
                assert part not in text
    assert Settings().jwt_secret.get_secret_value() not in text
    assert "FORGED" not in text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text)

    logged = [match.groups() for match in map(LINE.fullmatch, text.splitlines()) if match]
    errors = [(id_, name) for level, name, id_, _ in logged if level == "ERROR"]
    # one over each transport, told under the same id, and the connections have outlived them
    assert [id_ for id_, _ in errors] == log.bugs
    assert [name for _, name in errors] == [
        "economy.api.rest.errors",
        "economy.api.graphql.answers",
    ]
    assert "Exception in ASGI application" not in text
    assert text.count("no such table: inventory") > 0
