"""Reads a request's body, within bounds: the same for GraphQL and REST."""

from starlette.exceptions import HTTPException
from starlette.types import Receive

MAX_BODY_BYTES = 64 * 1024
# Read on and throw away: a connection that is closed early loses the answer. But not for ever.
MAX_DISCARDED_BYTES = 16 * MAX_BODY_BYTES


async def read_body(receive: Receive) -> bytes:
    """Raises HTTPException: 413 when it is too large, 400 when the client went away meanwhile."""
    body, length, is_complete = b"", 0, False
    while not is_complete and length <= MAX_DISCARDED_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":  # nobody reads the answer; no fault of ours
            raise HTTPException(400, "The body ended early.")
        chunk = message.get("body", b"")
        length += len(chunk)
        if length <= MAX_BODY_BYTES:
            body += chunk
        is_complete = not message.get("more_body", False)
    if length > MAX_BODY_BYTES:
        raise HTTPException(413, f"The body is larger than {MAX_BODY_BYTES} bytes.")
    return body
