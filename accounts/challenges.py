"""Proving an address or a number: a link or a six-digit code, sent there, answered once.

1. `ask` stores a challenge and emits `sign_in.asked`; `ask_contact` one that adds a contact to
   somebody's account, and emits `contact.asked`. Notifications render `link_token` and `code` into
   the message. Neither is stored: both are derived from the challenge's id.
2. `answer_link`, `answer_code` and `answer_contact` count each wrong answer, so they return None
   instead of raising: an error would roll the count back. The caller commits, then says no.
   Challenges are kept for a day at least, because wrong codes are counted over a day.
3. A right answer uses the challenge up. To sign in it gives the person, who is created at the first
   proof; what a proof of a new contact does stands in `accounts.me.contacts`.

Any contact may ask, known or not, and the answer is the same: it tells nobody who has an account.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts import people
from accounts.contact_rules import ContactKind, ContactPoint
from accounts.events import CONTACT_ASKED, SIGN_IN_ASKED
from accounts.models import ChallengePurpose, Person, SignInChallenge
from accounts.rules import (
    CHALLENGE_LIFETIME,
    CHALLENGE_TRIES,
    LINKS_PER_HOUR,
    WRONG_CODES_PER_DAY,
)
from core.ids import new_id
from core.outbox import emit
from core.tokens import Purpose, code_for, matches, token_for

#: A challenge is answered once, so its tokens never need a second version.
_VERSION = 1


def ask(
    session: Session,
    to: ContactPoint,
    *,
    jurisdiction_id: int | None,
    locale: str | None,
    now: datetime,
) -> UUID | None:
    """Have a link and a code sent there to sign in with; the id of the challenge.

    None when nothing will be sent: there were too many already, or its person is deactivated. The
    asker must not be told.
    """
    is_flooded = _is_flooded(session, to, now)
    known = session.execute(
        sa.select(Person.is_active, Person.locale).where(_column(Person, to.kind) == to.value)
    ).one_or_none()
    if is_flooded or (known is not None and not known.is_active):
        return None
    challenge = _challenge(to, ChallengePurpose.SIGN_IN, jurisdiction_id, now)
    challenge.locale = (known.locale if known is not None else None) or locale
    session.add(challenge)
    session.flush()
    emit(session, SIGN_IN_ASKED, challenge.id, jurisdiction_id=jurisdiction_id)
    return challenge.id


def ask_contact(
    session: Session,
    person: Person,
    to: ContactPoint,
    *,
    jurisdiction_id: int | None,
    locale: str | None,
    now: datetime,
) -> UUID:
    """Have a code sent to a contact that somebody wants to add, and word to those they have.

    The id of the challenge. When too many were sent there already, nothing is sent and the id is
    nobody's: it must not be told that somebody else asked for it.
    """
    if _is_flooded(session, to, now):
        return new_id()
    challenge = _challenge(to, ChallengePurpose.CONTACT, jurisdiction_id, now)
    challenge.person_id = person.id
    challenge.locale = person.locale or locale
    # The word to the old contact may be delayed until the account has it no more.
    challenge.old_email, challenge.old_phone = person.email, person.phone
    session.add(challenge)
    session.flush()
    emit(
        session,
        CONTACT_ASKED,
        challenge.id,
        jurisdiction_id=jurisdiction_id,
        challenge_id=str(challenge.id),
    )
    return challenge.id


def asked_lately(session: Session, person_id: UUID, since: datetime) -> Sequence[datetime]:
    """When somebody asked for proofs of new contacts since then, oldest first."""
    return session.scalars(
        sa.select(SignInChallenge.created_at)
        .where(SignInChallenge.person_id == person_id, SignInChallenge.created_at > since)
        .order_by(SignInChallenge.created_at)
    ).all()


def link_token(secret: str, challenge_id: UUID) -> str:
    """What the mailed link carries beside the challenge's id (`core.links.sign_in_url`)."""
    return token_for(secret, Purpose.SIGN_IN, challenge_id, _VERSION)


def code(secret: str, challenge_id: UUID) -> str:
    """The six digits in the same message, for people who type."""
    return code_for(secret, Purpose.SIGN_IN, challenge_id, _VERSION)


def answer_link(
    session: Session, secret: str, challenge_id: UUID, token: str, *, now: datetime
) -> Person | None:
    """The person whose mailed link this is; None when it is good for nothing."""
    challenge = session.scalar(
        sa.select(SignInChallenge)
        .where(SignInChallenge.id == challenge_id, *_is_open(ChallengePurpose.SIGN_IN, now))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if challenge is None:
        return None
    if not matches(secret, Purpose.SIGN_IN, challenge_id, _VERSION, token):
        challenge.tries += 1
        session.flush()
        return None
    return _use(session, challenge, now)


def answer_code(
    session: Session, secret: str, contact: ContactPoint, given: str, *, now: datetime
) -> Person | None:
    """The person of that contact, if the code is one that was just sent there; else None.

    Several messages may be under way, so all open challenges of the contact are compared, and a
    wrong code counts against each of them.
    """
    challenges = session.scalars(
        sa.select(SignInChallenge)
        .where(
            _column(SignInChallenge, contact.kind) == contact.value,
            *_is_open(ChallengePurpose.SIGN_IN, now),
        )
        .order_by(SignInChallenge.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    right = _right(session, secret, contact, challenges, given, now)
    return _use(session, right, now) if right is not None else None


def answer_contact(
    session: Session, secret: str, person_id: UUID, challenge_id: UUID, given: str, *, now: datetime
) -> ContactPoint | None:
    """The contact that somebody has just proved for their account; None when the code is wrong.

    A challenge of somebody else is as good as none, and loses nothing by it.
    """
    challenge = session.scalar(
        sa.select(SignInChallenge)
        .where(
            SignInChallenge.id == challenge_id,
            SignInChallenge.person_id == person_id,
            *_is_open(ChallengePurpose.CONTACT, now),
        )
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if challenge is None:
        return None
    contact = contact_of(challenge)
    if _right(session, secret, contact, [challenge], given, now) is None:
        return None
    challenge.used_at = now
    session.flush()
    return contact


def contact_of(challenge: SignInChallenge) -> ContactPoint:
    """Where a challenge was sent."""
    if challenge.email is not None:
        return ContactPoint(ContactKind.EMAIL, challenge.email)
    assert challenge.phone is not None
    return ContactPoint(ContactKind.PHONE, challenge.phone)


def _right(
    session: Session,
    secret: str,
    contact: ContactPoint,
    challenges: Sequence[SignInChallenge],
    given: str,
    now: datetime,
) -> SignInChallenge | None:
    """The challenge, of these open and locked ones of a contact, whose code that is.

    A wrong code is counted. After too many in a day no code is right any more.
    """
    wrong_today = session.scalar(
        sa.select(sa.func.coalesce(sa.func.sum(SignInChallenge.tries), 0)).where(
            _column(SignInChallenge, contact.kind) == contact.value,
            SignInChallenge.created_at > now - timedelta(days=1),
        )
    )
    if (wrong_today or 0) >= WRONG_CODES_PER_DAY:
        return None
    # People type "123 456" as the message shows it on some screens.
    typed = "".join(given.split()).encode("utf-8", "surrogatepass")
    right = [
        challenge
        for challenge in challenges
        if hmac.compare_digest(code(secret, challenge.id).encode(), typed)
    ]
    if right:
        return right[0]
    for challenge in challenges:
        challenge.tries += 1
    session.flush()
    return None


def _challenge(
    to: ContactPoint, purpose: ChallengePurpose, jurisdiction_id: int | None, now: datetime
) -> SignInChallenge:
    return SignInChallenge(
        **{to.kind.value: to.value},
        id=new_id(),
        purpose=purpose.value,
        jurisdiction_id=jurisdiction_id,
        created_at=now,
        expires_at=now + CHALLENGE_LIFETIME,
    )


def _is_flooded(session: Session, to: ContactPoint, now: datetime) -> bool:
    """Whether a contact got as many messages in an hour as anybody should."""
    recent = session.scalar(
        sa.select(sa.func.count())
        .select_from(SignInChallenge)
        .where(
            _column(SignInChallenge, to.kind) == to.value,
            SignInChallenge.created_at > now - timedelta(hours=1),
        )
    )
    return (recent or 0) >= LINKS_PER_HOUR


def _column(
    model: type[Person | SignInChallenge], kind: ContactKind
) -> sa.orm.InstrumentedAttribute[str | None]:
    return model.email if kind is ContactKind.EMAIL else model.phone


def _is_open(purpose: ChallengePurpose, now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        SignInChallenge.purpose == purpose.value,
        SignInChallenge.used_at.is_(None),
        SignInChallenge.expires_at > now,
        SignInChallenge.tries < CHALLENGE_TRIES,
    )


def _use(session: Session, challenge: SignInChallenge, now: datetime) -> Person | None:
    challenge.used_at = now
    session.flush()
    contact = contact_of(challenge)
    return people.with_proven_contact(session, contact, locale=challenge.locale, now=now)
