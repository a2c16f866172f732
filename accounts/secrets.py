"""Random tokens and how they are recognised without being stored."""

from __future__ import annotations

import hashlib
import secrets

#: Lets a scanner of leaked secrets, and a person, see what a string is.
SESSION_PREFIX = "rvs_"
KEY_PREFIX = "rvk_"


def new_token(prefix: str) -> str:
    """A fresh token: the prefix and 256 random bits."""
    return prefix + secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """What is stored of a token. Plain SHA-256 does: 256 random bits cannot be guessed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
