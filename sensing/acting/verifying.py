"""Asks the trips since a repair whether it holds, and says what they answer.

`verify` takes a batch of repaired cases in the caller's transaction, those first that were asked
longest ago. The rule is `sensing.acting.rules.verified`; what it needs is one sum of the rows by
day in the defect's own cell, in its octant and the next, since the day after the repair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo import jurisdictions
from geo.jurisdictions import JurisdictionRef
from reports import lifecycle, remarks
from reports.changing import Words
from reports.history import SYSTEM
from reports.vocabulary import Status
from sensing.acting import following, weighing, wording
from sensing.acting.models import DefectCase
from sensing.acting.rules import Since, next_state, verified
from sensing.acting.vocabulary import CaseState, Fact
from sensing.acting.wording import language_for
from sensing.grid import OCTANTS
from sensing.models import RoadSighting
from sensing.policy import BELIEF, RoadPolicy

#: Why a request is open again, in its history.
STILL_FELT = "still_felt"

#: Cases of one transaction.
BATCH = 100


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of a batch."""

    asked: int = 0
    reopened: int = 0
    confirmed: int = 0


def verify(
    session: Session, place: JurisdictionRef, *, now: datetime, before: datetime
) -> Verified:
    """Ask about one batch of the city's repairs that were not asked about since `before`."""
    cases = session.scalars(
        sa.select(DefectCase)
        .where(
            DefectCase.jurisdiction_id == place.id,
            DefectCase.state == CaseState.REPAIRED.value,
            sa.or_(DefectCase.checked_at.is_(None), DefectCase.checked_at < before),
        )
        .order_by(DefectCase.checked_at.asc().nulls_first(), DefectCase.id)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    ).all()
    policy = RoadPolicy.of(place.policy)
    believed_from = BELIEF if policy is None else policy.belief
    reopened = confirmed = 0
    for case in cases:
        since = since_repair(session, case)
        fact = verified(since, believed_from=believed_from)
        if fact is Fact.FELT_AGAIN:
            reopened += _reopened(session, case, since, now)
        elif fact is Fact.SILENT:
            _confirmed(session, case, since, now)
            confirmed += 1
        case.checked_at = now
    session.flush()
    return Verified(len(cases), reopened, confirmed)


def since_repair(session: Session, case: DefectCase) -> Since:
    """What the trips since the day after its repair felt in the defect's cell."""
    if case.repaired_day is None:
        return Since()
    row = session.execute(
        sa.select(
            sa.func.coalesce(sa.func.sum(RoadSighting.passes), 0),
            sa.func.coalesce(sa.func.sum(RoadSighting.weak), 0),
            sa.func.coalesce(sa.func.sum(RoadSighting.strong), 0),
            sa.func.count(RoadSighting.day.distinct()),
        ).where(
            RoadSighting.packet == case.packet,
            RoadSighting.cell == case.cell,
            RoadSighting.octant.in_(_octants(case.octant)),
            RoadSighting.day > case.repaired_day,
        )
    ).one()
    return Since(*map(int, row))


def _reopened(session: Session, case: DefectCase, since: Since, now: datetime) -> bool:
    """Open the request again, once for each repair, and say why; whether that was needed."""
    report = weighing.leader_of(session, case)
    if Status(report.status) not in (Status.RESOLVED, Status.CLOSED):
        # A person was faster: the case follows that.
        return False
    place = jurisdictions.by_id(session, case.jurisdiction_id)
    words = wording.felt_again(language_for(place.default_locale), since.felt, since.passes)
    lifecycle.move(
        session,
        report,
        Status.REOPENED,
        by=SYSTEM,
        now=now,
        words=Words(public_note=words),
        reason=STILL_FELT,
        data={"felt": since.felt, "passes": since.passes},
    )
    _enter(session, case, Fact.FELT_AGAIN, now)
    weighing.weigh(session, [case.report_id], now=now)
    return True


def _confirmed(session: Session, case: DefectCase, since: Since, now: datetime) -> None:
    """Tell the team that its repair holds."""
    report = weighing.leader_of(session, case)
    place = jurisdictions.by_id(session, case.jurisdiction_id)
    words = wording.confirmed(language_for(place.default_locale), since.felt, since.passes)
    remarks.comment(session, report, Words(note=words), by=SYSTEM, now=now)
    _enter(session, case, Fact.SILENT, now)


def _enter(session: Session, case: DefectCase, fact: Fact, now: datetime) -> None:
    state = next_state(CaseState(case.state), fact)
    assert state is not None
    following.enter(session, case, state, at=now, now=now)


def _octants(octant: int) -> Sequence[int]:
    # A defect stands for its octant and the next: a street may run between two.
    return (octant, (octant + 1) % OCTANTS)
