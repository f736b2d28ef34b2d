"""One request at a time, asked by the bench itself."""

import socket
from http.client import HTTPResponse
from typing import NamedTuple

from bench.suite.requests import Request

TIMEOUT = 30.0


class Served(NamedTuple):
    """A server that runs: where, and the root of its processes."""

    port: int
    pid: int


class Answer(NamedTuple):
    status: int
    body: str


def ask(port: int, request: bytes) -> Answer:
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as connection:
        connection.sendall(request)
        response = HTTPResponse(connection)
        response.begin()
        return Answer(response.status, response.read().decode())


def is_ready(port: int) -> bool:
    return ask(port, b"GET /health/ready HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").status == 200


def check(port: int, request: Request, *, user_id: int, key: str, token: str) -> str | None:
    """What is wrong with the answer, all of it, unlike what the load looks at."""
    answer = ask(port, request.filled(user_id, key, token))
    if request.is_success(*answer):
        return None
    return f"the answer is {answer.status}: {answer.body[:300]}"
