"""A lone client that keeps its connection: it asks, waits for the whole answer, and asks again."""

import re
import socket
from typing import NamedTuple

TIMEOUT = 30.0
AT_ONCE = 1 << 18
STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class Answer(NamedTuple):
    status: int
    body: bytes


class Client:
    """As little work as possible: what it does itself is in each latency."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> Answer:
        self._socket.sendall(request)
        received = bytearray()
        while (end := received.find(b"\r\n\r\n")) < 0:
            self._receive_into(received)
        head, start = bytes(received[: end + 2]), end + 4
        status, length = STATUS.match(head), LENGTH.search(head)
        if status is None or length is None:
            raise SystemExit(f"this is no answer: {head!r}")
        while len(received) < start + int(length[1]):
            self._receive_into(received)
        return Answer(int(status[1]), bytes(received[start:]))

    def close(self) -> None:
        self._socket.close()

    def _receive_into(self, received: bytearray) -> None:
        some = self._socket.recv(AT_ONCE)
        if not some:
            raise SystemExit("the server has hung up")
        received += some
