"""The headers that go with a refusal, over either transport."""

from economy.errors import EconomyError, RateLimited, Unauthenticated

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="economy"'}  # RFC 9110, section 11.6.1
SOON_SECONDS = 1


def headers_of_refusal(error: EconomyError) -> dict[str, str]:
    if isinstance(error, Unauthenticated):
        return CHALLENGE
    if isinstance(error, RateLimited):
        return {"Retry-After": str(error.retry_after)}
    return {"Retry-After": str(SOON_SECONDS)} if error.retryable else {}
