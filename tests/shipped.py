"""Builds the wheel and installs it in an empty environment, as whoever takes a release does."""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.txt"
# The environment of the tests has no pip: that of the Python it was made with is used, as in make.
PIP = [sys._base_executable, "-m", "pip", "--disable-pip-version-check"]  # type: ignore[attr-defined]


def build_wheel(folder: Path) -> Path:
    """With the locked backend of this environment: nothing is downloaded."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return folder / f"{project['name']}-{project['version']}-py3-none-any.whl"


def install(wheel: Path, environment: Path) -> None:
    """The wheel and what it asks for; of that there is nothing but what the lock's hashes know."""
    shutil.rmtree(environment, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    with tempfile.TemporaryDirectory() as packages:
        download = ["download", "--quiet", "--require-hashes", "--dest", packages, "-r", str(LOCK)]
        subprocess.run([*PIP, *download], check=True)
        python = ["--python", str(environment / "bin" / "python")]
        offline = ["install", "--quiet", "--no-index", "--find-links", packages, str(wheel)]
        subprocess.run([*PIP, *python, *offline], check=True, env=_without_other_packages())
        subprocess.run([*PIP, *python, "check"], check=True, stdout=subprocess.DEVNULL)


def _without_other_packages() -> dict[str, str]:
    """Neither a variable nor a file may lead pip to other packages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return kept | {"PIP_CONFIG_FILE": os.devnull}


def main() -> None:
    folder, environment = map(Path, sys.argv[1:])
    wheel = build_wheel(folder.resolve())
    install(wheel, environment.resolve())
    print(f"{wheel} is installed in {environment}")


if __name__ == "__main__":
    main()
