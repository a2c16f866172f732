"""Machine access: a key acts as the person it was made for, within its scopes.

A key never does more than its person may at that moment, and never what its scopes leave out. It
is shown once and stored as a digest. What changes how a person signs in takes a session.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts import audit
from accounts.actors import Actor
from accounts.errors import (
    InactivePersonError,
    SecondFactorNeededError,
    TooManyKeysError,
    WiderThanOwnError,
)
from accounts.models import ApiKey, Person
from accounts.people import find_person
from accounts.rules import KEYS_PER_PERSON, Permission
from accounts.secrets import KEY_PREFIX, digest, new_token
from core.db import note_use
from core.errors import NotFoundError

#: The last use of a key is known to about a minute; a write per request would cost more than it
#: tells.
USE_RECORDED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Made:
    """A fresh key; it is known here and never again."""

    row: ApiKey
    key: str


def create_key(
    session: Session,
    email: str,
    name: str,
    *,
    scopes: Collection[Permission] | None = None,
    expires_at: datetime | None = None,
    now: datetime,
) -> str:
    """A new key for that person, made by the operator.

    Raises:
        NoSuchPersonError: nobody has that address.
        InactivePersonError: they are deactivated.
    """
    person = find_person(session, email)
    if not person.is_active:
        raise InactivePersonError(f"{person.email} is deactivated.")
    return _make(session, audit.OPERATOR, person.id, name, scopes, expires_at, now).key


def create_own(
    session: Session,
    actor: Actor,
    name: str,
    *,
    scopes: Collection[Permission] | None,
    expires_at: datetime,
    now: datetime,
) -> Made:
    """A new key for the actor.

    Raises:
        SecondFactorNeededError: a key would get round the second factor that a city demands.
        WiderThanOwnError: a scope is a permission that the actor holds nowhere.
        TooManyKeysError
    """
    assert actor.person_id is not None
    if actor.is_second_factor_needed:
        raise SecondFactorNeededError
    missing = sorted(scope for scope in scopes or () if not actor.holds(scope))
    if missing:
        raise WiderThanOwnError(f"You do not hold {', '.join(missing)}.", field="scopes")
    # Held, so that two at once do not both find room for the last key.
    session.execute(sa.select(Person.id).where(Person.id == actor.person_id).with_for_update())
    count = session.scalar(
        sa.select(sa.func.count())
        .select_from(ApiKey)
        .where(ApiKey.person_id == actor.person_id, *_is_valid(now))
    )
    if (count or 0) >= KEYS_PER_PERSON:
        raise TooManyKeysError
    return _make(session, actor, actor.person_id, name, scopes, expires_at, now)


def of_person(session: Session, person_id: UUID | None, *, now: datetime) -> Sequence[ApiKey]:
    """Somebody's valid keys, the newest first."""
    return session.scalars(
        sa.select(ApiKey)
        .where(ApiKey.person_id == person_id, *_is_valid(now))
        .order_by(ApiKey.created_at.desc(), ApiKey.id.desc())
    ).all()


def all_valid(session: Session, *, now: datetime) -> Sequence[tuple[ApiKey, str | None]]:
    """Every valid key with its person's address, for the operator."""
    rows = session.execute(
        sa.select(ApiKey, Person.email)
        .join(Person, Person.id == ApiKey.person_id)
        .where(*_is_valid(now))
        .order_by(Person.email, ApiKey.created_at, ApiKey.id)
    )
    return [(key, email) for key, email in rows]


def revoke(session: Session, by: Actor | str, key_id: UUID, *, now: datetime) -> None:
    """End a key at once: an actor's own, or any for the operator.

    Raises:
        NotFoundError: there is no such valid key.
    """
    is_meant = [ApiKey.id == key_id, *_is_valid(now)]
    if isinstance(by, Actor):
        is_meant.append(ApiKey.person_id == by.person_id)
    row = session.scalar(sa.select(ApiKey).where(*is_meant).with_for_update())
    if row is None:
        raise NotFoundError("There is no valid key of that id.")
    row.revoked_at = now
    session.flush()
    _enter(session, by, row, "revoked", now)


def record_use(session: Session, key_id: UUID, *, now: datetime) -> None:
    """Note that a key was used; it never waits."""
    note_use(session, ApiKey.last_used_at, key_id, now=now, every=USE_RECORDED_EVERY)


def _make(
    session: Session,
    by: Actor | str,
    person_id: UUID,
    name: str,
    scopes: Collection[Permission] | None,
    expires_at: datetime | None,
    now: datetime,
) -> Made:
    key = new_token(KEY_PREFIX)
    row = ApiKey(
        person_id=person_id,
        name=name,
        scopes=None if scopes is None else sorted({str(scope) for scope in scopes}),
        key_hash=digest(key),
        created_at=now,
        expires_at=expires_at,
    )
    session.add(row)
    session.flush()
    _enter(session, by, row, "made", now)
    return Made(row, key)


def _is_valid(now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        ApiKey.revoked_at.is_(None),
        sa.or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now),
    )


def _enter(session: Session, by: Actor | str, row: ApiKey, change: str, now: datetime) -> None:
    audit.record(
        session,
        by,
        audit.Action.KEY_CHANGED,
        audit.Subject("key", row.id),
        now=now,
        data={"change": change, "person_id": str(row.person_id), "scopes": row.scopes},
    )
