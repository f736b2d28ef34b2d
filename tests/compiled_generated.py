"""Documents that hypothesis-graphql makes of a schema; the same at each run."""

from typing import Any

from graphql import DocumentNode
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis_graphql import nodes

ODD_WORDS = ["1", "2", "0", "x", ""]
AMOUNTS = [0, 1, 100, 500, 2**53 - 1, 2**53, -1]
UUIDS = ["01890000-0000-7000-8000-000000000000", "no"]
CUSTOM_SCALARS = {
    "Amount": st.sampled_from(AMOUNTS).map(nodes.Int),
    "Even": st.integers(min_value=0, max_value=6).map(nodes.Int),
    "UUID": st.sampled_from(UUIDS).map(nodes.String),
    "Words": st.sampled_from(ODD_WORDS).map(nodes.String),
    "JSON": st.sampled_from(ODD_WORDS).map(nodes.String),
}


def generated(strategy: st.SearchStrategy[DocumentNode], count: int) -> list[DocumentNode]:
    documents: list[DocumentNode] = []

    @seed(1)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(document: Any) -> None:
        documents.append(document)

    collect()
    return documents
