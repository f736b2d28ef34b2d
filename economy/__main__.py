"""The `economy` command."""

import gc
import os
import signal
import sys

if os.getpid() == 1:  # in a container: there SIGTERM does nothing by itself
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
gc.disable()  # what importing makes stays: to look for garbage among it takes a sixth of the start
from economy.cli import main  # noqa: E402

gc.enable()

__all__ = ["main"]

if __name__ == "__main__":
    main()
