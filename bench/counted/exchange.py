"""One request to the application and its answer, as uvicorn hands them over."""

import asyncio
from typing import Any

Message = Any  # of ASGI: a dictionary


class Exchange:
    def __init__(self, request: bytes, state: dict[str, Any]) -> None:
        """The request as it goes over the wire."""
        head, _, self._body = request.partition(b"\r\n\r\n")
        line, *lines = head.split(b"\r\n")
        method, path, _ = line.split(b" ")
        headers = [header.split(b": ", 1) for header in lines]
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "server": ("127.0.0.1", 8000),
            "client": ("127.0.0.1", 40000),
            "scheme": "http",
            "method": method.decode(),
            "root_path": "",
            "path": path.decode(),
            "raw_path": path,
            "query_string": b"",
            "headers": [(name.lower(), value) for name, value in headers],
            "state": state.copy(),
        }
        self._is_read = False
        self.status = 0
        self.body = b""

    async def receive(self) -> Message:
        if self._is_read:
            await asyncio.Event().wait()  # its client does not go away
        self._is_read = True
        return {"type": "http.request", "body": self._body, "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.body += message.get("body", b"")
