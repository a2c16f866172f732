"""The short secrets in links that people get by message, and how one is checked.

A token is `HMAC-SHA-256(key, purpose, id, version)`. It is made again whenever a link is rendered
and is stored
nowhere: a stolen database or a copied queue opens nothing. Raising the version of a row ends every
link made before. Not for passwords (argon2 in `accounts`), nor for anything that must expire by
itself: a caller that needs an expiry puts it into `version` and compares the clock.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from enum import StrEnum
from uuid import UUID

#: 16 bytes of the 32: 128 bits cannot be guessed, and 22 characters still fit into a text message.
_BYTES = 16

#: Keeps these tokens apart from everything else that is ever signed with the same key.
_DOMAIN = b"riverain.link.v1"


class Purpose(StrEnum):
    """What a link lets its holder do; a token for one purpose opens no other."""

    TRACK = "track"  # read one's report, add words, answer, withdraw; id: the report's
    LEAVE = "leave"  # stop following; id: the follower's
    CONFIRM = "confirm"  # say that an address is one's own; id: the follower's
    WEBHOOK = "webhook"  # sign the calls of a webhook; id: the endpoint's
    SIGN_IN = "sign_in"  # open a session; id: the request's
    INVITATION = "invitation"  # accept a role; id: the invitation's
    ADOPTION = "adoption"  # renew or release; id: the adoption's
    OFFER = "offer"  # take or decline a free place; id: that of the row of the waiting list
    HANDOVER = "handover"  # accept or refuse an asset; id: the hand-over's
    CARE = "care"  # answer that an asset needs care; id: the call's
    HELP = "help"  # answer about a report at one's asset; id: the request's for help
    CLEAR = "clear"  # say whether it is clear; id: that of a campaign's ask, or of its letter
    LEAVE_CAMPAIGNS = "leave_campaigns"  # be told of no campaign; id: the letter's
    CAMPAIGN = "campaign"  # confirm a number of recipients; id: what is confirmed
    CSRF = "csrf"  # show that a form is ours; id: the session's
    SECOND_STEP = "second_step"  # be asked for the second factor only; id: the person's


def token_for(secret: str, purpose: str, row_id: UUID | str, version: int | str) -> str:
    """The token of one purpose, one row and one version: 22 characters, safe in a URL."""
    digest = key_for(secret, purpose, row_id, version)
    return base64.urlsafe_b64encode(digest[:_BYTES]).rstrip(b"=").decode()


def key_for(secret: str, purpose: str, row_id: UUID | str, version: int | str) -> bytes:
    """The 32 bytes that a token is made of, where a whole key is needed."""
    fields = (str(purpose), str(row_id), str(version))
    # Length before value, so that no two different triples can ever join to the same bytes.
    signed = _DOMAIN + b"".join(
        len(raw).to_bytes(4, "big") + raw for raw in (field.encode() for field in fields)
    )
    return mac(secret, signed)


def mac(secret: str, message: bytes) -> bytes:
    """HMAC-SHA-256, 32 bytes.

    Not by `hmac.digest`: that lets go of the interpreter's lock for a microsecond of work, and a
    request among others then waits for its turn again.
    """
    return hmac.new(secret.encode(), message, "sha256").digest()


def code_for(secret: str, purpose: str, row_id: UUID | str, version: int | str) -> str:
    """Six digits for people who type rather than click. Its holder must limit tries and time."""
    digest = token_for(secret, f"{purpose}.code", row_id, version).encode()
    return f"{int.from_bytes(hashlib.sha256(digest).digest()[:8]) % 1_000_000:06d}"


def matches(
    secret: str,
    purpose: str,
    row_id: UUID | str,
    version: int | str,
    token: str | None,
) -> bool:
    """Whether `token` is that one; takes the same time for any wrong one."""
    expected = token_for(secret, purpose, row_id, version).encode()
    # Compared as bytes: compare_digest refuses text outside ASCII, and a stranger may send
    # anything.
    return hmac.compare_digest(expected, (token or "").encode("utf-8", "surrogatepass"))
