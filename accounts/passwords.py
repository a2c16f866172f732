"""Password hashes: Argon2id with the parameters of argon2-cffi (RFC 9106, second choice).

An unknown account costs one verification like a known one, so that the time of an answer does not
tell which addresses have an account.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from accounts.common_passwords import is_common
from accounts.errors import WeakPasswordError
from accounts.rules import (
    PASSWORD_MAX,
    PASSWORD_MIN,
    PasswordFault,
    normal_password,
    password_fault,
)

_hasher = PasswordHasher()

_FAULTS = {
    PasswordFault.TOO_SHORT: f"The password must have at least {PASSWORD_MIN} characters.",
    PasswordFault.TOO_LONG: f"The password may have at most {PASSWORD_MAX} characters.",
    PasswordFault.TOO_SIMPLE: "The password repeats a few characters; choose another one.",
    PasswordFault.LIKE_THE_ADDRESS: "The password must not be the e-mail address.",
    PasswordFault.COMMON: "This password is among those that are tried first; choose another one.",
    PasswordFault.ABOUT_THE_PERSON: (
        "The password is little more than your name, your address or your city."
    ),
}

#: Each verification takes 64 MiB; more at once than this wait, so that a flood of sign-ins costs
#: time and not the machine's memory.
_slots = threading.BoundedSemaphore(2)

#: Stands in for the hash of an account that does not exist or has no password. A test holds it to
#: the parameters in force.
NOBODYS_HASH = (
    "$argon2id$v=19$m=65536,t=3,p=4$Ykpu2aOxFztT/zaxwiBDZg"
    "$BvJeJlGnt0Ms5GkTrvetFQb4FdMkxNaTLkIoYpGod60"
)


def check_strength(
    password: str, email: str, *, about: Iterable[str] = (), field: str = "password"
) -> None:
    """Refuse a password that can be guessed.

    Args:
        about: what a stranger knows of the person: the name, the city.
        field: of the payload it came in.

    Raises:
        WeakPasswordError: too short, too long, too simple, common, or about the person.
    """
    fault = password_fault(password, email, about=about)
    if fault is None and is_common(password):
        fault = PasswordFault.COMMON
    if fault is not None:
        raise WeakPasswordError(_FAULTS[fault], field=field, reason=fault.value)


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
