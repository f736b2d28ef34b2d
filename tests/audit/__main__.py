"""The outside suites, one line each: make audit. Downloads npm packages."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.live import live_server, run_economy
from tests.node import NpmProject

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
# all but those that sort alphabetically: our order is meaning
SCHEMA_RULES = (
    "types-have-descriptions,fields-have-descriptions,arguments-have-descriptions,"
    "input-object-values-have-descriptions,enum-values-have-descriptions,"
    "deprecations-have-a-reason,descriptions-are-capitalized,types-are-capitalized,"
    "fields-are-camel-cased,input-object-values-are-camel-cased,enum-values-all-caps,"
    "relay-connection-types-spec,relay-connection-arguments-spec,defined-types-are-used"
)
Run = subprocess.CompletedProcess[str]


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        project = NpmProject(folder / "audit", folder / "cache")
        shutil.copytree(HERE, project.folder)
        shutil.copy(ROOT / "schema.graphql", project.folder)
        shutil.copy(ROOT / "docs/released.graphql", project.folder)
        project.install()
        url = f"sqlite:///{folder}/economy.db"
        for command in ("migrate", "seed"):
            run_economy(command, database_url=url).check_returncode()
        with live_server(database_url=url) as server:
            are_ok = [tell(name, run) for name, run in suites(project, server.url).items()]
    sys.exit(0 if all(are_ok) else 1)


def suites(project: NpmProject, url: str) -> dict[str, Callable[[], Run]]:
    def tool(*arguments: str) -> Callable[[], Run]:
        return lambda: project.npm("exec", "--offline", "--", *arguments)

    return {
        "GraphQL over HTTP": tool("node", "graphql_http.mjs", f"{url}/graphql"),
        "graphql-schema-linter": tool(
            *("graphql-schema-linter", "--rules", SCHEMA_RULES, "schema.graphql")
        ),
        "graphql-eslint": tool("eslint", "schema.graphql"),
        "graphql-inspector": tool("node", "changes.mjs", "released.graphql", "schema.graphql"),
        "Schemathesis": schemathesis,
    }


def schemathesis() -> Run:
    """As in the tests: over OpenAPI and GraphQL, as a player and as a server."""
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "tests/test_fuzz.py"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)


def tell(name: str, run: Callable[[], Run]) -> bool:
    done = run()
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    is_ok = done.returncode == 0
    print(f"{'ok' if is_ok else 'FAILED':6}  {name}: {lines[-1] if lines else 'nothing found'}")
    if not is_ok:
        print(done.stdout, done.stderr)
    return is_ok


if __name__ == "__main__":
    main()
