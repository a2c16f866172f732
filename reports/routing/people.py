"""Who works on reports of a city: those whom a routing rule may give a report to.

Only those who hold a working role now: a rule that names somebody who has left names nobody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

import sqlalchemy as sa

from accounts.models import Person, RoleGrant
from accounts.rules import PERMISSIONS, Permission
from core.db import Executor

#: A person and the team that their role is for; None: the whole city.
Post = tuple[UUID, int | None]


def posts(
    session: Executor, jurisdiction_id: int, emails: Collection[str] | None = None
) -> dict[str, list[Post]]:
    """By e-mail address: who works there and for which teams; everybody without `emails`."""
    working = [role.value for role, may in PERMISSIONS.items() if Permission.WORK_REPORTS in may]
    asked = (
        sa.select(Person.email, Person.id, RoleGrant.team_id)
        .join(RoleGrant, RoleGrant.person_id == Person.id)
        .where(
            Person.is_active,
            Person.email.is_not(None),
            RoleGrant.jurisdiction_id == jurisdiction_id,
            RoleGrant.role.in_(working),
        )
    )
    if emails is not None:
        asked = asked.where(Person.email.in_(sorted(emails)))
    found: dict[str, list[Post]] = defaultdict(list)
    for email, person_id, team_id in session.execute(asked):
        if email is not None:
            found[email].append((person_id, team_id))
    return dict(found)


def person_for(
    known: Mapping[str, Sequence[Post]], email: str | None, team_id: int | None
) -> UUID | None:
    """The id of that person if they may work on what that team has, else None."""
    for person_id, own_team_id in known.get(email or "", ()):
        if own_team_id is None or own_team_id == team_id:
            return person_id
    return None
