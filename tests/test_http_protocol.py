"""An answer leaves the server in one system call, whole, whatever the client does."""

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.live import LiveServer, live_server

REQUESTS = 200


@pytest.fixture
def server(database_url: str) -> Iterator[LiveServer]:
    with live_server(database_url=database_url, jobs_in_server="false") as server:
        yield server


def system_calls_that_write(process_id: int) -> int:
    told = Path(f"/proc/{process_id}/io").read_text()
    return int(told.partition("syscw: ")[2].split()[0])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("path", ["/health/live", "/graphql?query={__typename}"])
def test_head_and_body_leave_together(server: LiveServer, path: str) -> None:
    """Over FastAPI and in front of it; the server writes nothing else meanwhile."""
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        assert client.get(path).status_code == 200
        before = system_calls_that_write(server.process.pid)
        for _ in range(REQUESTS):
            assert client.get(path).status_code == 200
        written = system_calls_that_write(server.process.pid) - before
    assert REQUESTS <= written < 1.5 * REQUESTS


def asked(server: LiveServer, request: str) -> bytes:
    """All that comes until the server ends the connection."""
    url = httpx.URL(server.url)
    with socket.create_connection((url.host, url.port or 80), timeout=30) as connection:
        connection.sendall(request.replace("\n", "\r\n").encode())
        received = b""
        while part := connection.recv(2**16):
            received += part
    return received


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_written_before_the_end_arrives(server: LiveServer) -> None:
    """Of the last request, of several that were sent at once, of one without a body, of a large
    one, and of one that waits to be told to go on."""
    last = "GET /health/live HTTP/1.1\nHost: x\nConnection: close\n\n"
    alive = b'{"status":"ok"}'
    assert asked(server, last).endswith(b"\r\n\r\n" + alive)
    several = asked(server, 3 * last.replace("Connection: close\n", "") + last)
    assert several.count(b"HTTP/1.1 200 OK") == several.count(alive) == 4
    assert asked(server, last.replace("GET", "HEAD").replace("live", "ready")).endswith(b"\r\n\r\n")
    script = asked(server, last.replace("/health/live", "/openapi.json"))
    head, _, body = script.partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head
    assert len(body) > 2**15
    going_on = (
        "POST /graphql HTTP/1.1\nHost: x\nConnection: close\nExpect: 100-continue\n"
        'Content-Type: application/json\nContent-Length: 24\n\n{"query":"{__typename}"}'
    )
    assert b'{"data":{"__typename":"Query"}}' in asked(server, going_on)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_clients_that_go_away_cost_nobody_anything(server: LiveServer) -> None:
    url = httpx.URL(server.url)
    for _ in range(50):
        with socket.create_connection((url.host, url.port or 80)) as connection:
            # the end of the connection may come before the answer is written
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
    assert httpx.get(f"{server.url}/health/live", trust_env=False).status_code == 200
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "exception" not in log.lower()
