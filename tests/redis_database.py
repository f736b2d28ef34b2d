"""An empty numbered database of Redis for one test, so that workers may share a server."""

import redis


def empty_database(redis_url: str, worker_id: str) -> str:
    """Its URL. Number 0, where a given server may hold something of value, is left alone."""
    number = 1 + int(worker_id.removeprefix("gw")) if worker_id != "master" else 1
    url = f"{redis_url.partition('?')[0]}?db={number}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url
