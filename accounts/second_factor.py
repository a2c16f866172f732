"""A person's second factor: one-time passwords of an authenticator app, and recovery codes.

1. `start` makes a new secret, which replaces any that was not confirmed.
2. `confirm` takes a first code from the app: from then on the factor is in force, and the recovery
   codes are shown, once.
3. `check` takes a code at sign-in: one of the app, each once, or a recovery code, each once.
4. `turn_off` ends it. The next secret is another one, because it is derived from the version.

Secret and codes are derived from the key of the installation, the person and a version; a copy of
the database opens nothing. Tries are counted by `accounts.lockout`, by those who call `check`.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from accounts import notices, one_time
from accounts.errors import SecondFactorOffError, SecondFactorOnError
from accounts.models import Person, SecondFactor, SignInSession
from accounts.notices import AccountChange
from accounts.rules import SECOND_FACTOR_SETUP
from core.tokens import key_for

#: Kinds of key, kept apart by `core.tokens`.
_SECRET = "second_factor.secret"
_RECOVERY = "second_factor.recovery"

#: What the authenticator app shows above the code.
ISSUER = "Riverain"


@dataclass(frozen=True, slots=True)
class Setup:
    """What an authenticator app needs: as a link or QR code, or typed."""

    uri: str
    secret_base32: str


@dataclass(frozen=True, slots=True)
class State:
    """Where somebody's second factor stands."""

    is_on: bool
    confirmed_at: datetime | None
    recovery_codes_left: int


def is_on(session: Session, person_id: UUID) -> bool:
    """Whether signing in takes a second factor."""
    return state(session, person_id).is_on


def state(session: Session, person_id: UUID) -> State:
    """Where somebody's second factor stands."""
    row = session.execute(
        sa.select(SecondFactor.confirmed_at, SecondFactor.recovery_used).where(
            SecondFactor.person_id == person_id, SecondFactor.confirmed_at.is_not(None)
        )
    ).one_or_none()
    if row is None:
        return State(is_on=False, confirmed_at=None, recovery_codes_left=0)
    return State(True, row.confirmed_at, one_time.RECOVERY_CODES - len(row.recovery_used))


def start(session: Session, secret: str, person_id: UUID, now: datetime) -> Setup:
    """A new secret for the app; not in force before `confirm`.

    Raises:
        SecondFactorOnError: one is in force; it must be turned off first.
    """
    session.execute(
        postgresql.insert(SecondFactor)
        .values(person_id=person_id, started_at=now, version=0)
        .on_conflict_do_nothing()
    )
    row = _locked(session, person_id)
    assert row is not None
    if row.confirmed_at is not None:
        raise SecondFactorOnError
    row.version += 1
    row.started_at = now
    row.last_step = None
    session.flush()
    return _setup(session, secret, row)


def pending(session: Session, secret: str, person_id: UUID, now: datetime) -> Setup | None:
    """What is being set up, shown again after a mistyped code; None when nothing is."""
    row = _locked(session, person_id)
    if row is None or row.confirmed_at is not None:
        return None
    return _setup(session, secret, row) if row.started_at > now - SECOND_FACTOR_SETUP else None


def confirm(
    session: Session,
    secret: str,
    person_id: UUID,
    code: str,
    now: datetime,
    *,
    session_id: UUID | None = None,
) -> list[str] | None:
    """Put the factor in force with a first code; the recovery codes, or None for a wrong code.

    Args:
        session_id: the session in which the code was given: it has the second factor from now on,
            and the person's other sessions, which were opened without one, end.

    Raises:
        SecondFactorOffError: nothing was started, or too long ago.
        SecondFactorOnError: it is in force already.
    """
    row = _locked(session, person_id)
    if row is not None and row.confirmed_at is not None:
        raise SecondFactorOnError
    if row is None or row.started_at <= now - SECOND_FACTOR_SETUP:
        raise SecondFactorOffError("Nothing is being set up; start again.")
    step = one_time.matching_step(
        _key(secret, row), one_time.as_compared(code), now, after=row.last_step
    )
    if step is None:
        return None
    row.confirmed_at = now
    row.last_step = step
    row.recovery_version += 1
    row.recovery_used = []
    session.flush()
    if session_id is not None:
        mark_session(session, session_id)
        session.execute(
            sa.update(SignInSession)
            .where(
                SignInSession.person_id == person_id,
                SignInSession.id != session_id,
                SignInSession.revoked_at.is_(None),
            )
            .values(revoked_at=now)
        )
    notices.tell(session, person_id, AccountChange.FACTOR_ON)
    return _recovery_codes(secret, row)


def check(session: Session, secret: str, person_id: UUID, code: str, now: datetime) -> bool:
    """Whether that is a code of the app or a recovery code that was not used yet; it is now."""
    row = _locked(session, person_id)
    if row is None or row.confirmed_at is None:
        return False
    typed = one_time.as_compared(code)
    step = one_time.matching_step(_key(secret, row), typed, now, after=row.last_step)
    recovery = _matching_recovery(secret, row, typed)
    if step is not None:
        row.last_step = step
    elif recovery is not None:
        row.recovery_used = [*row.recovery_used, recovery]
    else:
        return False
    session.flush()
    return True


def renew_recovery_codes(session: Session, secret: str, person_id: UUID) -> list[str]:
    """New recovery codes; those of before are worth nothing. The app's secret stays.

    Raises:
        SecondFactorOffError: no second factor is in force.
    """
    row = _locked(session, person_id)
    if row is None or row.confirmed_at is None:
        raise SecondFactorOffError
    row.recovery_version += 1
    row.recovery_used = []
    session.flush()
    notices.tell(session, person_id, AccountChange.RECOVERY_CODES)
    return _recovery_codes(secret, row)


def turn_off(session: Session, person_id: UUID) -> bool:
    """End the second factor, and what it opened where a city demands one; False: it was off."""
    row = _locked(session, person_id)
    if row is None:
        return False
    was_on = row.confirmed_at is not None
    row.confirmed_at = None
    # The secret that was in force, or was being set up, is nobody's any more.
    row.version += 1
    session.flush()
    session.execute(
        sa.update(SignInSession)
        .where(SignInSession.person_id == person_id, SignInSession.has_second_factor)
        .values(has_second_factor=False)
    )
    if was_on:
        notices.tell(session, person_id, AccountChange.FACTOR_OFF)
    return was_on


def mark_session(session: Session, session_id: UUID) -> None:
    """Note that the second factor was shown in a session that is open already."""
    session.execute(
        sa.update(SignInSession)
        .where(SignInSession.id == session_id)
        .values(has_second_factor=True)
    )


def _locked(session: Session, person_id: UUID) -> SecondFactor | None:
    """The row, held: two who send the same code at once must not both be let in."""
    return session.scalar(
        sa.select(SecondFactor)
        .where(SecondFactor.person_id == person_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def _setup(session: Session, secret: str, row: SecondFactor) -> Setup:
    email, phone = session.execute(
        sa.select(Person.email, Person.phone).where(Person.id == row.person_id)
    ).one()
    key = _key(secret, row)
    return Setup(
        uri=one_time.uri(key, issuer=ISSUER, account=email or phone or str(row.person_id)),
        secret_base32=one_time.base32(key),
    )


def _key(secret: str, row: SecondFactor) -> bytes:
    return key_for(secret, _SECRET, row.person_id, row.version)[: one_time.SECRET_BYTES]


def _recovery_codes(secret: str, row: SecondFactor) -> list[str]:
    return [
        one_time.recovery_code(
            key_for(secret, _RECOVERY, row.person_id, f"{row.recovery_version}.{number}")
        )
        for number in range(one_time.RECOVERY_CODES)
    ]


def _matching_recovery(secret: str, row: SecondFactor, typed: str) -> int | None:
    given = typed.encode("utf-8", "surrogatepass")
    found = None
    for number, code in enumerate(_recovery_codes(secret, row)):
        is_right = hmac.compare_digest(one_time.as_compared(code).encode(), given)
        if is_right and number not in row.recovery_used:
            found = number
    return found
