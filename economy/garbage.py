"""The garbage collector of a server process: what is there at its start is not looked at again."""

import gc

# Objects made since the last look. Most that a request makes go without the collector.
YOUNG = 20_000
OLDER, OLDEST = 20, 50  # looks at the younger before one at the older


def spare_the_collector() -> None:
    """Modules, schema and plans are a million objects: a look at them all stops every request for
    a tenth of a second. Call it when all is built."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, OLDER, OLDEST)
