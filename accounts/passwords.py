"""Password hashes: Argon2id with the parameters of argon2-cffi (RFC 9106, second choice).

An unknown account costs one verification like a known one, so that the time of an answer does not
tell which addresses have an account.
"""

from __future__ import annotations

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from accounts.rules import normal_password

_hasher = PasswordHasher()

#: Each verification takes 64 MiB; more at once than this wait, so that a flood of sign-ins costs
#: time and not the machine's memory.
_slots = threading.BoundedSemaphore(2)

#: Stands in for the hash of an account that does not exist or has no password. A test holds it to
#: the parameters in force.
NOBODYS_HASH = (
    "$argon2id$v=19$m=65536,t=3,p=4$Ykpu2aOxFztT/zaxwiBDZg"
    "$BvJeJlGnt0Ms5GkTrvetFQb4FdMkxNaTLkIoYpGod60"
)


def hashed(password: str) -> str:
    """What is stored of a password."""
    with _slots:
        return _hasher.hash(normal_password(password).encode("utf-8", "surrogatepass"))


def fits(stored: str | None, password: str) -> bool:
    """Whether the password is the one that `stored` was made of; False, as slowly, for None."""
    with _slots:
        try:
            _hasher.verify(
                stored or NOBODYS_HASH, normal_password(password).encode("utf-8", "surrogatepass")
            )
        except (VerificationError, InvalidHashError):
            return False
    return stored is not None


def is_outdated(stored: str) -> bool:
    """Whether a hash was made with other parameters than those in force."""
    return _hasher.check_needs_rehash(stored)
