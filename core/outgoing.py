"""The one door for HTTP calls to servers whose address somebody else chose.

Webhook endpoints, push services, gateways: their URLs come from people, so a call must not be a way
into the city's own network. A call here

1. takes `http` and `https` only, no credentials in the URL, and follows no redirect;
2. resolves the name once, refuses it when *any* of its addresses is not a public one, unless the
   host or its network stands in the `OUTGOING_ALLOW` setting;
3. connects to exactly the address it checked (TLS still verifies the name), so that a second DNS
   answer cannot move the call elsewhere;
4. has a deadline for the whole exchange and a cap on what it reads.

It classes nothing as "retry" or "give up": that is the caller's business. Never used while a
transaction is open.
"""

from __future__ import annotations

import functools
import http.client
import io
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

#: A provider that has not answered by then will not be waited for; retries are cheap, stuck workers
#: are not.
DEFAULT_TIMEOUT_S = 10.0

#: Answers are read for their status and a short id; nobody's essay is needed.
DEFAULT_MAX_BYTES = 64 * 1024

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
#: The three that `ipaddress` calls global and that still lead inside or nowhere (RFC 6052, 3068,
#: 2544).
_NEVER = tuple(
    ipaddress.ip_network(text) for text in ("64:ff9b:1::/48", "192.88.99.0/24", "198.18.0.0/15")
)


class OutgoingError(Exception):
    """A call that gave no answer. The text names a kind of failure, never an address or secret."""


class OutgoingRefusedError(OutgoingError):
    """We do not call this URL: wrong scheme, credentials inside, or an address not public."""


class OutgoingUnreachableError(OutgoingError):
    """Nobody answered: unknown name, refused connection, broken line, or out of time."""


class OutgoingTLSError(OutgoingError):
    """The server answered but could not prove that it is who it says."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """Hosts and networks inside which calls are allowed although they are not public."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[IPNetwork, ...] = ()

    @classmethod
    def parse(cls, entries: str | Iterable[str] | None) -> Self:
        """From the setting: names, addresses or networks, as a list or separated by commas or
        spaces.

        Raises:
            ValueError: an entry with a slash that is no network.
        """
        if entries is None:
            words: list[str] = []
        elif isinstance(entries, str):
            words = entries.replace(",", " ").split()
        else:
            words = list(entries)
        hosts: set[str] = set()
        networks: list[IPNetwork] = []
        for word in words:
            try:
                networks.append(ipaddress.ip_network(word.strip("[]"), strict=False))
            except ValueError:
                if "/" in word:
                    raise
                hosts.add(word.lower().rstrip("."))
        return cls(frozenset(hosts), tuple(networks))

    def names(self, host: str) -> bool:
        """Whether the operator named that host, or the network it is the address of."""
        try:
            return self.covers(host, ipaddress.ip_address(host))
        except ValueError:
            return host.lower().rstrip(".") in self.hosts

    def covers(self, host: str, address: IPAddress) -> bool:
        """Whether a call to that host at that address is allowed although it is not public."""
        return host.lower().rstrip(".") in self.hosts or any(
            address.version == network.version and address in network for network in self.networks
        )


NOTHING_ALLOWED = Allowance()


def is_public(address: IPAddress) -> bool:
    """Whether an address belongs to the world outside (RFC 6890 registries)."""
    if isinstance(address, ipaddress.IPv6Address):
        # An IPv4 address can hide inside an IPv6 one in four ways; the hidden one is what would be
        # reached.
        hidden = address.ipv4_mapped or address.sixtofour
        if hidden is None and address.teredo is not None:
            hidden = address.teredo[1]
        if hidden is None and address in _NAT64:
            hidden = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if hidden is not None:
            return is_public(hidden)
    if any(address.version == net.version and address in net for net in _NEVER):
        return False
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said: status, headers (names in lower case), the first bytes of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after_s(self) -> int | None:
        """Seconds of a `Retry-After` header given as a number; None for a date or none."""
        value = self.headers.get("retry-after", "").strip()
        return int(value) if value.isascii() and value.isdigit() else None


@dataclass(frozen=True, slots=True)
class _Target:
    scheme: str
    host: str
    port: int
    path: str
    address: str


class _Line:
    """A socket whose every wait ends at one deadline: the system's own timeout starts again at each
    packet.

    Offers what `http.client` uses of a socket and nothing more.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.deadline = 0.0

    def left_s(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self.left_s())
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        # The socket's own file keeps it open until the answer is read, as http.client expects.
        return io.BufferedReader(_Incoming(self, self._sock.makefile("rb", buffering=0)))

    def settimeout(self, seconds: float) -> None:
        self._sock.settimeout(seconds)

    def close(self) -> None:
        self._sock.close()


class _Incoming(io.RawIOBase):
    def __init__(self, line: _Line, raw: io.IOBase) -> None:
        self._line = line
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]
        self._line.settimeout(self._line.left_s())
        return self._raw.readinto(buffer)  # type: ignore[attr-defined,no-any-return]

    def close(self) -> None:
        self._raw.close()
        super().close()


@dataclass(slots=True)
class Outgoing:
    """Makes calls and keeps connections open between them: close it after a batch."""

    allow: Allowance = NOTHING_ALLOWED
    timeout_s: float = DEFAULT_TIMEOUT_S
    max_bytes: int = DEFAULT_MAX_BYTES
    user_agent: str = "Riverain"
    _kept: dict[tuple[str, str, int, str], tuple[http.client.HTTPConnection, _Line]] = field(
        default_factory=dict, repr=False
    )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        for connection, _ in self._kept.values():
            connection.close()
        self._kept.clear()

    def post(self, url: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        """`POST` and wait for the answer.

        Raises:
            OutgoingRefusedError: the URL or the address behind it is not one we call.
            OutgoingTLSError: the certificate does not hold.
            OutgoingUnreachableError: no answer in time.
        """
        return self.request("POST", url, body=body, headers=headers)

    def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Any method; raises as `post` does."""
        target = resolve(url, self.allow)
        # Compressed answers are not asked for: a small body could inflate past the cap.
        sent = {"User-Agent": self.user_agent, **(headers or {}), "Accept-Encoding": "identity"}
        deadline = time.monotonic() + self.timeout_s
        try:
            return self._exchange(target, method, body, sent, deadline)
        except ssl.SSLCertVerificationError as error:
            raise OutgoingTLSError("certificate") from error
        except TimeoutError as error:
            raise OutgoingUnreachableError("timeout") from error
        except ConnectionRefusedError as error:
            raise OutgoingUnreachableError("refused") from error
        except (OSError, http.client.HTTPException) as error:
            raise OutgoingUnreachableError("broken") from error

    def _exchange(
        self,
        target: _Target,
        method: str,
        body: bytes | None,
        headers: Mapping[str, str],
        deadline: float,
    ) -> Answer:
        key = (target.scheme, target.host, target.port, target.address)
        kept = self._kept.pop(key, None)
        if kept is not None:
            try:
                return self._ask(key, kept, target.path, method, body, headers, deadline)
            except (http.client.RemoteDisconnected, ConnectionError):
                # The other side closed it while it lay idle: not a failure, take a new one.
                kept[0].close()
        fresh = self._connect(target, deadline)
        return self._ask(key, fresh, target.path, method, body, headers, deadline)

    def _connect(
        self, target: _Target, deadline: float
    ) -> tuple[http.client.HTTPConnection, _Line]:
        sock = socket.create_connection(
            (target.address, target.port), timeout=max(0.001, deadline - time.monotonic())
        )
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if target.scheme == "https":
                # Verifies the name that was asked for, over the address that was checked.
                sock = _trust().wrap_socket(sock, server_hostname=target.host)
        except BaseException:
            sock.close()
            raise
        line = _Line(sock)
        kind = (
            http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
        )
        # Never dials by itself: it would resolve the name a second time.
        connection = kind(target.host, target.port)
        connection.auto_open = 0
        connection.sock = line
        return connection, line

    def _ask(
        self,
        key: tuple[str, str, int, str],
        kept: tuple[http.client.HTTPConnection, _Line],
        path: str,
        method: str,
        body: bytes | None,
        headers: Mapping[str, str],
        deadline: float,
    ) -> Answer:
        connection, line = kept
        line.deadline = deadline
        try:
            connection.request(method, path, body=body, headers=dict(headers))
            with connection.getresponse() as response:
                received = response.read(self.max_bytes)
                # One that has more to say is cut off, not drained.
                is_whole = response.isclosed() or response.read(1) == b""
                may_stay = is_whole and not response.will_close
                answer = Answer(
                    status=response.status,
                    headers={name.lower(): value for name, value in response.getheaders()},
                    body=received,
                )
        except BaseException:
            connection.close()
            raise
        if may_stay:
            self._kept[key] = kept
        else:
            connection.close()
        return answer


@functools.cache
def _trust() -> ssl.SSLContext:
    """The system's certificates, or those `SSL_CERT_FILE` names; made once, it takes 20 ms."""
    return ssl.create_default_context()


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str] | None = None,
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    allow: Allowance = NOTHING_ALLOWED,
) -> Answer:
    """One call on its own connection; raises as `Outgoing.post` does."""
    with Outgoing(allow=allow, timeout_s=timeout_s) as outgoing:
        return outgoing.post(url, body, headers)


def check_url(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port and path with query of a URL that may be called as far as its text tells.

    For the moment a person types a URL: the address behind the name is checked at each call.

    Raises:
        OutgoingRefusedError: wrong scheme, no host, bad port, credentials, or control characters.
    """
    if any(ord(char) <= 0x20 or ord(char) == 0x7F or char == "\\" for char in url):
        raise OutgoingRefusedError("characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise OutgoingRefusedError("malformed") from error
    if parts.scheme not in ("http", "https"):
        raise OutgoingRefusedError("scheme")
    if parts.username is not None or parts.password is not None:
        raise OutgoingRefusedError("credentials")
    if not parts.hostname:
        raise OutgoingRefusedError("host")
    try:
        # Names in other scripts travel in their ASCII form; an address passes through unchanged.
        host = parts.hostname if ":" in parts.hostname else _ascii(parts.hostname)
    except UnicodeError as error:
        raise OutgoingRefusedError("host") from error
    path = parts.path or "/"
    if parts.query:
        path = f"{path}?{parts.query}"
    return parts.scheme, host, port or (443 if parts.scheme == "https" else 80), path


def resolve(url: str, allow: Allowance = NOTHING_ALLOWED) -> _Target:
    """Where a call to `url` goes: the one address that was checked.

    Name resolution has the operating system's own limit (seconds), not ours.

    Raises:
        OutgoingRefusedError: some address of the name is not public and not allowed.
        OutgoingUnreachableError: the name has no address.
    """
    scheme, host, port, path = check_url(url)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise OutgoingUnreachableError("name") from error
    addresses: list[str] = []
    for *_, where in found:
        text = str(where[0])
        address = ipaddress.ip_address(text.partition("%")[0])
        if not is_public(address) and not allow.covers(host, address):
            raise OutgoingRefusedError("private_address")
        addresses.append(text)
    if not addresses:
        raise OutgoingUnreachableError("name")
    return _Target(scheme, host, port, path, addresses[0])


def _ascii(host: str) -> str:
    return host if host.isascii() else host.encode("idna").decode("ascii")
