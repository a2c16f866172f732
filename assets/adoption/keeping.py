"""Going on with an adoption: another term, the name shown or not, a name for the asset."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from assets.adoption import events, holding
from assets.adoption.errors import LinkOverError
from assets.adoption.models import Adoption
from assets.adoption.rules import next_step, reminders_before, term_end
from assets.adoption.vocabulary import Entry
from assets.kinds import kinds_of
from core.errors import ConflictError, NotFoundError
from core.text import clean
from core.tokens import Purpose, matches


class NoNameWaitsError(ConflictError):
    """Somebody else has decided, or the adopter took it back."""

    code = "no_name_waits"
    title = "No name waits to be approved"


def renew(session: Session, adoption: Adoption, *, now: datetime) -> Adoption:
    """Go on for a whole term from now on, in the caller's transaction, whoever was shown to be
    the adopter; it answers every nudge.

    Raises:
        LinkOverError: the adoption has ended meanwhile.
    """
    holding.lock(session, adoption.asset_id)
    session.refresh(adoption)
    if adoption.ended_at is not None:
        raise LinkOverError
    rules = kinds_of(session, adoption.jurisdiction_id).by_id[adoption.kind_id].adoption
    adoption.until = term_end(now, rules)
    adoption.renewed_at = now
    adoption.reminded, adoption.nudged, adoption.nudged_at = reminders_before(rules), 0, None
    adoption.next_step_at = next_step(
        adoption.until, rules, reminded=adoption.reminded, nudged=0
    ).at
    holding.note(session, adoption, Entry.RENEWED, adoption.person_id, now)
    holding.tell(session, events.RENEWED, adoption)
    return adoption


def of_link(session: Session, adoption_id: UUID, token: str, *, secret: str) -> Adoption:
    """The adoption whose letter carried that token.

    Raises:
        NotFoundError: it is no such token.
        LinkOverError: it was one, of an adoption that has ended.
    """
    adoption = session.get(Adoption, adoption_id, populate_existing=True)
    if adoption is None:
        raise NotFoundError
    version = adoption.token_version
    if adoption.ended_at is None and matches(secret, Purpose.ADOPTION, adoption.id, version, token):
        return adoption
    if any(
        matches(secret, Purpose.ADOPTION, adoption.id, before, token)
        for before in range(1, version)
    ):
        raise LinkOverError
    raise NotFoundError


def change(
    session: Session,
    adoption: Adoption,
    *,
    name: str | None = None,
    takes_name_away: bool = False,
    shows_name: bool | None = None,
    now: datetime,
) -> Adoption:
    """Show one's own name or not; propose another name for the asset, or take it away."""
    holding.lock(session, adoption.asset_id)
    session.refresh(adoption)
    if shows_name is not None:
        adoption.shows_name = shows_name
    if takes_name_away:
        adoption.name = adoption.name_wanted = None
    elif name:
        want_name(session, adoption, name, now=now)
    session.flush()
    return adoption


def want_name(session: Session, adoption: Adoption, name: str, *, now: datetime) -> None:
    """Propose a name; the one before stays until it is approved."""
    wanted = " ".join(clean(name).split())
    if not wanted or wanted == adoption.name:
        return
    adoption.name_wanted, adoption.name_reason = wanted, None
    holding.note(session, adoption, Entry.NAME_PROPOSED, adoption.person_id, now)


def decide_name(
    session: Session,
    adoption: Adoption,
    *,
    approves: bool,
    reason: str | None,
    actor_id: UUID | None,
    now: datetime,
) -> Adoption:
    """Approve or refuse the name that waits; the adopter is told.

    Raises:
        NoNameWaitsError
    """
    holding.lock(session, adoption.asset_id)
    session.refresh(adoption)
    if adoption.name_wanted is None or adoption.ended_at is not None:
        raise NoNameWaitsError
    if approves:
        adoption.name, adoption.name_reason = adoption.name_wanted, None
    else:
        adoption.name_reason = reason
    adoption.name_wanted = None
    entry = Entry.NAME_APPROVED if approves else Entry.NAME_REFUSED
    holding.note(session, adoption, entry, actor_id, now)
    decision = "approved" if approves else "refused"
    holding.tell(session, events.NAMED, adoption, decision=decision)
    return adoption
