"""Small counts and marks in Redis that may be lost: what was used, how often somebody came lately.

Nothing that must be right stands here. When Redis is away every count is 0 and every mark is new,
which is counted; nobody waits and nobody is refused.
"""

from __future__ import annotations

from collections.abc import Callable

import redis
from prometheus_client import Counter
from redis.backoff import NoBackoff
from redis.retry import Retry

from core.patience import Patience

#: Redis answers in a fraction of a millisecond; whoever waits longer has lost it.
TIMEOUT_S = 0.1

WITHOUT_REDIS = Counter(
    "riverain_tally_without_redis_total",
    "Marks and counts that could not be asked for because Redis was away.",
)

_PREFIX = "riverain"


class Tally:
    """Counts and marks under names. Connects when it is first asked."""

    def __init__(self, redis_url: str) -> None:
        self._redis = redis.Redis.from_url(
            redis_url,
            socket_connect_timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            # A second attempt is the next request's.
            retry=Retry(NoBackoff(), 0),
        )
        self._patience = Patience("tally")

    def mark(self, name: str, value: str, *, keep_s: int) -> bool:
        """Mark `name` with `value`; False when it bears another value already."""

        def ask() -> bool:
            before = self._redis.set(f"{_PREFIX}:{name}", value, nx=True, get=True, ex=keep_s)
            return before is None or before == value.encode()

        answer = self._ask(ask)
        return True if answer is None else bool(answer)

    def count(self, name: str, *, keep_s: int) -> int:
        """Count once more; how often that was done in this stretch of `keep_s`."""

        def ask() -> int:
            key = f"{_PREFIX}:{name}"
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.incr(key)
                pipe.expire(key, keep_s, nx=True)
                return int(pipe.execute()[0])

        return int(self._ask(ask) or 0)

    def _ask(self, ask: Callable[[], int]) -> int | None:
        noted_s = self._patience.pause_s
        if self._patience.may_ask():
            try:
                answer = ask()
            except (redis.RedisError, OSError) as error:
                self._patience.failed(error, noted_s)
            else:
                self._patience.answered(noted_s)
                return answer
        WITHOUT_REDIS.inc()
        return None
