"""What somebody says of themselves: name, language, and how much of the name everybody sees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.errors import PosingNameError
from accounts.models import Person, Team
from accounts.naming import poses_as
from accounts.rules import Display
from geo import jurisdictions


def change(session: Session, person_id: UUID, changes: Mapping[str, Any]) -> Person:
    """Store what was sent of `name`, `locale` and `display`; the person as they are now.

    Raises:
        PosingNameError: everybody would see the name, and take it for the city's or a team's.
    """
    person = session.get_one(Person, person_id, with_for_update=True, populate_existing=True)
    for field in ("name", "locale"):
        if field in changes:
            setattr(person, field, changes[field])
    if "display" in changes:
        person.display = changes["display"].value
    if person.name is not None and Display(person.display) is not Display.ANONYMOUS:
        check_shown(session, person.name, field="name")
    session.flush()
    return person


def check_shown(session: Session, name: str, *, field: str) -> None:
    """Refuse to show everybody a name that is the city's or a team's.

    Raises:
        PosingNameError
    """
    if poses_as(name, _offices(session)):
        raise PosingNameError(field=field)


def _offices(session: Session) -> Iterator[str]:
    """What cities and teams are called, in every language."""
    for place in jurisdictions.all_of_them(session):
        yield from place.names.values()
        names = place.contact.get("name")
        if isinstance(names, Mapping):
            yield from names.values()
    for names, agency in session.execute(sa.select(Team.names, Team.agency)):
        yield from names.values()
        if agency is not None:
            yield agency
