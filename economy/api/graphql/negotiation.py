"""Which media type answers. https://graphql.github.io/graphql-over-http/draft/"""

from functools import lru_cache

GRAPHQL_RESPONSE = "application/graphql-response+json"
JSON = "application/json"
HTML = "text/html"


@lru_cache(1_000)  # clients send always the same
def response_type(accept: str | None) -> str | None:
    """The answer's media type; None if the client accepts neither.

    Without preference it is application/json, which every client understands.
    """
    accepted = _qualities(accept or "*/*")
    qualities = {media: _quality(accepted, media) for media in (GRAPHQL_RESPONSE, JSON)}
    if accepted.get(GRAPHQL_RESPONSE, 0) >= qualities[JSON] and GRAPHQL_RESPONSE in accepted:
        return GRAPHQL_RESPONSE if qualities[GRAPHQL_RESPONSE] > 0 else None
    if qualities[JSON] > 0:
        return JSON
    return GRAPHQL_RESPONSE if qualities[GRAPHQL_RESPONSE] > 0 else None


def wants_page(accept: str | None) -> bool:
    """A browser: it asks for HTML by name, before any JSON."""
    accepted = _qualities(accept or "")
    html = accepted.get(HTML, 0.0)
    return html > 0 and all(html >= accepted.get(media, 0.0) for media in (GRAPHQL_RESPONSE, JSON))


def _qualities(accept: str) -> dict[str, float]:
    """Media range -> its q, RFC 9110, section 12.5.1."""
    qualities: dict[str, float] = {}
    for part in accept.split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    quality = min(max(float(value), 0.0), 1.0)
                except ValueError:
                    quality = 0.0
        if media:
            qualities[media] = quality
    return qualities


def _quality(accepted: dict[str, float], media: str) -> float:
    for media_range in (media, "application/*", "*/*"):
        if media_range in accepted:
            return accepted[media_range]
    return 0.0
