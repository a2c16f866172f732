"""Failed sign-ins: after a few, an address has to wait, and longer each time.

1. `check` comes first. While the address is locked it raises, and nothing is compared: not even
   the right password is taken. The mailed link, which cannot be guessed, still works.
2. `failed` counts, in the caller's transaction, which must commit although the sign-in failed.
3. `succeeded` forgets.

An address is counted the same whether or not somebody has it, so that neither the answer nor its
time tells. What is stored is a keyed digest. PostgreSQL keeps the count: a restart, or Redis being
away, sets nobody free.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from accounts.errors import LockedError
from accounts.models import SignInFailure
from accounts.rules import FAILURES_KEPT, lock_after, normal_email


def second_factor_of(person_id: UUID) -> str:
    """What stands for somebody's second factor: its failures are counted apart.

    Whoever has the mailbox or the password has not got the second factor, and must not guess it.
    """
    return f"second factor of {person_id}"


def check(session: Session, secret: str, email: str, now: datetime) -> None:
    """Let pass, or refuse, an attempt at that address (or `second_factor_of` somebody).

    Attempts at one address come after one another, until the transaction ends: a hundred at once
    are counted like a hundred in a row.

    Raises:
        LockedError: too many failed, and the wait is not over.
    """
    subject = _digest(secret, email)
    # Looked at first without waiting, so that a flood at a locked address holds up nobody.
    _refuse_if_locked(session, subject, now)
    session.execute(
        sa.select(sa.func.pg_advisory_xact_lock(int.from_bytes(subject[:8], "big", signed=True)))
    )
    _refuse_if_locked(session, subject, now)


def failed(session: Session, secret: str, email: str, now: datetime) -> None:
    """Count a failure; from the fifth in a row on, each locks for longer."""
    subject = _digest(secret, email)
    is_old = SignInFailure.last_at <= now - FAILURES_KEPT
    failures = session.scalar(
        postgresql.insert(SignInFailure)
        .values(subject=subject, failures=1, last_at=now)
        .on_conflict_do_update(
            index_elements=["subject"],
            set_={
                "failures": sa.case((is_old, 1), else_=SignInFailure.failures + 1),
                "last_at": now,
                "locked_until": None,
            },
        )
        .returning(SignInFailure.failures)
    )
    assert failures is not None
    wait = lock_after(failures)
    if wait is not None:
        session.execute(
            sa.update(SignInFailure)
            .where(SignInFailure.subject == subject)
            .values(locked_until=now + wait)
            .execution_options(synchronize_session=False)
        )


def succeeded(session: Session, secret: str, email: str) -> None:
    """Forget the failures of an address."""
    session.execute(
        sa.delete(SignInFailure)
        .where(SignInFailure.subject == _digest(secret, email))
        .execution_options(synchronize_session=False)
    )


def forget_old(session: Session, *, now: datetime) -> int:
    """Delete what no longer counts; called by the beat. How many."""
    gone = session.execute(
        sa.delete(SignInFailure)
        .where(SignInFailure.last_at <= now - FAILURES_KEPT)
        .returning(SignInFailure.last_at)
        .execution_options(synchronize_session=False)
    )
    return len(gone.all())


def _refuse_if_locked(session: Session, subject: bytes, now: datetime) -> None:
    until = session.scalar(
        sa.select(SignInFailure.locked_until).where(SignInFailure.subject == subject)
    )
    if until is not None and until > now:
        wait_s = math.ceil((until - now).total_seconds())
        raise LockedError(f"Try again in {wait_s} seconds.", retry_after=wait_s)


def _digest(secret: str, subject: str) -> bytes:
    text = normal_email(subject).encode("utf-8", "surrogatepass")
    return hmac.digest(secret.encode(), b"riverain.lockout.v1\0" + text, hashlib.sha256)
