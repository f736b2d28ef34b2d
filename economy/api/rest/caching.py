"""Conditional reads: an ETag, and 304 for who has it already (RFC 9110, section 13)."""

import hashlib

from starlette.requests import Request
from starlette.responses import Response

# Kept by the client alone, and asked for again each time: a purchase shows at once.
CACHE_CONTROL = "private, no-cache"
VARY = "Authorization, X-Api-Key"


def conditional(request: Request, response: Response) -> Response:
    """The successful answer to a GET, or that nothing has changed."""
    etag = f'"{hashlib.sha256(response.body).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": CACHE_CONTROL, "Vary": VARY}
    if _names(request.headers.getlist("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    response.headers.update(headers)
    return response


def _names(conditions: list[str], etag: str) -> bool:
    """Compared weakly, as the RFC wants it here: `W/` makes no difference."""
    given = {one.strip().removeprefix("W/") for line in conditions for one in line.split(",")}
    return etag in given or "*" in given
