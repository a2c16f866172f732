"""Reads of helping: what somebody is asked, and what was answered about a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from accounts.models import Person
from assets.adoption.models import Adoption
from assets.adoption.queries import AssetRef, refer
from assets.care.models import Care
from assets.helping import answering
from assets.helping.errors import NotAskedError
from assets.helping.models import HelpRequest
from assets.helping.vocabulary import HelpState
from assets.models import Asset
from assets.paging import latest_first
from core.pagination import Page
from reports import queries as report_queries
from reports.models import Note, ServiceRequest
from reports.queries import Found
from reports.vocabulary import OPEN_STATUSES, Visibility


@dataclass(frozen=True, slots=True)
class Asked:
    """What an adopter is asked: the report and the asset that they look after.

    Attributes:
        is_public: everybody may read the words and the place of the report; else the adopter may
            not either.
        resolves: "I did it" resolves the report; else it is a proposal to the team.
    """

    request: HelpRequest
    asset: AssetRef
    report: Found
    is_public: bool
    resolves: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """What one adopter was asked about a report and said, as the team reads it."""

    request: HelpRequest
    asset: AssetRef
    adopter: str | None
    note: str | None
    photo_id: UUID | None
    minutes: int | None


def of_person(session: Session, person_id: UUID, *, cursor: str | None, limit: int) -> Page[Asked]:
    """What somebody is asked now, the latest first: of open reports that nobody answered.

    Raises:
        BadCursorError: the cursor is of no such list.
    """
    other = aliased(HelpRequest)
    query = (
        sa.select(HelpRequest)
        .join(Adoption, Adoption.id == HelpRequest.adoption_id)
        .join(ServiceRequest, ServiceRequest.id == HelpRequest.report_id)
        .where(
            HelpRequest.person_id == person_id,
            HelpRequest.state == HelpState.OPEN.value,
            Adoption.ended_at.is_(None),
            ServiceRequest.status.in_([status.value for status in OPEN_STATUSES]),
            ServiceRequest.visibility != Visibility.HIDDEN.value,
            ~sa.exists().where(
                other.report_id == HelpRequest.report_id, other.answered_at.is_not(None)
            ),
        )
    )
    page = latest_first(session, query, HelpRequest.id, cursor=cursor, limit=limit)
    return Page(_asked(session, [row.HelpRequest for row in page.items]), page.next)


def one(session: Session, request: HelpRequest) -> Asked:
    """One request for help with what it is about."""
    return _asked(session, [request])[0]


def check_concerned(session: Session, report_id: UUID, person_id: UUID) -> None:
    """Hold somebody against a report before anything of theirs is kept.

    Raises:
        NotAskedError: they look after nothing in its city, or there is none.
    """
    holds = sa.exists().where(
        ServiceRequest.id == report_id,
        ServiceRequest.visibility != Visibility.HIDDEN.value,
        Adoption.jurisdiction_id == ServiceRequest.jurisdiction_id,
        Adoption.person_id == person_id,
        Adoption.ended_at.is_(None),
    )
    if not session.scalar(sa.select(holds)):
        raise NotAskedError


def of_report(session: Session, report_id: UUID) -> Sequence[Answered]:
    """The adopters to whom a report was put, and what they said; the first asked first."""
    rows = session.execute(
        sa.select(
            HelpRequest,
            Asset,
            Person.name.label("adopter"),
            Note.body.label("note"),
            sa.func.coalesce(Care.photo_id, HelpRequest.photo_id).label("photo_id"),
            Care.minutes,
        )
        .join(Asset, Asset.id == HelpRequest.asset_id)
        .outerjoin(Person, Person.id == HelpRequest.person_id)
        .outerjoin(Note, sa.and_(Note.id == HelpRequest.note_id, Note.redacted_at.is_(None)))
        .outerjoin(Care, Care.id == HelpRequest.care_id)
        .where(HelpRequest.report_id == report_id)
        .order_by(HelpRequest.asked_at, HelpRequest.id)
    ).all()
    refs = refer(session, [row.Asset for row in rows])
    return [
        Answered(
            request=row.HelpRequest,
            asset=refs[row.Asset.id],
            adopter=row.adopter,
            note=row.note or None,
            photo_id=row.photo_id,
            minutes=row.minutes,
        )
        for row in rows
    ]


def _asked(session: Session, rows: Sequence[HelpRequest]) -> list[Asked]:
    if not rows:
        return []
    assets = session.scalars(
        sa.select(Asset).where(Asset.id.in_({row.asset_id for row in rows}))
    ).all()
    refs = refer(session, assets)
    reports = report_queries.several(session, [row.report_id for row in rows])
    return [
        Asked(
            request=row,
            asset=refs[row.asset_id],
            report=reports[row.report_id],
            is_public=reports[row.report_id].row.visibility == Visibility.PUBLIC,
            resolves=answering.may_resolve(
                reports[row.report_id].service, reports[row.report_id].row.status
            ),
        )
        for row in rows
    ]
