"""An HTTP proxy that loses an answer, or is overloaded, where a test wants it to."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

NOT_FORWARDED = {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}


@dataclass(frozen=True)
class Exchange:
    body: bytes  # of the request
    status: int
    retry_after: int | None
    is_lost: bool  # the server has answered, nobody has got it
    asked_at: float
    answered_at: float


@dataclass
class LossyProxy:
    server_url: str
    loses_first: bytes = b""  # the first answer with these bytes in it is lost
    refuses: int = 0  # so many requests get a 503 and never reach the server
    exchanges: list[Exchange] = field(default_factory=list)
    url: str = ""

    @property
    def statuses(self) -> list[int | str]:
        return ["lost" if one.is_lost else one.status for one in self.exchanges]

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        if len(self.exchanges) < self.refuses:
            return httpx.Response(503, headers={"Retry-After": "1"}, text="overloaded")
        url = self.server_url + path
        return httpx.request(method, url, headers=headers, content=body, trust_env=False)

    def note(self, body: bytes, answer: httpx.Response, asked_at: float) -> Exchange:
        has_lost = any(one.is_lost for one in self.exchanges)
        retry_after = answer.headers.get("Retry-After")
        exchange = Exchange(
            body,
            answer.status_code,
            None if retry_after is None else int(retry_after),
            is_lost=not has_lost and bool(self.loses_first) and self.loses_first in answer.content,
            asked_at=asked_at,
            answered_at=time.monotonic(),
        )
        self.exchanges.append(exchange)
        return exchange


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: LossyProxy

    def do_GET(self) -> None:
        self._forward()

    def do_POST(self) -> None:
        self._forward()

    def _forward(self) -> None:
        asked_at = time.monotonic()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {
            name: value for name, value in self.headers.items() if name.lower() not in NOT_FORWARDED
        }
        answer = self.proxy.answer(self.command, self.path, headers, body)
        if self.proxy.note(body, answer, asked_at).is_lost:
            self.close_connection = True
            return
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if name.lower() not in NOT_FORWARDED | {"date"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *_arguments: object) -> None:
        pass


@contextlib.contextmanager
def lossy_proxy(
    server_url: str, *, loses_first: str = "", refuses: int = 0
) -> Iterator[LossyProxy]:
    proxy = LossyProxy(server_url, loses_first.encode(), refuses)
    handler = type("Handler", (_Handler,), {"proxy": proxy})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        proxy.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()
