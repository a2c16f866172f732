"""Word to people that their account was changed: by them, as a rule, and else by somebody else.

Whoever changes how somebody signs in or is reached calls `tell` in the same transaction. What is
written, where and in which language, notifications decide when the message is made.
"""

from __future__ import annotations

import enum
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.events import ACCOUNT_CHANGED
from accounts.models import RoleGrant
from core.outbox import emit
from geo import jurisdictions


class AccountChange(enum.StrEnum):
    """What of an account was changed."""

    PASSWORD = "password"
    FACTOR_ON = "factor_on"
    FACTOR_OFF = "factor_off"
    RECOVERY_CODES = "recovery_codes"
    EMAIL = "email"
    PHONE = "phone"
    EMAIL_GIVEN_UP = "email_given_up"
    PHONE_GIVEN_UP = "phone_given_up"


def tell(
    session: Session, person_id: UUID, change: AccountChange, *, challenge_id: UUID | None = None
) -> None:
    """Have somebody told, in the caller's transaction.

    Args:
        challenge_id: the proof of a new contact; it knows where the person was reached before.
    """
    data = {"change": change.value}
    if challenge_id is not None:
        data["challenge_id"] = str(challenge_id)
    emit(
        session,
        ACCOUNT_CHANGED,
        person_id,
        jurisdiction_id=_in_whose_name(session, person_id),
        **data,
    )


def _in_whose_name(session: Session, person_id: UUID) -> int | None:
    """The city that somebody works for, else the only one there is."""
    works_for: int | None = session.scalar(
        sa.select(RoleGrant.jurisdiction_id)
        .where(RoleGrant.person_id == person_id)
        .order_by(RoleGrant.id)
        .limit(1)
    )
    if works_for is not None:
        return works_for
    cities = jurisdictions.all_of_them(session)
    return cities[0].id if len(cities) == 1 else None
