"""How often one caller may call: declared per route, counted in Redis, open when Redis is away.

1. A view says which allowance it belongs to with `@limited(Allowance.INTAKE)`; without a word, a
   read is `READ` and anything else is `WRITE`. Routes of one allowance share one counter.
2. The counter belongs to the person who signed the call, else to the address it came from; an
   IPv6 network of 64 bits is one caller, because one household or phone has all of it. An address
   is believed from `X-Forwarded-For` only through the proxies that `TRUSTED_PROXIES` counts.
3. One script call to Redis counts and decides (sliding window of two counters).
4. When Redis is away, each process counts for itself and asks again after 1, 2, 4 … 32 seconds:
   nobody is refused whom the shared count would have let through, and nobody waits.

What is kept of an address is a keyed digest, for as long as the window lasts.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import ipaddress
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from flask import Flask, Response, current_app, request
from flask_limiter import ApplicationLimit, Limiter, RateLimitExceeded, RequestLimit
from limits import RateLimitItem
from redis.backoff import NoBackoff
from redis.retry import Retry
from werkzeug.middleware.proxy_fix import ProxyFix

from core.api import problem

View = TypeVar("View", bound=Callable[..., Any])

#: Redis answers in a fraction of a millisecond; whoever waits longer has lost it.
TIMEOUT_S = 0.1


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
    """Declare the allowance of a view; anywhere below `route`."""

    def declare(view: View) -> View:
        @functools.wraps(view)
        def declared(*args: Any, **kwargs: Any) -> Any:
            return view(*args, **kwargs)

        declared.allowance = allowance  # type: ignore[attr-defined]
        return declared  # type: ignore[return-value]

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
    counted = _Counted(secret, caller, frozenset(exempt))
    limiter = Limiter(
        counted.key,
        application_limits=[
            ApplicationLimit(
                limit_provider=counted.limit,
                scope=counted.scope,
                exempt_when=counted.is_exempt,
            )
        ],
        strategy="sliding-window-counter",
        # limits spells Unix sockets its own way.
        storage_uri=f"redis+{redis_url}" if redis_url.startswith("unix://") else redis_url,
        storage_options=cast(
            "dict[str, str | int]",
            {
                "socket_connect_timeout": TIMEOUT_S,
                "socket_timeout": TIMEOUT_S,
                # A second attempt is the next request's.
                "retry": Retry(NoBackoff(), 0),
            },
        ),
        key_prefix="riverain",
        in_memory_fallback_enabled=True,
        swallow_errors=True,
        on_breach=_refusal,
    )
    limiter.init_app(app)
    app.register_error_handler(RateLimitExceeded, _refused)


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
class _Counted:
    """What Flask-Limiter asks about the request in hand."""

    secret: str
    caller: Callable[[], Caller | None]
    exempt: frozenset[str]

    def is_exempt(self) -> bool:
        """Routes that are not counted, and callers without an address (a local socket)."""
        return (
            request.endpoint in self.exempt
            or request.method == "OPTIONS"
            or network_of(request.remote_addr or "") is None
        )

    def scope(self, _endpoint: str) -> str:
        """Which counter."""
        return _allowance().name.lower()

    def key(self) -> str:
        """Whose counter."""
        caller = self._signed()
        if caller is not None:
            return f"person:{caller.id}"
        network = network_of(request.remote_addr or "") or ""
        digest = hashlib.blake2b(network.encode(), key=self.secret.encode()[:64], digest_size=12)
        return f"address:{digest.hexdigest()}"

    def limit(self) -> str:
        """How much it may hold."""
        public, staff = _allowance().value
        caller = self._signed()
        return staff if caller is not None and caller.is_staff else public

    def _signed(self) -> Caller | None:
        return None if _allowance().is_by_address else self.caller()


def _allowance() -> Allowance:
    view: Any = current_app.view_functions.get(request.endpoint or "")
    view_class = getattr(view, "view_class", None)
    if view_class is not None:
        view = getattr(view_class, request.method.lower(), None)
    given: Allowance | None = getattr(view, "allowance", None)
    if given is not None:
        return given
    return Allowance.READ if request.method in ("GET", "HEAD") else Allowance.WRITE


def _refusal(breached: RequestLimit) -> Response:
    """The 429, with the number of seconds after which a call has a chance."""
    return _too_many(breached.limit, max(1, int(breached.reset_at - time.time())))


def _refused(error: RateLimitExceeded) -> Response:
    # Without an answer Redis went away just after it counted; the whole window is long enough.
    if error.response is not None:
        return cast("Response", error.response)
    return _too_many(error.limit.limit, error.limit.limit.get_expiry())


def _too_many(limit: RateLimitItem, wait_s: int) -> Response:
    return problem(
        {
            "type": "urn:riverain:problem:too_many_requests",
            "title": "Too many calls in a short time",
            "status": 429,
            "detail": f"At most {limit}; try again in {wait_s} seconds.",
            "code": "too_many_requests",
            "retry_after": wait_s,
        },
        {"Retry-After": str(wait_s)},
    )
