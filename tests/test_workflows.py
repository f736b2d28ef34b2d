"""What nobody would notice in the workflows: a job that gates nothing, an action that changes."""

import re
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from tests.shipped import ROOT

FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
CI = yaml.safe_load((FOLDER / "ci.yml").read_text(encoding="utf-8"))
RELEASE = yaml.safe_load((FOLDER / "release.yml").read_text(encoding="utf-8"))
USES = re.compile(r"^ *(?:- )?uses: (.*)$", re.MULTILINE)
# a tag can be moved to other code, a commit cannot
PINNED = re.compile(r"[\w-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def test_the_one_check_needs_every_job() -> None:
    jobs = CI["jobs"].keys() - {"ci-green"}
    assert set(CI["jobs"]["ci-green"]["needs"]) == jobs
    assert len(jobs) >= 8


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_an_action_is_pinned_to_a_commit_and_one_version(file: Path) -> None:
    used = [name for name in USES.findall(file.read_text("utf-8")) if not name.startswith("./")]
    assert used
    assert not [name for name in used if not PINNED.fullmatch(name)]
    for action in {name.partition("@")[0] for name in used}:
        assert len({name for name in used if name.startswith(f"{action}@")}) == 1, action


def test_a_job_may_read_unless_it_says_more() -> None:
    assert CI["permissions"] == RELEASE["permissions"] == {"contents": "read"}
    more = {name: job["permissions"] for name, job in CI["jobs"].items() if "permissions" in job}
    assert more == {"ci-green": {}}
    may_write = {
        (name, permission)
        for name, job in RELEASE["jobs"].items()
        for permission, access in job.get("permissions", {}).items()
        if access == "write"
    }
    assert may_write == {
        ("wheel", "id-token"),
        ("wheel", "attestations"),
        ("image", "id-token"),
        ("image", "attestations"),
        ("image", "packages"),
        ("publish", "contents"),
    }


def test_nothing_is_published_before_all_of_ci_has_passed() -> None:
    needs = {name: job.get("needs", []) for name, job in RELEASE["jobs"].items()}
    assert needs == {
        "notes": [],
        "ci": "notes",
        "wheel": ["notes", "ci"],
        "image": ["notes", "ci"],
        "publish": ["notes", "wheel", "image"],
    }
    assert RELEASE["jobs"]["ci"]["uses"] == "./.github/workflows/ci.yml"
    assert not [job for job in RELEASE["jobs"].values() if "if" in job]
