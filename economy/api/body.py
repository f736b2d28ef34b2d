"""Reads a request's body, within bounds: the same for GraphQL and REST."""

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

MAX_BODY_BYTES = 64 * 1024
# Read on and throw away: a connection that is closed early loses the answer. But not for ever.
MAX_DISCARDED_BYTES = 16 * MAX_BODY_BYTES


async def read_body(request: Request) -> bytes:
    """Raises HTTPException: 413 when it is too large, 400 when the client went away meanwhile."""
    chunks: list[bytes] = []
    length = 0
    try:
        async for chunk in request.stream():
            length += len(chunk)
            if length <= MAX_BODY_BYTES:
                chunks.append(chunk)
            elif length > MAX_DISCARDED_BYTES:
                break
    except ClientDisconnect:  # nobody reads the answer, but this is no fault of ours
        raise HTTPException(400, "The body ended early.") from None
    if length > MAX_BODY_BYTES:
        raise HTTPException(413, f"The body is larger than {MAX_BODY_BYTES} bytes.")
    return b"".join(chunks)
