"""Work that a program must do before somebody unknown may write. Pure, and stateless.

1. `issue` makes a challenge: an instant after which it is void, how hard it is, a random part, and
   an HMAC over them, so that nothing has to be remembered and nothing in it says whom it was for.
2. The client looks for a nonce with which SHA-256 of `challenge:nonce` begins with so many zero
   bits: by counting up; there is no quicker way.
3. `check` costs one HMAC and one hash. That a challenge is used only once is the caller's business:
   `Solved.id` names it.

It does not tell people from programs. It makes a flood cost its sender something, without a third
party that watches, and without a riddle that shuts out those who do not see or hear well.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

ALGORITHM = "sha-256"

#: Long enough for a slow phone, and for a person who takes a photo meanwhile.
LIFETIME = timedelta(minutes=10)

#: Zero bits asked of somebody who writes now and then: 65,000 hashes on average, a fraction of a
#: second in a browser of 2020 and about one second on a cheap phone.
DIFFICULTY = 16

#: No more is asked even of a flood: 2 million hashes take a cheap phone half a minute.
HARDEST = 21

#: So many challenges within `LIFETIME` cost no more than the first; each time that number doubles,
#: so does the work.
FREE_OF_RISE = 4

#: Longest nonce that is looked at; a counter needs far fewer characters.
MAX_NONCE = 64

_DOMAIN = b"riverain.proof-of-work.v1"
_RANDOM_BYTES, _MAC_BYTES, _TIME_BYTES = 12, 16, 6
_LENGTH = _TIME_BYTES + 1 + _RANDOM_BYTES + _MAC_BYTES


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge as it is given out: `text` has 47 characters of base64url."""

    text: str
    difficulty: int
    expires_at: datetime


@enum.unique
class Fault(enum.StrEnum):
    """Why something is no proof."""

    MISSING = "missing"
    FORGED = "forged"
    EXPIRED = "expired"
    WRONG = "wrong"
    USED = "used"


@dataclass(frozen=True, slots=True)
class Solved:
    """A proof that holds. `id`: names its challenge, for whoever remembers which were used."""

    id: str


def difficulty_after(recent: int) -> int:
    """How hard the next challenge is for somebody who got `recent` of them lately."""
    rise = max(0, (max(recent, 1) - 1) // FREE_OF_RISE).bit_length()
    return min(DIFFICULTY + rise, HARDEST)


def issue(secret: str, *, now: datetime, difficulty: int = DIFFICULTY) -> Challenge:
    """A new challenge of that many zero bits."""
    # Whole seconds, which is what is sealed.
    expires_at = datetime.fromtimestamp(int((now + LIFETIME).timestamp()), UTC)
    body = (
        int(expires_at.timestamp()).to_bytes(_TIME_BYTES)
        + difficulty.to_bytes(1)
        + secrets.token_bytes(_RANDOM_BYTES)
    )
    text = base64.urlsafe_b64encode(body + _mac(secret, body)).rstrip(b"=").decode()
    return Challenge(text, difficulty, expires_at)


def check(secret: str, challenge: str, nonce: str, *, now: datetime) -> Solved | Fault:
    """Whether `nonce` solves `challenge`, and the challenge is ours and in time."""
    opened = _opened(secret, challenge)
    if opened is None:
        return Fault.FORGED
    expires_at, difficulty = opened
    if now.timestamp() >= expires_at:
        return Fault.EXPIRED
    if not 0 < len(nonce) <= MAX_NONCE or not is_solution(challenge, nonce, difficulty):
        return Fault.WRONG
    return Solved(challenge[-22:])


def is_solution(challenge: str, nonce: str, difficulty: int) -> bool:
    """Whether SHA-256 of `challenge:nonce` begins with that many zero bits."""
    digest = hashlib.sha256(f"{challenge}:{nonce}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest) >> (256 - difficulty) == 0


def solve(challenge: str, difficulty: int) -> str:
    """A nonce that solves it, by counting up: what a client does."""
    nonce = 0
    while not is_solution(challenge, str(nonce), difficulty):
        nonce += 1
    return str(nonce)


def _opened(secret: str, challenge: str) -> tuple[int, int] | None:
    """When it is void (seconds since 1970) and how hard it is; None when it is not ours."""
    try:
        raw = base64.urlsafe_b64decode(f"{challenge}{'=' * (-len(challenge) % 4)}".encode("ascii"))
    except ValueError:
        return None
    # Decoders let several texts stand for the same bytes; each would be used once.
    if len(raw) != _LENGTH or base64.urlsafe_b64encode(raw).rstrip(b"=") != challenge.encode():
        return None
    body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(secret, body)):
        return None
    return int.from_bytes(body[:_TIME_BYTES]), body[_TIME_BYTES]


def _mac(secret: str, body: bytes) -> bytes:
    return hmac.digest(secret.encode(), _DOMAIN + body, "sha256")[:_MAC_BYTES]
