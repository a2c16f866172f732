"""A person's own list of sessions: seen, and ended one by one or all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts import audit
from accounts.actors import Actor
from accounts.models import SignInSession, SignInWay
from accounts.rules import SEEN_RECORDED_EVERY
from core.db import note_use
from core.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class Held:
    """A session as its owner sees it.

    Attributes:
        agent: the kind of device, "Firefox, Linux".
        last_seen_at: known to about five minutes.
    """

    id: UUID
    created_at: datetime
    last_seen_at: datetime | None
    expires_at: datetime
    way: SignInWay
    has_second_factor: bool
    is_browser: bool
    agent: str | None
    is_current: bool


def of_person(session: Session, actor: Actor, *, now: datetime) -> Sequence[Held]:
    """The actor's sessions that are open, the newest first."""
    rows = session.scalars(
        sa.select(SignInSession)
        .where(SignInSession.person_id == actor.person_id, *_is_open(now))
        .order_by(SignInSession.created_at.desc(), SignInSession.id.desc())
    )
    return [
        Held(
            id=row.id,
            created_at=row.created_at,
            last_seen_at=row.last_seen_at,
            expires_at=row.expires_at,
            way=SignInWay(row.way),
            has_second_factor=row.has_second_factor,
            is_browser=row.is_browser,
            agent=row.agent,
            is_current=row.id == actor.session_id,
        )
        for row in rows
    ]


def end(session: Session, actor: Actor, session_id: UUID, *, now: datetime) -> None:
    """End one of the actor's own sessions.

    Raises:
        NotFoundError: it is not theirs, or over.
    """
    ended = session.scalar(
        sa.update(SignInSession)
        .where(
            SignInSession.id == session_id,
            SignInSession.person_id == actor.person_id,
            *_is_open(now),
        )
        .values(revoked_at=now)
        .returning(SignInSession.id)
        .execution_options(synchronize_session=False)
    )
    if ended is None:
        raise NotFoundError
    audit.record(
        session,
        actor,
        audit.Action.SESSION_ENDED,
        audit.Subject("session", session_id),
        now=now,
    )


def end_others(session: Session, actor: Actor, *, now: datetime) -> int:
    """End every session of the actor but the one in hand; how many those were."""
    assert actor.person_id is not None
    ended = session.scalars(
        sa.update(SignInSession)
        .where(
            SignInSession.person_id == actor.person_id,
            SignInSession.id != actor.session_id,
            *_is_open(now),
        )
        .values(revoked_at=now)
        .returning(SignInSession.id)
        .execution_options(synchronize_session=False)
    ).all()
    if ended:
        audit.record(
            session,
            actor,
            audit.Action.SESSION_ENDED,
            audit.Subject("person", actor.person_id),
            now=now,
            data={"sessions": len(ended)},
        )
    return len(ended)


def record_seen(session: Session, session_id: UUID, *, now: datetime) -> None:
    """Note that a session is used; it never waits."""
    note_use(session, SignInSession.last_seen_at, session_id, now=now, every=SEEN_RECORDED_EVERY)


def _is_open(now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return (SignInSession.revoked_at.is_(None), SignInSession.expires_at > now)
