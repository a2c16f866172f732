"""Opening and ending sessions.

A session is a random bearer token, stored as its digest. It lasts as long as
`accounts.rules.session_lifetime` says from sign-in on and is not prolonged by use, so that the
`expires_at` a client was given stays true and a read never writes.

`sign_in` puts the steps together: proving who somebody is (`prove_password` here,
`accounts.challenges` for mailed links and codes), showing the second factor, opening the session.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts import audit, lockout, notices, passwords, people, second_factor, sessions
from accounts.actors import Actor
from accounts.errors import (
    FreshProofNeededError,
    OneTimePasswordNeededError,
    SecondFactorOffError,
)
from accounts.models import Person, RoleGrant, SignInSession, SignInWay
from accounts.notices import AccountChange
from accounts.rules import FRESH_PROOF, PERMISSIONS, Role, normal_email, session_lifetime
from accounts.secrets import SESSION_PREFIX, digest, new_token
from core.ids import new_id

#: Ways in that prove a mailbox or number at that very moment: whoever forgot their password has
#: these to make another one. The city's provider is not among them, which people leave.
RECOVERING = frozenset({SignInWay.LINK, SignInWay.CODE})

#: Ways in whose proof is as good as a password that is asked for once more.
WITHOUT_PASSWORD = frozenset(SignInWay) - {SignInWay.PASSWORD}


@dataclass(frozen=True, slots=True)
class Opened:
    """A fresh session; the token is known here and never again."""

    id: UUID
    token: str
    expires_at: datetime


def check_password(
    session: Session,
    email: str,
    password: str,
    *,
    fits: Callable[[str | None, str], bool] = passwords.fits,
) -> Person | None:
    """The person whose address and password these are; None otherwise.

    Costs one hash verification whether or not the account exists, is active or has a password.
    A hash made with older parameters is renewed, in the caller's transaction.
    """
    person = session.scalar(sa.select(Person).where(Person.email == normal_email(email)))
    stored = person.password_hash if person is not None and person.is_active else None
    if not fits(stored, password) or person is None or stored is None:
        return None
    if passwords.is_outdated(stored):
        person.password_hash = passwords.hashed(password)
        session.flush()
    return person


def prove_password(
    session: Session,
    secret: str,
    email: str,
    password: str,
    *,
    fits: Callable[[str | None, str], bool] = passwords.fits,
    now: datetime,
) -> Person | None:
    """The person whose address and password these are; a failure is counted, and must be committed.

    Args:
        fits: compares a stored hash, or None, with a password, and takes as long for None.

    Raises:
        LockedError: too many attempts at that address failed, whether or not somebody has it.
    """
    lockout.check(session, secret, email, now)
    person = check_password(session, email, password, fits=fits)
    if person is None:
        lockout.failed(session, secret, email, now)
    else:
        lockout.succeeded(session, secret, email)
    return person


def sign_in(
    session: Session,
    secret: str,
    prove: Callable[[], Person | None],
    *,
    way: SignInWay,
    otp: str | None = None,
    is_browser: bool = False,
    agent: str | None = None,
    now: datetime,
) -> Opened | None:
    """A session for whoever `prove` proves, once the second factor is shown where one is set up.

    None when a proof was wrong, which was counted: the caller commits, then says 401.

    Args:
        prove: `prove_password`, or one of `accounts.challenges`; runs in the caller's transaction.
        otp: code of the authenticator app, or a recovery code.

    Raises:
        OneTimePasswordNeededError: `otp` is missing. Roll back: the mailed link is not used.
        SecondFactorOffError: `otp` was sent by somebody who has no second factor.
        LockedError: too many attempts failed.
    """
    with session.begin_nested() as proof:
        person = prove()
        person_id = person.id if person is not None else None
        has_factor = person_id is not None and second_factor.is_on(session, person_id)
        if person_id is not None and otp and not has_factor:
            raise SecondFactorOffError("Leave `otp` out.", field="otp")
        if has_factor and not otp:
            raise OneTimePasswordNeededError
        is_shown = not has_factor or (
            person_id is not None
            and otp is not None
            and show_second_factor(session, secret, person_id, otp, now=now)
        )
        if not is_shown:
            # A mailed link is not used up by a mistyped code, which is counted all the same.
            proof.rollback()
    if not is_shown and person_id is not None:
        lockout.failed(session, secret, lockout.second_factor_of(person_id), now)
        return None
    if person_id is None:
        return None
    return open_session(
        session,
        person_id,
        way=way,
        has_second_factor=has_factor,
        is_browser=is_browser,
        agent=agent,
        now=now,
    )


def show_second_factor(
    session: Session, secret: str, person_id: UUID, otp: str, *, now: datetime
) -> bool:
    """Whether that is somebody's second factor; the caller counts what was wrong.

    Raises:
        LockedError: too many codes of theirs were wrong.
    """
    subject = lockout.second_factor_of(person_id)
    lockout.check(session, secret, subject, now)
    if not second_factor.check(session, secret, person_id, otp, now):
        return False
    lockout.succeeded(session, secret, subject)
    return True


def prove_again(
    session: Session,
    secret: str,
    person: Person,
    *,
    password: str | None = None,
    otp: str | None = None,
    now: datetime,
) -> bool:
    """Whether somebody who is signed in has shown their password or second factor once more.

    What was wrong is counted: the caller commits, then refuses.

    Raises:
        LockedError: too many attempts failed.
    """
    if otp is not None:
        if show_second_factor(session, secret, person.id, otp, now=now):
            return True
        lockout.failed(session, secret, lockout.second_factor_of(person.id), now)
        return False
    subject = person.email or str(person.id)
    lockout.check(session, secret, subject, now)
    if not passwords.fits(person.password_hash, password or ""):
        lockout.failed(session, secret, subject, now)
        return False
    lockout.succeeded(session, secret, subject)
    return True


def prove_freshly(
    session: Session, secret: str, actor: Actor, *, password: str | None, now: datetime
) -> bool:
    """Whether the actor sends their password, or has signed in without one a moment ago.

    A wrong password is counted: the caller commits, then refuses.

    Raises:
        FreshProofNeededError: neither.
        LockedError: too many attempts failed.
    """
    if password is not None:
        person = session.get_one(Person, actor.person_id)
        return prove_again(session, secret, person, password=password, now=now)
    if not is_fresh(session, actor, WITHOUT_PASSWORD, now=now):
        raise FreshProofNeededError
    return True


def is_fresh(session: Session, actor: Actor, ways: Collection[SignInWay], *, now: datetime) -> bool:
    """Whether the actor's session was opened a moment ago, in one of these ways."""
    return bool(
        session.scalar(
            sa.select(
                sa.exists().where(
                    SignInSession.id == actor.session_id,
                    SignInSession.way.in_([way.value for way in ways]),
                    SignInSession.created_at > now - FRESH_PROOF,
                )
            )
        )
    )


def change_password(
    session: Session,
    secret: str,
    actor: Actor,
    *,
    current: str | None,
    new: str,
    now: datetime,
) -> bool:
    """Give the actor another password, or a first one, and end their other sessions.

    `current` may be missing where there is none yet, and in a session that was opened by link or
    code a moment ago: its holder forgot it. False when it is wrong, which was counted: the caller
    commits, then refuses.

    Raises:
        WeakPasswordError: see `accounts.passwords.check_strength`.
        LockedError: too many attempts failed.
    """
    person = session.get_one(Person, actor.person_id, with_for_update=True, populate_existing=True)
    passwords.check_strength(
        new, person.email or "", about=people.words_about(session, person.id), field="new"
    )
    is_needless = person.password_hash is None or (
        current is None and is_fresh(session, actor, RECOVERING, now=now)
    )
    if not is_needless and not prove_again(
        session, secret, person, password=current or "", now=now
    ):
        return False
    person.password_hash = passwords.hashed(new)
    person.password_changed_at = now
    session.flush()
    sessions.end_others(session, actor, now=now)
    notices.tell(session, person.id, AccountChange.PASSWORD)
    audit.record(
        session,
        actor,
        audit.Action.PASSWORD_CHANGED,
        audit.Subject("person", person.id),
        now=now,
    )
    return True


def open_session(
    session: Session,
    person_id: UUID,
    *,
    way: SignInWay,
    has_second_factor: bool,
    is_browser: bool = False,
    agent: str | None = None,
    now: datetime,
) -> Opened:
    """A session for somebody who proved who they are.

    Args:
        has_second_factor: whether a one-time password or recovery code was shown as well.
        is_browser: whether the token will travel in a cookie, and is worth nothing elsewhere.
        agent: the kind of device (`accounts.browsers.kind_of`), for the person's own list.
    """
    roles = [
        Role(role)
        for role in session.scalars(
            sa.select(RoleGrant.role).where(RoleGrant.person_id == person_id)
        )
    ]
    opened = Opened(
        id=new_id(),
        token=new_token(SESSION_PREFIX),
        expires_at=now + session_lifetime(roles),
    )
    session.add(
        SignInSession(
            id=opened.id,
            person_id=person_id,
            token_hash=digest(opened.token),
            created_at=now,
            expires_at=opened.expires_at,
            way=way.value,
            has_second_factor=has_second_factor,
            is_browser=is_browser,
            agent=agent,
            last_seen_at=now,
        )
    )
    session.flush()
    if any(PERMISSIONS[role] for role in roles):
        # When citizens come and go is nobody's business.
        audit.record(
            session,
            Actor(person_id=person_id, session_id=opened.id),
            audit.Action.SIGNED_IN,
            audit.Subject("session", opened.id),
            now=now,
            data={"way": way.value, "second_factor": has_second_factor},
        )
    return opened


def end_session(session: Session, session_id: UUID, *, now: datetime) -> None:
    """End a session; its token is worth nothing from now on."""
    session.execute(
        sa.update(SignInSession)
        .where(SignInSession.id == session_id, SignInSession.revoked_at.is_(None))
        .values(revoked_at=now)
    )
