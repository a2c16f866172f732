"""One-time passwords of a moment (RFC 6238, TOTP over HMAC-SHA-1) and recovery codes. Pure.

SHA-1, six digits and thirty seconds are what every authenticator app can do; RFC 6238 keeps SHA-1
because HMAC does not rest on its collision resistance.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime
from urllib.parse import quote, urlencode

STEP_S = 30
DIGITS = 6

#: Steps before and after the present one whose codes are taken too: clocks of telephones differ
#: (RFC 6238, 5.2).
WINDOW = 1

#: RFC 4226, 4: a shared secret of 160 bits.
SECRET_BYTES = 20

RECOVERY_CODES = 10

#: Letters and digits that are not taken for one another when written down.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_HALF = 5


def step_of(now: datetime) -> int:
    """The time step of an instant."""
    return int(now.timestamp()) // STEP_S


def code_at(key: bytes, step: int) -> str:
    """The code of a time step (RFC 4226, 5.3)."""
    digest = hmac.digest(key, step.to_bytes(8, "big"), hashlib.sha1)
    start = digest[-1] & 0x0F
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}d}"


def matching_step(key: bytes, code: str, now: datetime, *, after: int | None) -> int | None:
    """The step whose code this is, near `now` and later than `after`; None when there is none.

    Every candidate is compared, so that the time taken does not tell which one it was.
    """
    given = code.encode("utf-8", "surrogatepass")
    present = step_of(now)
    found = None
    for step in range(present - WINDOW, present + WINDOW + 1):
        is_right = hmac.compare_digest(code_at(key, step).encode(), given)
        if is_right and (after is None or step > after):
            found = step
    return found


def base32(key: bytes) -> str:
    """The key as people type it into an authenticator app."""
    return base64.b32encode(key).decode().rstrip("=")


def uri(key: bytes, *, issuer: str, account: str) -> str:
    """What the app reads from a QR code (Google's key URI format)."""
    label = f"{quote(issuer, safe='')}:{quote(account, safe='@')}"
    asked = {"secret": base32(key), "issuer": issuer, "digits": DIGITS, "period": STEP_S}
    return f"otpauth://totp/{label}?{urlencode(asked, quote_via=quote)}"


def recovery_code(key: bytes) -> str:
    """Ten characters of 32 random bytes ("abcde-fghjk"): 49 bits, and tries are counted."""
    number = int.from_bytes(key, "big")
    letters = []
    for _ in range(2 * _HALF):
        number, place = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[place])
    code = "".join(letters)
    return f"{code[:_HALF]}-{code[_HALF:]}"


def as_compared(typed: str) -> str:
    """What somebody typed, without the spaces and hyphens that make it readable."""
    return "".join(letter for letter in typed if not letter.isspace() and letter != "-").lower()
