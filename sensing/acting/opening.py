"""Tells a city of the defects that phones felt: once a day, each of them once.

`act` does a city's round of the day in the caller's transaction:

1. The round is claimed. Who comes second finds it done; so however many workers ask, a defect is
   acted on once.
2. Defects that changed since the last round are judged, and those over the thresholds of the city's
   policy (`sensing.policy`) that should be mended are gone through, under the locks that triage
   takes too: nobody files or joins a report there meanwhile.
3. A defect at the place of a case is that case's: its trips strengthen the request. A request that
   somebody else has open there of the same family is joined: the defect becomes evidence of it.
   Else a request is opened, `source: sensor`, through the same intake as everybody's.

What the city does then is heard by `sensing.acting.following`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from accounts.actors import ANONYMOUS
from core.errors import DomainError
from core.ids import new_id
from geo.cells import cell_of, cover_disk
from geo.jurisdictions import JurisdictionRef
from geo.measures import Point, distance_m
from reports import remarks, submission
from reports.catalogue import Catalogue, ServiceEntry, catalogue_of
from reports.changing import Words
from reports.duplicates import finding
from reports.duplicates.rules import Features
from reports.history import SYSTEM
from reports.models import ServiceRequest
from reports.submission import Caller, Draft
from reports.vocabulary import OPEN_STATUSES, Source, Visibility
from sensing.acting import verdicts, weighing, wording
from sensing.acting.models import DefectCase, DefectRound
from sensing.acting.rules import DISMISSED_FOR_DAYS, LIVE, is_same_place, is_worth_saying
from sensing.acting.vocabulary import CaseState
from sensing.acting.wording import Felt, language_for
from sensing.grid import APART_M
from sensing.models import RoadDefect
from sensing.policy import RoadPolicy
from sensing.vocabulary import Verdict

log = structlog.get_logger()

#: Defects that one round looks at; what is left waits for the next day.
MOST = 1_000

#: The intake's caller: nobody who could be asked, told or blocked.
SENSOR = Caller(actor=ANONYMOUS, address="", default_source=Source.SENSOR)


@dataclass(frozen=True, slots=True)
class Acted:
    """What a round did.

    Attributes:
        is_first: false: it was done before, or the city does not act on defects.
        strengthened: requests that were there, and got more evidence.
    """

    is_first: bool = False
    opened: int = 0
    strengthened: int = 0


def evidence_url(base_url: str, defect_id: object) -> str:
    """Where the evidence of a defect is drawn."""
    return f"{base_url}/api/v1/road-defects/{defect_id}/evidence.svg"


def act(
    session: Session, place: JurisdictionRef, *, now: datetime, secret: str, base_url: str
) -> Acted:
    """Do the city's round of the day, if nobody did yet; in the caller's transaction."""
    policy = RoadPolicy.of(place.policy)
    catalogue = catalogue_of(session, place.id)
    service = None if policy is None else catalogue.by_code.get(policy.service)
    if policy is None or service is None or not service.is_active:
        return Acted()
    if not _claim(session, place, now):
        return Acted()
    rows = _changed(session, place)
    judgements = verdicts.judged(session, [row for row in rows if row.is_present])
    worth = [
        row
        for row in rows
        if row.id in judgements
        and judgements[row.id].verdict is Verdict.ACTIONABLE
        and policy.is_enough(belief=row.belief, severity=row.severity, hits=row.hits)
    ]
    _lock(session, catalogue, service, worth, now)
    _hold_cases(session, place, worth)
    opened = strengthened = 0
    for row in worth:
        case = _case_at(session, row, now)
        if case is None:
            report = _open_report_at(session, catalogue, service, row)
            if report is not None:
                case = _joined(session, row, report, place, policy, now, base_url)
                strengthened += 1
            elif _opened(session, row, place, policy, now, secret, base_url) is not None:
                opened += 1
        elif case.state == CaseState.OPEN:
            strengthened += _strengthened(session, case, row, place, policy, now, base_url)
    # Last: from here on trips that come meanwhile, and change the same rows, wait.
    verdicts.keep(session, rows, judgements)
    if rows:
        looked_at = [{"id": row.id, "acted_version": row.version} for row in rows]
        session.execute(sa.update(RoadDefect), looked_at)
    return Acted(True, opened, strengthened)


def _claim(session: Session, place: JurisdictionRef, now: datetime) -> bool:
    """Whether today's round is ours; waits for whoever is doing it."""
    today = now.astimezone(place.time_zone).date()
    insert = postgresql.insert(DefectRound).values(jurisdiction_id=place.id, day=today)
    claimed = session.scalar(
        insert.on_conflict_do_update(
            index_elements=["jurisdiction_id"],
            set_={"day": today},
            where=DefectRound.day < today,
        ).returning(DefectRound.jurisdiction_id)
    )
    return claimed is not None


def _changed(session: Session, place: JurisdictionRef) -> Sequence[RoadDefect]:
    """The defects that changed since they were last looked at, by id."""
    return session.scalars(
        sa.select(RoadDefect)
        .where(
            RoadDefect.jurisdiction_id == place.id, RoadDefect.acted_version < RoadDefect.version
        )
        .order_by(RoadDefect.id)
        .limit(MOST)
        .execution_options(populate_existing=True)
    ).all()


def _lock(
    session: Session,
    catalogue: Catalogue,
    service: ServiceEntry,
    rows: Sequence[RoadDefect],
    now: datetime,
) -> None:
    """Take the locks of duplicates about these places: triage waits for us, and we for it."""
    judge = finding.judge_of(session, catalogue)
    scope = finding.scope_of(service, catalogue, judge)
    around = finding.Neighbourhoods(catalogue, judge)
    keys: list[int] = []
    for row in rows:
        keys += around.keys(
            Features(
                row.id, service.id, now, Point(row.lat, row.lon), scope, accuracy_m=row.error_m
            )
        )
    finding.take_locks(session, keys)


def _hold_cases(session: Session, place: JurisdictionRef, rows: Sequence[RoadDefect]) -> None:
    """Keep the city's cases as they are until the end of the transaction.

    All at once and by id, as `sensing.acting.following` does: who took them one by one, by place,
    would wait for somebody who waits for them.
    """
    if rows:
        session.execute(
            sa.select(DefectCase.id)
            .where(DefectCase.jurisdiction_id == place.id)
            .order_by(DefectCase.id)
            .with_for_update()
        )


def _case_at(session: Session, row: RoadDefect, now: datetime) -> DefectCase | None:
    """The case whose place this is: a live one, else one that was dismissed a short while ago."""
    point = Point(row.lat, row.lon)
    since = now - timedelta(days=DISMISSED_FOR_DAYS)
    near = session.scalars(
        sa.select(DefectCase)
        .where(
            DefectCase.jurisdiction_id == row.jurisdiction_id,
            sa.or_(
                DefectCase.defect_id == row.id,
                *(
                    DefectCase.place_cell.between(low, high)
                    for low, high in cover_disk(point, APART_M)
                ),
            ),
            sa.or_(
                DefectCase.state.in_([state.value for state in LIVE]),
                sa.and_(
                    DefectCase.state == CaseState.DISMISSED.value, DefectCase.ended_at >= since
                ),
            ),
        )
        .execution_options(populate_existing=True)
    ).all()
    here = [
        case
        for case in near
        if case.defect_id == row.id
        or is_same_place(distance_m(point, Point(case.lat, case.lon)), row.octant, case.octant)
    ]
    here.sort(
        key=lambda case: (
            case.state == CaseState.DISMISSED,
            # Its own first: another one that took its name would be the second of that name.
            case.defect_id != row.id,
            distance_m(point, Point(case.lat, case.lon)),
            case.id,
        )
    )
    return here[0] if here else None


def _open_report_at(
    session: Session, catalogue: Catalogue, service: ServiceEntry, row: RoadDefect
) -> ServiceRequest | None:
    """The nearest open request of the service's family that may be about this place."""
    point = Point(row.lat, row.lon)
    radius_m = service.duplicate_radius_m + row.error_m
    found = session.execute(
        sa.select(ServiceRequest.id, ServiceRequest.lat, ServiceRequest.lon).where(
            ServiceRequest.jurisdiction_id == row.jurisdiction_id,
            ServiceRequest.service_id.in_(catalogue.family_ids(service.family)),
            ServiceRequest.status.in_([status.value for status in OPEN_STATUSES]),
            ServiceRequest.parent_id.is_(None),
            ServiceRequest.visibility != Visibility.HIDDEN.value,
            sa.or_(
                *(
                    ServiceRequest.cell.between(low, high)
                    for low, high in cover_disk(point, radius_m)
                )
            ),
        )
    ).all()
    near = sorted(
        (away_m, each.id)
        for each in found
        if (away_m := distance_m(point, Point(each.lat, each.lon))) <= radius_m
    )
    return session.get_one(ServiceRequest, near[0][1]) if near else None


def _opened(
    session: Session,
    row: RoadDefect,
    place: JurisdictionRef,
    policy: RoadPolicy,
    now: datetime,
    secret: str,
    base_url: str,
) -> DefectCase | None:
    """The case of a request that is opened for it; None where intake refuses."""
    language = language_for(place.default_locale)
    felt = felt_of(row)
    draft = Draft(
        service_code=policy.service,
        jurisdiction=place.code,
        id=new_id(),
        point=Point(row.lat, row.lon),
        accuracy_m=float(wording.within_m(row.error_m)),
        description=wording.description(language, felt),
        attributes=policy.attributes,
        locale=language,
    )
    try:
        with session.begin_nested():
            submitted = submission.submit(session, draft, SENSOR, now=now, secret=secret)
    except DomainError as error:
        # The folder was changed so that the service asks something new: the city is on its map.
        log.error("road_defects.refused", defect_id=str(row.id), code=error.code)
        return None
    report = session.get_one(ServiceRequest, submitted.id)
    case = _kept(session, row, report, now, is_opened=True)
    link = evidence_url(base_url, row.id)
    remarks.comment(
        session, report, Words(note=wording.plot_note(language, link)), by=SYSTEM, now=now
    )
    _weigh(session, case, policy, now)
    return case


def _joined(
    session: Session,
    row: RoadDefect,
    report: ServiceRequest,
    place: JurisdictionRef,
    policy: RoadPolicy,
    now: datetime,
    base_url: str,
) -> DefectCase:
    """The case of a request that is there: the defect is its evidence, and its team is told."""
    case = _kept(session, row, report, now, is_opened=False)
    _say(session, case, row, place, now, base_url)
    _weigh(session, case, policy, now)
    return case


def _strengthened(
    session: Session,
    case: DefectCase,
    row: RoadDefect,
    place: JurisdictionRef,
    policy: RoadPolicy,
    now: datetime,
    base_url: str,
) -> bool:
    """Count what was felt since in a case that is open; whether that is more than before."""
    # Evidence may have moved to the next cell; who verifies a repair later looks there.
    case.defect_id, case.packet, case.cell, case.octant = row.id, row.packet, row.cell, row.octant
    case.lat, case.lon, case.place_cell = row.lat, row.lon, cell_of(Point(row.lat, row.lon))
    if row.hits <= case.hits:
        return False
    case.hits = row.hits
    if is_worth_saying(row.hits, case.said_hits):
        _say(session, case, row, place, now, base_url)
    _weigh(session, case, policy, now)
    return True


def _kept(
    session: Session, row: RoadDefect, report: ServiceRequest, now: datetime, *, is_opened: bool
) -> DefectCase:
    case = DefectCase(
        id=new_id(),
        jurisdiction_id=row.jurisdiction_id,
        defect_id=row.id,
        packet=row.packet,
        cell=row.cell,
        octant=row.octant,
        place_cell=cell_of(Point(row.lat, row.lon)),
        lat=row.lat,
        lon=row.lon,
        report_id=report.id,
        is_opened=is_opened,
        state=CaseState.OPEN.value,
        hits=row.hits,
        said_hits=row.hits,
        witnesses=0,
        opened_at=now,
    )
    session.add(case)
    session.flush()
    return case


def _say(
    session: Session,
    case: DefectCase,
    row: RoadDefect,
    place: JurisdictionRef,
    now: datetime,
    base_url: str,
) -> None:
    """Tell the team of the request what was felt."""
    note = wording.evidence_note(
        language_for(place.default_locale), felt_of(row), evidence_url(base_url, row.id)
    )
    report = weighing.leader_of(session, case)
    remarks.comment(session, report, Words(note=note), by=SYSTEM, now=now)
    case.said_hits = row.hits


def _weigh(session: Session, case: DefectCase, policy: RoadPolicy, now: datetime) -> None:
    case.witnesses = policy.witnesses(case.hits)
    session.flush()
    weighing.weigh(session, [case.report_id], now=now)


def felt_of(row: RoadDefect) -> Felt:
    """The figures of a defect, for words."""
    return Felt(
        hits=row.hits,
        passes=row.passes,
        belief=row.belief,
        severity=row.severity,
        error_m=row.error_m,
        heading_deg=row.heading_deg,
        first_day=row.first_day,
        last_day=row.last_day,
    )
