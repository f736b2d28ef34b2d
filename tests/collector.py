"""Stands where a collector of traces does: takes OTLP over HTTP, and keeps what it was sent."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

Tree = tuple[str, "list[Tree]"]  # a span's name, and those within it, by name
# what asyncpg asks for itself on a new connection
DRIVERS_OWN = ("WITH RECURSIVE typeinfo_tree(", "SELECT current_setting('jit')")


@dataclass
class Seen:
    """A span."""

    name: str
    trace: str
    id: str
    parent: str
    kind: str
    is_error: bool
    attributes: dict[str, Any]
    links: list[tuple[str, str]]  # trace and span
    remarks: str  # what an error might have left: events, and the status' message

    @property
    def place(self) -> tuple[str, str]:
        return self.trace, self.id


class Collector:
    """It can refuse, or take and never answer. Then it keeps nothing."""

    def __init__(self) -> None:
        self.received = b""
        self.spans: list[Seen] = []
        self.refuses_with: int | None = None
        self.asked = 0  # how often
        self.answers = threading.Event()
        self.answers.set()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05])
        self._thread.start()

    def close(self) -> None:
        """From then on nobody listens there."""
        self.answers.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _take(self, path: str, body: bytes) -> int:
        with self._lock:
            self.asked += 1
        self.answers.wait()
        if path != "/v1/traces":
            return 404
        if self.refuses_with is not None:
            return self.refuses_with
        with self._lock:
            self.received += body
            sent = ExportTraceServiceRequest.FromString(body)
            for resource in sent.resource_spans:
                for scope in resource.scope_spans:
                    self.spans += map(_seen, scope.spans)
        return 200

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        take = self._take

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                is_packed = self.headers.get("content-encoding") == "gzip"
                status = take(self.path, gzip.decompress(body) if is_packed else body)
                try:
                    self.send_response(status)
                    self.send_header("content-length", "0")
                    self.end_headers()
                except ConnectionError:
                    self.close_connection = True  # who asked has not waited

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def named(self, name: str) -> list[Seen]:
        return [span for span in self.spans if span.name == name]

    def of(self, trace: str) -> list[Seen]:
        return [span for span in self.spans if span.trace == trace]

    def asked_as(self, request_id: str) -> Seen:
        """The span of the request with that id."""
        [span] = [
            span for span in self.spans if span.attributes.get("economy.request_id") == request_id
        ]
        return span

    def tree(self, span: Seen) -> Tree:
        """Without what the driver asks for itself."""
        within = [one for one in self.of(span.trace) if one.parent == span.id]
        ours = [
            self.tree(one)
            for one in within
            if not one.attributes.get("db.query.text", "").startswith(DRIVERS_OWN)
        ]
        return span.name, sorted(ours)


def _seen(span: Span) -> Seen:
    return Seen(
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        is_error=span.status.code == Status.STATUS_CODE_ERROR,
        attributes={
            one.key: getattr(one.value, str(one.value.WhichOneof("value")))
            for one in span.attributes
        },
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        remarks=span.status.message + "".join(str(event) for event in span.events),
    )


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()
    try:
        yield collector
    finally:
        collector.close()
