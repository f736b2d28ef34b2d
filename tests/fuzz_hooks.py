"""What Schemathesis has to be told of GraphQL here: two scalars, and which errors are answers.

Its own checks take every error in `errors` for a failure of the server. Here those are answers that
nobody can act on within the document; `errors_are_typed` holds them to their codes instead.
"""

from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.graphql import nodes

INVALID_DOCUMENT = "GRAPHQL_VALIDATION_FAILED"
ANSWERS = {"FORBIDDEN", "INVALID_INPUT", "USER_NOT_FOUND"}

schemathesis.graphql.scalar("Amount", st.integers(0, 2**53 - 1).map(nodes.Int))
schemathesis.graphql.scalar("DateTime", st.datetimes().map(lambda at: nodes.String(f"{at}Z")))


@schemathesis.check
def errors_are_typed(_context: Any, response: Any, case: Any) -> None:
    assert response.status_code == 200, response.status_code
    is_invalid = case.meta is not None and case.meta.generation.mode.is_negative
    for error in response.json().get("errors", []):
        code = error["extensions"]["code"]
        assert code in ANSWERS or (is_invalid and code == INVALID_DOCUMENT), error
