"""What is counted: one line of the table each, and the request that it sends."""

from dataclasses import replace
from typing import NamedTuple

from bench.suite import rows
from bench.suite.requests import Request, request_of

EMPTY = "empty query"
MANY = 64


class Operation(NamedTuple):
    work: str
    transport: str = rows.GRAPHQL
    at_once: int = 1  # so many users, each asks once

    @property
    def name(self) -> str:
        together = "" if self.at_once == 1 else f", {self.at_once} at once"
        return f"{self.transport} {self.work}{together}"

    def request(self, server_key: str) -> Request:
        work = rows.POPULAR if self.work == EMPTY else self.work
        row = rows.ours(work, processes=1, connections=1, transport=self.transport)
        request = request_of(row, server_key)
        if self.work != EMPTY:
            return request
        body, needle = '{"query":"{ __typename }"}', '"__typename":"Query"'
        return replace(request, body=body, needle=needle, times=1)


OPERATIONS = (
    Operation(EMPTY),
    Operation(rows.PURCHASE),
    Operation(rows.USE),
    Operation(rows.ADD_FUNDS),
    Operation(rows.CACHED),
    Operation(rows.UNCACHED),
    Operation(rows.POPULAR),
    Operation(rows.PURCHASE, rows.REST),
    Operation(rows.CACHED, rows.REST),
    Operation(rows.PURCHASE, at_once=MANY),
    Operation(rows.CACHED, at_once=MANY),
    Operation(rows.UNCACHED, at_once=MANY),
    Operation(rows.PURCHASE, rows.REST, at_once=MANY),
    Operation(rows.CACHED, rows.REST, at_once=MANY),
)
