"""Copies: teams and addresses that a routing rule tells of the reports it sends somewhere.

The rules hold the addresses and nothing else does: a delivery bears a digest of one, and whoever
was taken out of the rules since gets nothing. A report that a person puts with a team sends no
copies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.models import Team
from core.outbox import Event
from geo import jurisdictions
from notifications.queueing import delivery_row
from notifications.vocabulary import Channel, Occasion, RecipientKind
from reports.catalogue import catalogue_of
from reports.models import ServiceRequest
from reports.routing import deciding

#: What a rule does: the first routing of a report, and another one after a correction.
_ROUTED = frozenset({"report.triaged", "report.rerouted"})


def to_copies(session: Session, events: Sequence[Event], now: datetime) -> Iterator[dict[str, Any]]:
    """A letter for everybody whom the rules of these reports tell of them."""
    routed = [event for event in events if event.name in _ROUTED and event.subject_id]
    if not routed:
        return
    rows = session.execute(
        sa.select(
            ServiceRequest.id,
            ServiceRequest.jurisdiction_id,
            ServiceRequest.routing["rule"].as_string().label("rule"),
        ).where(
            ServiceRequest.id.in_({event.subject_id for event in routed}),
            ServiceRequest.routing.has_key("copies"),
        )
    )
    by_id = {row.id: row for row in rows}
    for event in routed:
        row = by_id.get(event.subject_id)
        if row is None:
            continue
        place = jurisdictions.by_id(session, row.jurisdiction_id)
        plan = deciding.plan(session, catalogue_of(session, place.id))
        for name in dict.fromkeys(plan.copies_of(row.rule)):
            yield delivery_row(
                event,
                Occasion.COPIED.value,
                RecipientKind.COPY,
                digest_of(name),
                Channel.EMAIL,
                place.default_locale,
                now=now,
                send_at=now,
            )


def addresses(session: Session, jurisdiction_ids: Sequence[int]) -> Mapping[str, str]:
    """By digest: the addresses that the rules of these cities name, of teams and of people."""
    found: dict[str, str] = {}
    for place_id in jurisdiction_ids:
        plan = deciding.plan(session, catalogue_of(session, place_id))
        named = {name for rule in plan.rules for name in rule.copies}
        teams = {
            row.code: row.email
            for row in session.execute(
                sa.select(Team.code, Team.email).where(
                    Team.jurisdiction_id == place_id, Team.is_active, Team.code.in_(named)
                )
            )
        }
        for name in named:
            address = name if "@" in name else teams.get(name)
            if address:
                found[digest_of(name)] = address
    return found


def digest_of(name: str) -> str:
    """What a delivery says instead of a team's code or an address."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]
