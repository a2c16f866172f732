"""Proving an e-mail address: a mailed link or six-digit code, answered once.

1. `ask` stores a challenge and emits `sign_in.asked`; notifications render `link_token` and `code`
   into the message. Neither is stored: both are derived from the challenge's id.
2. `answer_link` and `answer_code` count each wrong answer, so they return None instead of raising:
   an error would roll the count back. The caller commits, then says 401.
   Challenges are kept for a day at least, because wrong codes are counted over a day.
3. A right answer uses the challenge up and gives the person, who is created at the first proof.

Any address may ask, known or not, and the answer is the same: it tells nobody who has an account.
"""

from __future__ import annotations

import hmac
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts import people
from accounts.events import SIGN_IN_ASKED
from accounts.models import Person, SignInChallenge
from accounts.rules import (
    CHALLENGE_LIFETIME,
    CHALLENGE_TRIES,
    LINKS_PER_HOUR,
    WRONG_CODES_PER_DAY,
    normal_email,
)
from core.ids import new_id
from core.outbox import emit
from core.tokens import Purpose, code_for, matches, token_for

#: A challenge is answered once, so its tokens never need a second version.
_VERSION = 1


def ask(
    session: Session,
    email: str,
    *,
    jurisdiction_id: int | None,
    locale: str | None,
    now: datetime,
) -> UUID | None:
    """Have a link and a code sent to that address; the id of the challenge.

    None when nothing will be sent: the address asked too often, or its person is deactivated. The
    asker must not be told.
    """
    email = normal_email(email)
    recent = session.scalar(
        sa.select(sa.func.count())
        .select_from(SignInChallenge)
        .where(
            SignInChallenge.email == email,
            SignInChallenge.created_at > now - timedelta(hours=1),
        )
    )
    known = session.execute(
        sa.select(Person.is_active, Person.locale).where(Person.email == email)
    ).one_or_none()
    if (recent or 0) >= LINKS_PER_HOUR or (known is not None and not known.is_active):
        return None
    challenge = SignInChallenge(
        id=new_id(),
        email=email,
        jurisdiction_id=jurisdiction_id,
        locale=(known.locale if known is not None else None) or locale,
        created_at=now,
        expires_at=now + CHALLENGE_LIFETIME,
    )
    session.add(challenge)
    session.flush()
    emit(session, SIGN_IN_ASKED, challenge.id, jurisdiction_id=jurisdiction_id)
    return challenge.id


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
        .where(SignInChallenge.id == challenge_id, *_is_open(now))
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
    session: Session, secret: str, email: str, given: str, *, now: datetime
) -> Person | None:
    """The person of that address, if the code is one that was just sent there; else None.

    Several messages may be under way, so all open challenges of the address are compared, and a
    wrong code counts against each of them.
    """
    email = normal_email(email)
    challenges = session.scalars(
        sa.select(SignInChallenge)
        .where(SignInChallenge.email == email, *_is_open(now))
        .order_by(SignInChallenge.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    wrong_today = session.scalar(
        sa.select(sa.func.coalesce(sa.func.sum(SignInChallenge.tries), 0)).where(
            SignInChallenge.email == email,
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
        return _use(session, right[0], now)
    for challenge in challenges:
        challenge.tries += 1
    session.flush()
    return None


def _is_open(now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        SignInChallenge.used_at.is_(None),
        SignInChallenge.expires_at > now,
        SignInChallenge.tries < CHALLENGE_TRIES,
    )


def _use(session: Session, challenge: SignInChallenge, now: datetime) -> Person | None:
    challenge.used_at = now
    session.flush()
    return people.with_proven_email(session, challenge.email, locale=challenge.locale, now=now)
