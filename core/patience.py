"""How long to leave a server alone that did not answer, so that nobody waits for it.

After a failure it is left alone for a second, and for twice as long each time it fails again. When
its time comes, one thread asks; the others go on without. It calls nobody itself.
"""

from __future__ import annotations

import threading
import time

import structlog

log = structlog.get_logger()

#: It is never left alone for longer than this.
LONGEST_PAUSE_S = 32.0


class Patience:
    """What one process knows of one server.

    Args:
        used_for: what goes without it meanwhile, for the log.
    """

    def __init__(self, used_for: str) -> None:
        self._used_for = used_for
        self._lock = threading.Lock()
        self._ask_again_at = 0.0
        #: For how long it is left alone now; 0 while it answers. A caller notes it before it asks.
        self.pause_s = 0.0

    def may_ask(self) -> bool:
        """Whether to try; while it is away one thread at a time may, when its time comes."""
        if not self.pause_s:
            return True
        with self._lock:
            now = time.monotonic()
            if now < self._ask_again_at:
                return False
            self._ask_again_at = now + self.pause_s
            return True

    def failed(self, error: Exception, noted_s: float) -> bool:
        """It did not answer. False when another thread found that out at the same time."""
        with self._lock:
            if self.pause_s != noted_s:
                # One step is enough.
                return False
            self.pause_s = pause_s = min(max(1.0, noted_s * 2), LONGEST_PAUSE_S)
            self._ask_again_at = time.monotonic() + pause_s
        log.warning(
            "redis.away", used_for=self._used_for, error=type(error).__name__, again_in_s=pause_s
        )
        return True

    def answered(self, noted_s: float) -> None:
        """It answered."""
        if noted_s:
            with self._lock:
                self.pause_s = 0.0
            log.info("redis.back", used_for=self._used_for)
