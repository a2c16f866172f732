"""Teams, as a city folder describes them, brought into the database.

Reads no file: `app.city` has read and checked the folder. A team that left the folder and that
anything still refers to becomes inactive; it keeps its history and gets no new work.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.models import DigestChoice, RoleGrant, Team
from core.changes import Changes, assign


@dataclass(frozen=True, slots=True)
class TeamSpec:
    """A team of a city folder.

    Attributes:
        calendar: `hours` (weekday → list of [from, to], local, "24:00" ends a day) and
            `works_on_holidays`. Empty: no working hours are known.
    """

    code: str
    names: Mapping[str, str]
    agency: str | None = None
    email: str | None = None
    locale: str | None = None
    calendar: Mapping[str, Any] | None = None
    digest: DigestChoice = DigestChoice.DAILY


def load_teams(
    session: Session,
    jurisdiction_id: int,
    specs: Sequence[TeamSpec],
    *,
    in_use: Collection[int] = (),
) -> Changes:
    """Make the jurisdiction's teams those of `specs`, in the caller's transaction.

    Args:
        in_use: ids of teams that features above refer to, beside the roles known here.
    """
    rows = {
        team.code: team
        for team in session.scalars(sa.select(Team).where(Team.jurisdiction_id == jurisdiction_id))
    }
    created = updated = unchanged = 0
    for spec in specs:
        values = {
            "names": dict(spec.names),
            "agency": spec.agency,
            "email": spec.email,
            "locale": spec.locale,
            "calendar": dict(spec.calendar or {}),
            "digest": spec.digest.value,
            "is_active": True,
        }
        row = rows.pop(spec.code, None)
        if row is None:
            session.add(Team(jurisdiction_id=jurisdiction_id, code=spec.code, **values))
            created += 1
        elif assign(row, values):
            updated += 1
        else:
            unchanged += 1
    retired = _retire(session, list(rows.values()), in_use)
    session.flush()
    return Changes(created, updated, retired, unchanged)


def _retire(session: Session, teams: Sequence[Team], in_use: Collection[int]) -> int:
    """Take teams out of use; those that nothing refers to are deleted."""
    if not teams:
        return 0
    granted = session.scalars(
        sa.select(RoleGrant.team_id).where(RoleGrant.team_id.in_([team.id for team in teams]))
    )
    kept = {*in_use, *granted}
    retired = 0
    for team in teams:
        if team.id not in kept:
            session.delete(team)
            retired += 1
        elif team.is_active:
            team.is_active = False
            retired += 1
    return retired
