"""Taking forwardings that are due, and their next step with what it sends."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.links import photo_url
from geo.measures import Point
from open311 import awaiting
from open311.downstream import Endpoint, endpoints
from open311.downstream_models import (
    DownstreamEndpoint,
    DownstreamTeam,
    Forwarding,
    ForwardingAttempt,
)
from open311.forwarding.attempts import open_attempts
from open311.forwarding.health import circuits
from open311.forwarding.jobs import Job
from open311.forwarding.notes import tell_staff
from open311.forwarding.queueing import BATCH
from open311.forwarding.saying import parameters
from open311.rules import CLOCK_SLACK, ForwardingState, Sending
from open311.telling import Note
from reports import changing
from reports.attributes import AttributeDefinition, definitions_of
from reports.models import Photo, Service, ServiceRequest
from reports.vocabulary import PhotoState, Status, Visibility

#: How long claimed forwardings are ours: what was begun within `calling.PATIENCE_S` has ended
#: before somebody else may take over.
LEASE = timedelta(seconds=180)

#: What waits for a review or a photo is looked at again after so long.
_REVIEW_PAUSE = timedelta(minutes=5)
_PHOTO_PAUSE = timedelta(seconds=20)

#: A photo that is not clean by then goes without.
_PHOTO_PATIENCE = timedelta(minutes=10)


def claim(
    session: Session,
    *,
    now: datetime,
    base_url: str,
    ids: Collection[UUID] | None = None,
    limit: int = BATCH,
) -> list[Job]:
    """Take forwardings that are due, oldest first; nobody else gets them until the lease ends.

    What does not need the other system any more, or not yet, is settled here. Of an endpoint that
    has just failed often, one alone is taken to find out whether it is back.

    Args:
        base_url: of this installation, for the address of a photo.
    """
    due = (
        sa.select(Forwarding)
        .join(DownstreamEndpoint, DownstreamEndpoint.id == Forwarding.endpoint_id)
        .where(
            Forwarding.state == ForwardingState.WAITING.value,
            Forwarding.next_attempt_at <= now,
            DownstreamEndpoint.is_active,
            sa.or_(DownstreamEndpoint.open_until.is_(None), DownstreamEndpoint.open_until <= now),
        )
        .order_by(Forwarding.next_attempt_at, Forwarding.id)
        .limit(limit)
        .with_for_update(of=Forwarding, skip_locked=True)
        .execution_options(populate_existing=True)
    )
    if ids is not None:
        due = due.where(Forwarding.id.in_(list(ids)))
    rows = session.scalars(due).all()
    if not rows:
        return []
    known = endpoints(session, {row.endpoint_id for row in rows})
    known_circuits = circuits(session, known)
    tried: set[int] = set()
    chosen = []
    for row in rows:
        if known_circuits[row.endpoint_id].is_tried:
            if row.endpoint_id in tried:
                continue
            tried.add(row.endpoint_id)
        chosen.append(row)
    facts = _facts(session, chosen)
    jobs = []
    for row in chosen:
        job = _prepare(session, row, known[row.endpoint_id], facts[row.report_id], now, base_url)
        if job is not None:
            jobs.append(job)
    session.flush()
    return jobs


@dataclass(frozen=True, slots=True)
class _Facts:
    """What a report says at the moment it is handed over."""

    report: Any
    service_code: str
    questions: tuple[AttributeDefinition, ...]
    endpoint_id: int | None
    photo_id: UUID | None
    is_photo_awaited: bool


def _facts(session: Session, rows: Sequence[Forwarding]) -> dict[UUID, _Facts]:
    wanted = [row.report_id for row in rows]
    photos = session.execute(
        sa.select(Photo.report_id, Photo.id, Photo.state, Photo.is_public, Photo.created_at)
        .where(
            Photo.report_id.in_(wanted),
            Photo.state.in_([PhotoState.READY.value, PhotoState.STAGED.value]),
        )
        .order_by(Photo.created_at, Photo.id)
    ).all()
    shown: dict[UUID, UUID] = {}
    for photo in photos:
        if photo.state == PhotoState.READY.value and photo.is_public:
            shown.setdefault(photo.report_id, photo.id)
    coming = {p.report_id for p in photos if p.state == PhotoState.STAGED.value and p.is_public}
    coming |= awaiting.awaited(session, wanted)
    return {
        row.id: _Facts(
            row,
            row.service_code,
            definitions_of(row.questions),
            row.endpoint_id,
            shown.get(row.id),
            row.id in coming and row.id not in shown,
        )
        for row in session.execute(
            sa.select(
                ServiceRequest.id,
                ServiceRequest.status,
                ServiceRequest.visibility,
                ServiceRequest.description,
                ServiceRequest.attributes,
                ServiceRequest.lat,
                ServiceRequest.lon,
                ServiceRequest.address,
                ServiceRequest.address_given,
                ServiceRequest.requested_at,
                Service.code.label("service_code"),
                Service.attributes.label("questions"),
                DownstreamTeam.endpoint_id,
            )
            .join(Service, Service.id == ServiceRequest.service_id)
            .outerjoin(DownstreamTeam, DownstreamTeam.team_id == ServiceRequest.team_id)
            .where(ServiceRequest.id.in_(wanted))
        )
    }


def _prepare(
    session: Session,
    row: Forwarding,
    endpoint: Endpoint,
    facts: _Facts,
    now: datetime,
    base_url: str,
) -> Job | None:
    """The next step of a forwarding, written down; None where the other system is not needed."""
    report = facts.report
    opened = open_attempts(session, row.id)
    job = Job(row.id, row.report_id, endpoint, row.claims + 1, row.failures, None)
    if row.token is not None:
        _lease(row, now)
        return replace(job, token=row.token, token_at=row.token_at or now)
    point = Point(report.lat, report.lon) if report.lat is not None else None
    service = endpoint.service(facts.service_code)
    if opened:
        _lease(row, now)
        first = min(attempt.begun_at for attempt in opened)
        last = max(attempt.begun_at for attempt in opened)
        code = service.code if service is not None else facts.service_code
        return replace(
            job,
            lost=Sending(code, report.description, point, first, last),
            taken=_taken(session, row),
        )
    if not Status(report.status).is_open or facts.endpoint_id != row.endpoint_id:
        row.state = ForwardingState.CANCELLED.value
        return None
    if report.visibility != Visibility.PUBLIC.value and not endpoint.spec.held:
        row.next_attempt_at = now + _REVIEW_PAUSE
        return None
    if facts.is_photo_awaited and now < report.requested_at + _PHOTO_PATIENCE:
        row.next_attempt_at = now + _PHOTO_PAUSE
        return None
    problem = None
    if service is None:
        problem = Note.UNKNOWN_SERVICE
    elif point is None and not (report.address or report.address_given):
        problem = Note.NO_PLACE
    if problem is not None or service is None:
        row.state, row.last_fault = ForwardingState.STUCK.value, (problem or Note.LOST).value
        locked = changing.lock_all(session, {row.report_id})[row.report_id]
        tell_staff(session, locked, endpoint, problem or Note.LOST, now)
        return None
    photo = None
    if facts.photo_id is not None and report.visibility == Visibility.PUBLIC.value:
        photo = photo_url(base_url, facts.photo_id)
    _lease(row, now)
    attempt = ForwardingAttempt(forwarding_id=row.id, begun_at=now)
    session.add(attempt)
    session.flush()
    return replace(
        job,
        attempt_id=attempt.id,
        fields=parameters(
            service,
            description=report.description,
            point=point,
            address=report.address or report.address_given,
            answers=report.attributes,
            questions=facts.questions,
            photo=photo,
        ),
    )


def _lease(row: Forwarding, now: datetime) -> None:
    row.claims += 1
    row.next_attempt_at = now + LEASE


def _taken(session: Session, row: Forwarding) -> frozenset[str]:
    """Their ids that stand for other reports of ours, of the time in which this one was sent."""
    return frozenset(
        one
        for one in session.scalars(
            sa.select(Forwarding.remote_id).where(
                Forwarding.endpoint_id == row.endpoint_id,
                Forwarding.id != row.id,
                Forwarding.remote_id.is_not(None),
                Forwarding.sent_at >= row.created_at - CLOCK_SLACK - timedelta(days=1),
            )
        )
        if one is not None
    )
