"""Machine access: a key acts as the person it was made for, with all that person may do."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.errors import InactivePersonError
from accounts.models import ApiKey
from accounts.people import find_person
from accounts.secrets import KEY_PREFIX, digest, new_token

#: The last use of a key is known to about a minute; a write per request would cost more than it
#: tells.
USE_RECORDED_EVERY = timedelta(minutes=1)


def create_key(session: Session, email: str, name: str, *, now: datetime) -> str:
    """A new key for that person; it is stored as a digest and cannot be shown again.

    Raises:
        NoSuchPersonError: nobody has that address.
        InactivePersonError: they are deactivated.
    """
    person = find_person(session, email)
    if not person.is_active:
        raise InactivePersonError(f"{person.email} is deactivated.")
    key = new_token(KEY_PREFIX)
    session.add(ApiKey(person_id=person.id, name=name, key_hash=digest(key), created_at=now))
    session.flush()
    return key


def record_use(session: Session, key_id: UUID, *, now: datetime) -> None:
    """Note that a key was used. Never waits: who finds the row locked leaves it to the holder."""
    due = (
        sa.select(ApiKey.id)
        .where(
            ApiKey.id == key_id,
            sa.or_(
                ApiKey.last_used_at.is_(None),
                ApiKey.last_used_at <= now - USE_RECORDED_EVERY,
            ),
        )
        .with_for_update(skip_locked=True)
    )
    session.execute(
        sa.update(ApiKey)
        .where(ApiKey.id.in_(due))
        .values(last_used_at=now)
        .execution_options(synchronize_session=False)
    )
