"""How often one caller may call: declared per route, counted in Redis, open when Redis is away.

1. A view says which allowance it belongs to with `@limited(Allowance.INTAKE)`; without a word, a
   read is `READ` and anything else is `WRITE`. Routes of one allowance share one counter.
2. The counter belongs to the person who signed the call, else to the address it came from; an
   IPv6 network of 64 bits is one caller, because one household or phone has all of it. An address
   is believed from `X-Forwarded-For` only through the proxies that `TRUSTED_PROXIES` counts.
3. One script call to Redis counts and decides (a sliding window made of two counters).
4. When Redis is away, each process counts for itself and asks again after 1, 2, 4 … 32 seconds:
   nobody is refused whom the shared count would have let through, and nobody waits.

What is kept of an address is a keyed digest, for as long as the window lasts. It stands on
`limits`, the engine of Flask-Limiter; docs/adr/0003 says why without Flask-Limiter itself.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import ipaddress
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, TypeVar

import redis
import structlog
from flask import Flask, current_app, request
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from prometheus_client import Counter
from redis.backoff import NoBackoff
from redis.retry import Retry
from werkzeug.middleware.proxy_fix import ProxyFix

from core.errors import TooManyRequestsError

log = structlog.get_logger()

View = TypeVar("View", bound=Callable[..., Any])

#: Redis answers in a fraction of a millisecond; whoever waits longer has lost it.
TIMEOUT_S = 0.1

#: After a failure Redis is left alone for a second, and for twice as long each time, up to this.
LONGEST_PAUSE_S = 32.0

ALONE = Counter(
    "riverain_limits_without_redis_total",
    "Requests that a process counted alone because Redis was away.",
)


@enum.unique
class Allowance(enum.Enum):
    """How often one caller may call the routes of a kind: for the public, and for staff."""

    #: A map that somebody drags about reads a few times a second.
    READ = ("600 per minute", "3000 per minute")
    WRITE = ("60 per minute", "600 per minute")
    #: A street of neighbours behind one address after a storm, or one class at school. Staff take
    #: calls and carry over lists.
    INTAKE = ("100 per 5 minutes", "600 per minute")
    #: An office that starts its day behind one address; still far too slow for guessing. Counted
    #: by address even for those who are signed in.
    SIGN_IN = ("40 per 5 minutes", "40 per 5 minutes")
    #: Each of these sends a message to somebody.
    SIGN_IN_LINK = ("10 per 10 minutes", "10 per 10 minutes")

    def __init__(self, public: str, staff: str) -> None:
        self.public: RateLimitItem = parse(public)
        self.staff: RateLimitItem = parse(staff)

    @property
    def is_by_address(self) -> bool:
        """Whether being signed in makes no difference."""
        return self in (Allowance.SIGN_IN, Allowance.SIGN_IN_LINK)


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who signed the call."""

    id: str
    is_staff: bool


def limited(allowance: Allowance) -> Callable[[View], View]:
    """Declare the allowance of a view; anywhere below `route`. It wraps nothing."""

    def declare(view: View) -> View:
        view.allowance = allowance  # type: ignore[attr-defined]
        return view

    return declare


def install(
    app: Flask,
    *,
    redis_url: str,
    secret: str,
    caller: Callable[[], Caller | None],
    exempt: Collection[str] = (),
) -> None:
    """Hold every route of `app` to its allowance.

    Args:
        secret: what digests of addresses are keyed with.
        caller: who signed the request in hand, None for nobody; must not raise.
        exempt: endpoints without a limit, such as those that ask for the process's health.
    """
    limiter = _Limiter(_Count(redis_url), secret, caller, frozenset(exempt))
    app.before_request(limiter.hold)


def trust_proxies(app: Flask, proxies: int) -> None:
    """Take the caller's address and scheme from as many proxies as stand before us."""
    if proxies > 0:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=proxies, x_proto=proxies
        )


def network_of(address: str) -> str | None:
    """What counts as one caller: an IPv4 address, or a /64 of IPv6; None for no address."""
    try:
        # A zone ("fe80::1%eth0") says which cable, not who.
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)


class _Count:
    """Counts in Redis; in this process while Redis is away."""

    def __init__(self, redis_url: str) -> None:
        self._shared = SlidingWindowCounterRateLimiter(
            RedisStorage(
                # limits spells Unix sockets its own way.
                f"redis+{redis_url}" if redis_url.startswith("unix://") else redis_url,
                socket_connect_timeout=TIMEOUT_S,
                socket_timeout=TIMEOUT_S,
                # A second attempt is the next request's.
                retry=Retry(NoBackoff(), 0),  # type: ignore[arg-type]
            )
        )
        self._alone: SlidingWindowCounterRateLimiter | None = None
        self._lock = threading.Lock()
        self._pause_s = 0.0
        self._ask_again_at = 0.0

    def hit(self, limit: RateLimitItem, *whose: str) -> int | None:
        """Count one call: None when it is within the limit, else the seconds to wait."""
        paused_s = self._pause_s
        if self._may_ask():
            try:
                wait_s = _hit(self._shared, limit, *whose)
            except (redis.RedisError, OSError) as error:
                self._leave_alone(error, paused_s)
            else:
                if paused_s:
                    self._come_back()
                return wait_s
        ALONE.inc()
        alone = self._alone
        return None if alone is None else _hit(alone, limit, *whose)

    def _may_ask(self) -> bool:
        """Whether to try Redis; while it is away one thread at a time may, when its time comes."""
        if not self._pause_s:
            return True
        with self._lock:
            now = time.monotonic()
            if now < self._ask_again_at:
                return False
            self._ask_again_at = now + self._pause_s
            return True

    def _leave_alone(self, error: Exception, paused_s: float) -> None:
        with self._lock:
            if self._pause_s != paused_s:
                # Another thread found out at the same time; one step is enough.
                return
            if self._alone is None:
                self._alone = SlidingWindowCounterRateLimiter(MemoryStorage())
            self._pause_s = min(max(1.0, self._pause_s * 2), LONGEST_PAUSE_S)
            self._ask_again_at = time.monotonic() + self._pause_s
            pause_s = self._pause_s
        log.warning("limits.redis_away", error=type(error).__name__, asked_again_in_s=pause_s)

    def _come_back(self) -> None:
        with self._lock:
            self._pause_s = 0.0
        log.info("limits.redis_back")


@dataclass(frozen=True, slots=True)
class _Limiter:
    """Holds the request in hand to its allowance."""

    count: _Count
    secret: str
    caller: Callable[[], Caller | None]
    exempt: frozenset[str]
    allowances: dict[tuple[str, str], Allowance] = field(default_factory=dict)

    def hold(self) -> None:
        """Count the request in hand. Callers without an address (a local socket) are not held:
        they would all be one.

        Raises:
            TooManyRequestsError: its caller has used the allowance up.
        """
        endpoint, method = request.endpoint, request.method
        if endpoint is None or endpoint in self.exempt or method == "OPTIONS":
            return
        allowance = self.allowances.get((endpoint, method))
        if allowance is None:
            allowance = self.allowances[endpoint, method] = _allowance(endpoint, method)
        limit, whose = allowance.public, _digest(self.secret, request.remote_addr or "")
        if not allowance.is_by_address:
            caller = self.caller()
            if caller is not None:
                limit = allowance.staff if caller.is_staff else allowance.public
                whose = caller.id
        if whose is None:
            return
        wait_s = self.count.hit(limit, "riverain", allowance.name.lower(), whose)
        if wait_s is not None:
            raise _refusal(limit, wait_s)


def _hit(counter: SlidingWindowCounterRateLimiter, limit: RateLimitItem, *whose: str) -> int | None:
    if counter.hit(limit, *whose):
        return None
    reset_at = counter.get_window_stats(limit, *whose).reset_time
    return max(1, int(reset_at - time.time()) + 1)


@functools.lru_cache(maxsize=10_000)
def _digest(secret: str, address: str) -> str | None:
    """What stands for the network of an address; None for no address."""
    network = network_of(address)
    if network is None:
        return None
    return hashlib.blake2b(
        network.encode(), key=secret.encode()[: hashlib.blake2b.MAX_KEY_SIZE], digest_size=12
    ).hexdigest()


def _allowance(endpoint: str, method: str) -> Allowance:
    view: Any = current_app.view_functions[endpoint]
    view_class = getattr(view, "view_class", None)
    if view_class is not None:
        view = getattr(view_class, method.lower(), None)
    given: Allowance | None = getattr(view, "allowance", None)
    if given is not None:
        return given
    return Allowance.READ if method in ("GET", "HEAD") else Allowance.WRITE


def _refusal(limit: RateLimitItem, wait_s: int) -> TooManyRequestsError:
    """Raised, so that each part of the application answers in its own way: a page, a document."""
    return TooManyRequestsError(
        f"At most {limit.amount} calls in {limit.get_expiry()} seconds;"
        f" try again in {wait_s} seconds.",
        retry_after=wait_s,
    )
