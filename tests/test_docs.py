"""The guides are true: examples run, tables are complete, links lead somewhere."""

import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase

from economy import errors
from economy.api.graphql import answers, persisted
from economy.api.graphql.errors import MEMBERS, TOP_LEVEL
from economy.api.rest import errors as rest_errors
from economy.errors import Decline, EconomyError
from economy.metrics import Metrics
from economy.services.access import Scope
from tests.documented import (
    BLOCK,
    DOCS,
    ROOT,
    anchors_of,
    examples_in,
    is_broken,
    links_in,
    rows_of,
    run_examples,
    text_of,
)
from tests.live import live_server, run_economy

API = DOCS / "API.md"
OPERATIONS = DOCS / "OPERATIONS.md"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
ERROR_TABLES = ["### Declines", "### What was asked is wrong", "### Try again"]


def pages() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).exists()]


def leaves(kind: type[EconomyError] = EconomyError) -> list[type[EconomyError]]:
    """Every error that has a code of its own."""
    own = [kind] if "code" in vars(kind) else []
    return [*own, *(leaf for one in kind.__subclasses__() for leaf in leaves(one))]


def word(cell: str) -> str:
    """The word in code that a cell begins with, or all of it."""
    found = re.match(r"`([^`]+)`", cell)
    return found[1] if found else cell


def as_documented(leaf: type[EconomyError]) -> list[str]:
    """The first cells of its row."""
    over_graphql = "errors" if leaf in TOP_LEVEL else MEMBERS[leaf][0].__name__
    status = str(rest_errors.STATUS[leaf.code])
    return [leaf.code.value, status, over_graphql, "yes" if leaf.retryable else "no"]


def test_every_error_is_in_the_guide() -> None:
    documented = sorted(
        [word(cell) for cell in row[:4]] for table in ERROR_TABLES for row in rows_of(API, table)
    )
    assert documented == sorted(as_documented(leaf) for leaf in leaves())
    assert {row[0] for row in documented} == {code.value for code in errors.ErrorCode}


def test_the_guide_tells_which_refusals_are_remembered() -> None:
    documented = {word(row[0]) for row in rows_of(API, "### Declines")}
    assert documented == {leaf.code.value for leaf in leaves(Decline)}


def test_what_a_client_does_is_said_of_every_error() -> None:
    for table in ERROR_TABLES:
        assert all(len(row) == 6 and all(row) for row in rows_of(API, table))


def test_every_code_of_the_transports_is_in_the_guide() -> None:
    rows = rows_of(API, "### Of the transport alone")
    over_rest = {word(row[0]): int(row[1]) for row in rows if row[1].isdigit()}
    over_graphql = {word(row[0]) for row in rows if row[2] == "`errors`"}
    of_http = {code: status for status, code in rest_errors.CODES.items()}
    others = {"NOT_FOUND": 404, "METHOD_NOT_ALLOWED": 405, rest_errors.INTERNAL_ERROR: 500}
    assert over_rest == of_http | others
    assert over_graphql == {
        *(answers.BAD_REQUEST, answers.INVALID_DOCUMENT, answers.INTERNAL_ERROR),
        *(persisted.NOT_FOUND, persisted.NOT_SUPPORTED),
    }


def test_every_scope_is_in_the_notes_on_security() -> None:
    rows = rows_of(DOCS / "SECURITY.md", "### Scopes of a server key")
    assert {word(row[0]) for row in rows} == {scope.value for scope in Scope}


@pytest.mark.parametrize("name", ["README.md", "docs/API.md", "docs/TUTORIAL.md"])
def test_the_examples_print_what_the_page_says(name: str, sqlite_url: str) -> None:
    assert run_economy("seed", database_url=sqlite_url).returncode == 0
    examples = examples_in(ROOT / name)
    assert len(examples) >= 8
    with live_server(database_url=sqlite_url) as server:
        run_examples(examples, server.url, sqlite_url)


def test_the_tutorial_shows_the_examples_as_they_are() -> None:
    """Each snippet of a client stands, word for word, in a file of examples/."""
    files = [*(ROOT / "examples/python").glob("*.py"), *(ROOT / "examples/typescript").glob("*.ts")]
    sources = [file.read_text(encoding="utf-8") for file in files]
    blocks = BLOCK.findall(text_of(DOCS / "TUTORIAL.md"))
    shown = [text for language, text in blocks if language in ("python", "ts")]
    assert len(shown) == 2
    assert [text for text in shown if not any(text in source for source in sources)] == []


def test_both_readmes_show_the_same_commands_and_answers() -> None:
    english, russian = (
        [block for block in BLOCK.findall(text_of(ROOT / name)) if block[0] in ("sh", "json")]
        for name in ("README.md", "README.ru.md")
    )
    assert russian == english


def test_every_alert_has_a_runbook() -> None:
    alerts = re.findall(r"- alert: (\w+)", ALERTS.read_text(encoding="utf-8"))
    assert len(alerts) == len(set(alerts)) == 6
    assert [alert for alert in alerts if alert.lower() not in anchors_of(OPERATIONS)] == []


def test_every_metric_is_in_the_guide() -> None:
    """By the name and the labels that it is asked for, and its kind."""
    measured = [one for one in vars(Metrics()).values() if isinstance(one, MetricWrapperBase)]
    assert len(measured) > 20
    expected = {
        (
            one._name + ("_total" if isinstance(one, Counter) else ""),
            ",".join(one._labelnames),
            one._type,
        )
        for one in measured
    }
    rows = rows_of(OPERATIONS, "## Metrics")
    named = [(re.split(r"[{}]", f"{word(row[0])}{{}}"), row[1]) for row in rows]
    assert {(name, labels, kind) for (name, labels, *_), kind in named} == expected


def test_every_link_within_the_repository_leads_somewhere() -> None:
    links = [link for page in pages() for link in links_in(page)]
    assert len(links) > 100
    broken = [f"{link.page.relative_to(ROOT)}: {link.target}" for link in links if is_broken(link)]
    assert broken == []
