"""How often one caller may call: declared per route, counted in Redis, open when Redis is away.

1. A view says which allowance it belongs to with `@limited(Allowance.INTAKE)`; without a word, a
   read is `READ` and anything else is `WRITE`. Routes of one allowance share one counter.
2. The counter belongs to the person who signed the call, else to the address it came from; an
   IPv6 network of 64 bits is one caller, because one household or phone has all of it. An address
   is believed from `X-Forwarded-For` only through the proxies that `TRUSTED_PROXIES` counts.
3. Beside that counter, never instead of it, a request may count in two more: of the device that an
   app names in `X-Device-Id`, and of the place that a report without a signature is about.
4. One round trip to Redis counts and decides (a sliding window made of two counters, each).
5. When Redis is away, each process counts for itself and asks again after 1, 2, 4 … 32 seconds:
   nobody is refused whom the shared count would have let through, and nobody waits.

What is kept of an address is a keyed digest, for as long as the window lasts. It stands on
`limits`, the engine of Flask-Limiter; docs/adr/0003 says why without Flask-Limiter itself.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import ipaddress
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import redis
from flask import Flask, current_app, request
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from prometheus_client import Counter
from redis.backoff import NoBackoff
from redis.retry import Retry
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from core.errors import TooManyRequestsError
from core.patience import Patience

View = TypeVar("View", bound=Callable[..., Any])

#: Redis answers in a fraction of a millisecond; whoever waits longer has lost it.
TIMEOUT_S = 0.1

#: Where an app may say which device it runs on: a UUID that it drew at random.
DEVICE_HEADER = "X-Device-Id"

#: How the key of a sensing device begins (`Authorization: Bearer …`). It is nobody's, so it counts
#: beside the address, as the header does.
DEVICE_KEY_PREFIX = "rvd_"

ALONE = Counter(
    "riverain_limits_without_redis_total",
    "Requests that a process counted alone because Redis was away.",
)


@enum.unique
class Allowance(enum.Enum):
    """How often one caller may call the routes of a kind: the public, staff, one device."""

    #: A map that somebody drags about reads a few times a second.
    READ = ("600 per minute", "3000 per minute", "600 per minute")
    WRITE = ("60 per minute", "600 per minute", "60 per minute")
    #: A street of neighbours behind one address after a storm, or one class at school. Staff take
    #: calls and carry over lists.
    INTAKE = ("100 per 5 minutes", "600 per minute", "30 per 5 minutes")
    #: A program with a key that sends for its users: an app's server, a neighbouring city's system.
    PROGRAM = ("300 per minute", "600 per minute", "60 per minute")
    #: An office that starts its day behind one address; still far too slow for guessing. Counted
    #: by address even for those who are signed in.
    SIGN_IN = ("40 per 5 minutes", "40 per 5 minutes", "20 per 5 minutes")
    #: Each of these sends a message to somebody.
    SIGN_IN_LINK = ("10 per 10 minutes", "10 per 10 minutes", "5 per 10 minutes")
    #: Phones of a whole district come from one address of their carrier; one phone that was away
    #: for a week sends its trips, in parts.
    TRIP = ("1200 per 5 minutes", "1200 per 5 minutes", "150 per 5 minutes")
    #: A key costs nothing and weighs as much as a phone; a phone asks for one a month.
    DEVICE_KEY = ("30 per 10 minutes", "30 per 10 minutes", "5 per 10 minutes")

    def __init__(self, public: str, staff: str, device: str) -> None:
        self.public: RateLimitItem = parse(public)
        self.staff: RateLimitItem = parse(staff)
        self.device: RateLimitItem = parse(device)

    @property
    def is_by_address(self) -> bool:
        """Whether being signed in makes no difference."""
        return self in (Allowance.SIGN_IN, Allowance.SIGN_IN_LINK)


#: How often people who do not sign in may report the same at the same place. A street lamp that is
#: out, or a burst main, is told by a hundred neighbours in an evening; three a second are a flood.
PLACE: RateLimitItem = parse("150 per 10 minutes")


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who signed the call."""

    id: str
    is_staff: bool


def limited(
    allowance: Allowance, *, place: Callable[[], str | None] | None = None
) -> Callable[[View], View]:
    """Declare the allowance of a view; anywhere below `route`. It wraps nothing.

    Args:
        place: what and where the request in hand is about, for callers who did not sign in; None
            where that is not known yet, and the view may call `hold_place` once it is.
    """

    def declare(view: View) -> View:
        view.allowance = allowance  # type: ignore[attr-defined]
        view.place_of = place  # type: ignore[attr-defined]
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
    app.extensions["limits"] = limiter


def hold_place(place: str) -> None:
    """Count the request in hand at a place, if its caller did not sign in and limits are on.

    Raises:
        TooManyRequestsError: too many came from there in a short time.
    """
    limiter: _Limiter | None = current_app.extensions.get("limits")
    if limiter is not None:
        limiter.hold_place(place)


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


@dataclass(frozen=True, slots=True)
class _Hit:
    """One counter that a request counts in: how much it allows, and whose it is."""

    limit: RateLimitItem
    whose: tuple[str, ...]


class _Count:
    """Counts in Redis; in this process while Redis is away."""

    def __init__(self, redis_url: str) -> None:
        self._storage = RedisStorage(
            # limits spells Unix sockets its own way.
            f"redis+{redis_url}" if redis_url.startswith("unix://") else redis_url,
            socket_connect_timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            # A second attempt is the next request's.
            retry=Retry(NoBackoff(), 0),  # type: ignore[arg-type]
        )
        self._shared = SlidingWindowCounterRateLimiter(self._storage)
        self._alone: SlidingWindowCounterRateLimiter | None = None
        self._patience = Patience("limits")

    def hit(self, hits: Sequence[_Hit]) -> tuple[_Hit, int] | None:
        """Count one call in each counter.

        None when it is within every limit, else the counter that refuses and the seconds to wait.
        """
        noted_s = self._patience.pause_s
        if self._patience.may_ask():
            try:
                refused = self._hit_shared(hits)
            except (redis.RedisError, OSError) as error:
                if self._patience.failed(error, noted_s) and self._alone is None:
                    self._alone = SlidingWindowCounterRateLimiter(MemoryStorage())
            else:
                self._patience.answered(noted_s)
                return refused
        ALONE.inc()
        if self._alone is None:
            return None
        over = [hit for hit in hits if not self._alone.hit(hit.limit, *hit.whose)]
        return (over[0], _wait_s(self._alone, over[0])) if over else None

    def _hit_shared(self, hits: Sequence[_Hit]) -> tuple[_Hit, int] | None:
        if len(hits) == 1:
            is_within = [self._shared.hit(hits[0].limit, *hits[0].whose)]
        else:
            is_within = self._hit_together(hits)
        for hit, is_welcome in zip(hits, is_within, strict=True):
            if not is_welcome:
                return hit, _wait_s(self._shared, hit)
        return None

    def _hit_together(self, hits: Sequence[_Hit]) -> list[bool]:
        """Several counters in one round trip, by the script that `limits` counts one with.

        Every counter counts the call, whatever the others say of it: whoever is over the limit of
        a place still uses up their own.
        """
        storage, script = self._storage, self._storage.lua_acquire_sliding_window
        client: Any = storage.get_connection()
        for is_last in (False, True):
            with client.pipeline(transaction=False) as pipe:
                for hit in hits:
                    key = hit.limit.key_for(*hit.whose)
                    # The names that RedisStorage.acquire_sliding_window_entry gives them.
                    current = storage.prefixed_key(f"{{{key}}}")
                    pipe.evalsha(
                        script.sha,
                        2,
                        f"{current}/-1",
                        current,
                        hit.limit.amount,
                        hit.limit.get_expiry(),
                        1,
                    )
                try:
                    return [bool(answer) for answer in pipe.execute()]
                except redis.exceptions.NoScriptError:
                    # Redis forgot its scripts; nothing was counted.
                    if is_last:
                        raise
                    client.script_load(script.script)
        raise AssertionError


@dataclass(frozen=True, slots=True)
class _Declared:
    """What a view declared."""

    allowance: Allowance
    place: Callable[[], str | None] | None


@dataclass(frozen=True, slots=True)
class _Limiter:
    """Holds the request in hand to its allowance."""

    count: _Count
    secret: str
    caller: Callable[[], Caller | None]
    exempt: frozenset[str]
    declared: dict[tuple[str, str], _Declared] = field(default_factory=dict)

    def hold(self) -> None:
        """Count the request in hand. Callers without an address (a local socket) are not held:
        they would all be one.

        Raises:
            TooManyRequestsError: its caller has used the allowance up.
        """
        endpoint, method = request.endpoint, request.method
        if endpoint is None or endpoint in self.exempt or method == "OPTIONS":
            return
        declared = self.declared.get((endpoint, method))
        if declared is None:
            declared = self.declared[endpoint, method] = _declared(endpoint, method)
        allowance = declared.allowance
        caller = None if allowance.is_by_address else self.caller()
        limit = allowance.public
        if caller is not None:
            whose: str | None = caller.id
            if caller.is_staff:
                limit = allowance.staff
        else:
            whose = network_digest(self.secret, request.remote_addr or "")
        hits = [] if whose is None else [_Hit(limit, ("riverain", allowance.name.lower(), whose))]
        if caller is None or not caller.is_staff:
            device = _device()
            if device is not None:
                key = _keyed(self.secret, device)
                hits.append(_Hit(allowance.device, ("riverain", allowance.name.lower(), key)))
        unreadable: HTTPException | None = None
        if declared.place is not None and caller is None:
            try:
                place = declared.place()
            except HTTPException as error:
                # A body that cannot be read is a call like any other.
                unreadable = error
            else:
                if place is not None:
                    hits.append(self._place_hit(place))
        self._hit(hits)
        if unreadable is not None:
            raise unreadable

    def hold_place(self, place: str) -> None:
        """Count the request in hand at a place that was known only after its body was read.

        Raises:
            TooManyRequestsError
        """
        if self.caller() is None:
            self._hit([self._place_hit(place)])

    def _place_hit(self, place: str) -> _Hit:
        return _Hit(PLACE, ("riverain", "place", _keyed(self.secret, place)))

    def _hit(self, hits: Sequence[_Hit]) -> None:
        refused = self.count.hit(hits) if hits else None
        if refused is not None:
            raise _refusal(*refused)


def _wait_s(counter: SlidingWindowCounterRateLimiter, hit: _Hit) -> int:
    reset_at = counter.get_window_stats(hit.limit, *hit.whose).reset_time
    return max(1, int(reset_at - time.time()) + 1)


@functools.lru_cache(maxsize=10_000)
def network_digest(secret: str, address: str) -> str | None:
    """What stands for the network of an address; None for no address."""
    network = network_of(address)
    if network is None:
        return None
    return _keyed(secret, network)


def _keyed(secret: str, text: str) -> str:
    return hashlib.blake2b(
        text.encode(), key=secret.encode()[: hashlib.blake2b.MAX_KEY_SIZE], digest_size=12
    ).hexdigest()


def _device() -> str | None:
    """The device that the caller says it is; None without one, or when it is no UUID."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.startswith(DEVICE_KEY_PREFIX):
        return f"device key {key}"
    given = request.headers.get(DEVICE_HEADER)
    if given is None:
        return None
    try:
        return f"device {uuid.UUID(given)}"
    except ValueError:
        return None


def _declared(endpoint: str, method: str) -> _Declared:
    view: Any = current_app.view_functions[endpoint]
    view_class = getattr(view, "view_class", None)
    if view_class is not None:
        view = getattr(view_class, method.lower(), None)
    given: Allowance | None = getattr(view, "allowance", None)
    if given is None:
        given = Allowance.READ if method in ("GET", "HEAD") else Allowance.WRITE
    return _Declared(given, getattr(view, "place_of", None))


def _refusal(hit: _Hit, wait_s: int) -> TooManyRequestsError:
    """Raised, so that each part of the application answers in its own way: a page, a document."""
    what = "reports of this kind from this place" if hit.limit is PLACE else "calls"
    return TooManyRequestsError(
        f"At most {hit.limit.amount} {what} in {hit.limit.get_expiry()} seconds;"
        f" try again in {wait_s} seconds.",
        retry_after=wait_s,
    )
