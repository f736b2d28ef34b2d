"""The `economy` command."""

import gc

gc.disable()  # what importing makes stays: to look for garbage among it takes a sixth of the start
from economy.cli import main  # noqa: E402

gc.enable()

__all__ = ["main"]

if __name__ == "__main__":
    main()
