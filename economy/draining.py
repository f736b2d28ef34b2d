"""The last seconds of a server: it still answers, and says that it goes."""

import asyncio
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

logger = logging.getLogger(__name__)


class Draining:
    """A load balancer learns of it from the readiness, and sends its requests elsewhere."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.is_under_way = False

    @contextmanager
    def at_sigterm(self) -> Iterator[None]:
        """Within, the first SIGTERM starts it; the server is told when it is over, or by a second
        signal. To be entered on the main thread's loop, where the server handles signals itself."""
        stop = signal.getsignal(signal.SIGTERM)
        if self._seconds == 0 or not callable(stop):
            yield
            return
        loop = asyncio.get_running_loop()

        def begin(number: int, frame: FrameType | None) -> None:
            if self.is_under_way:
                stop(number, frame)
                return
            self.is_under_way = True
            logger.info("draining for %g s", self._seconds)
            loop.call_soon_threadsafe(loop.call_later, self._seconds, stop, number, frame)

        signal.signal(signal.SIGTERM, begin)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, stop)
