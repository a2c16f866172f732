"""What becomes of a request is heard by its case; later trips say whether a repair holds."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from core.db import db, transaction
from core.models import OutboxEvent
from geo import jurisdictions
from geo.jurisdictions import JurisdictionRef
from geo.measures import destination
from reports import lifecycle
from reports.changing import Words
from reports.duplicates import joining
from reports.history import Author
from reports.models import HistoryEntry, Note, Service, ServiceRequest
from reports.vocabulary import ActorKind, NoteKind, Status
from sensing.acting import cases, following, opening, verifying
from sensing.acting.models import DefectCase
from sensing.acting.vocabulary import CaseState
from sensing.models import RoadDefect, RoadRepair
from tests.factories import COMEDIE, new_report, new_team
from tests.sensing.defects import (
    BASE_URL,
    SECRET,
    TODAY,
    at,
    case_of,
    cases_of,
    drive_over,
    new_defect,
    new_road_city,
)

STAFF = Author(ActorKind.STAFF)

#: Whether somebody waits for the transaction that asks.
_WAITED_FOR = sa.text(
    "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted"
    " AND transactionid::text = pg_current_xact_id_if_assigned()::xid::text)"
)


@pytest.fixture
def place(session: Session) -> JurisdictionRef:
    return new_road_city(session)[0]


@pytest.fixture
def defect(session: Session, place: JurisdictionRef) -> RoadDefect:
    return new_defect(session, place)


@pytest.fixture
def case(session: Session, place: JurisdictionRef, defect: RoadDefect) -> DefectCase:
    """Of a request that a defect opened and that a team has."""
    opening.act(session, place, now=at(TODAY), secret=SECRET, base_url=BASE_URL)
    made = case_of(session, defect)
    report = report_of(session, made)
    report.team_id = new_team(session).id
    report.status = Status.TRIAGED.value
    session.flush()
    return made


@pytest.fixture
def move(session: Session, case: DefectCase) -> Callable[..., None]:
    """Staff moves the request, and the case follows."""

    def step(status: Status, day: int = TODAY) -> None:
        report = report_of(session, case)
        words = Words(public_note="Rien vu")
        lifecycle.move(session, report, status, by=STAFF, now=at(day, 9), words=words)
        following.follow(session, [report.id], now=at(day, 9))

    return step


def report_of(session: Session, case: DefectCase) -> ServiceRequest:
    return session.get_one(ServiceRequest, case.report_id)


def verify(session: Session, place: JurisdictionRef, day: int) -> verifying.Verified:
    return verifying.verify(session, place, now=at(day), before=at(day))


def test_a_repair_is_heard_with_its_day(
    session: Session, case: DefectCase, move: Callable[..., None]
) -> None:
    move(Status.RESOLVED, TODAY + 3)
    assert (case.state, case.repaired_day) == (CaseState.REPAIRED, TODAY + 3)
    # What was felt until then counts for almost nothing from now on.
    repair = session.scalars(sa.select(RoadRepair)).one()
    assert (repair.cell, repair.octant, repair.day) == (case.cell, case.octant, TODAY + 3)
    # Closing by itself is nothing new.
    move(Status.CLOSED, TODAY + 10)
    assert (case.state, case.repaired_day) == (CaseState.REPAIRED, TODAY + 3)


def test_hearing_twice_is_hearing_once(
    session: Session, case: DefectCase, move: Callable[..., None]
) -> None:
    move(Status.RESOLVED)
    assert following.follow(session, [case.report_id], now=at(TODAY + 1)) == 0
    assert case.repaired_day == TODAY


@pytest.mark.parametrize("status", [Status.REJECTED, Status.RESOLVED])
def test_a_request_that_a_person_opens_again_opens_its_case(
    session: Session, case: DefectCase, move: Callable[..., None], status: Status
) -> None:
    move(status)
    assert case.state == (CaseState.DISMISSED if status is Status.REJECTED else CaseState.REPAIRED)
    move(Status.REOPENED, TODAY + 2)
    assert (case.state, case.repaired_day, case.ended_at) == (CaseState.OPEN, None, None)


def test_silence_confirms_a_repair_and_tells_the_team(
    session: Session, place: JurisdictionRef, case: DefectCase, move: Callable[..., None]
) -> None:
    drive_over(session, case, TODAY - 1, passes=17, strong=14)
    move(Status.RESOLVED)
    drive_over(session, case, TODAY + 1, passes=4)
    assert verify(session, place, TODAY + 2) == verifying.Verified(1)
    drive_over(session, case, TODAY + 2, passes=3)
    assert verify(session, place, TODAY + 3) == verifying.Verified(1, confirmed=1)

    assert (case.state, case.confirmed_at) == (CaseState.CONFIRMED, at(TODAY + 3))
    notes = session.scalars(
        sa.select(Note.body).where(Note.kind == NoteKind.INTERNAL.value).order_by(Note.created_at)
    ).all()
    assert notes[-1] == (
        "Réparation confirmée par le silence : sur 7 trajets depuis, aucun n’a plus rien senti."
    )
    assert report_of(session, case).status == Status.RESOLVED
    assert verify(session, place, TODAY + 4) == verifying.Verified()


def test_what_is_still_felt_opens_the_request_again_once_and_says_why(
    session: Session, place: JurisdictionRef, case: DefectCase, move: Callable[..., None]
) -> None:
    move(Status.RESOLVED)
    drive_over(session, case, TODAY + 1, passes=3, strong=3)
    drive_over(session, case, TODAY + 2, passes=4, strong=3, weak=1)
    assert verify(session, place, TODAY + 3) == verifying.Verified(1, reopened=1)

    report = report_of(session, case)
    assert (report.status, case.state) == (Status.REOPENED, CaseState.OPEN)
    public = session.scalars(sa.select(Note.body).where(Note.kind == NoteKind.PUBLIC.value)).all()
    assert any("7 trajets sur 7 sentent encore" in body for body in public)
    entry = session.scalars(
        sa.select(HistoryEntry).where(HistoryEntry.to_status == Status.REOPENED.value)
    ).one()
    assert entry.actor_kind == ActorKind.SYSTEM
    assert entry.data["reason"] == verifying.STILL_FELT
    assert (entry.data["felt"], entry.data["passes"]) == (7, 7)
    assert verify(session, place, TODAY + 4) == verifying.Verified()


def test_trips_before_and_on_the_day_of_the_repair_say_nothing_of_it(
    session: Session, place: JurisdictionRef, case: DefectCase, move: Callable[..., None]
) -> None:
    move(Status.RESOLVED)
    drive_over(session, case, TODAY - 1, passes=40, strong=40)
    drive_over(session, case, TODAY, passes=40, strong=40)
    assert verify(session, place, TODAY + 1) == verifying.Verified(1)
    assert case.state == CaseState.REPAIRED


def test_a_repair_is_asked_about_once_a_round(
    session: Session, place: JurisdictionRef, case: DefectCase, move: Callable[..., None]
) -> None:
    move(Status.RESOLVED)
    assert verify(session, place, TODAY + 1).asked == 1
    assert verify(session, place, TODAY + 1).asked == 0
    assert verify(session, place, TODAY + 2).asked == 1
    assert case.state == CaseState.REPAIRED


def test_a_new_defect_at_a_repaired_place_waits_for_the_verdict(
    session: Session,
    place: JurisdictionRef,
    defect: RoadDefect,
    case: DefectCase,
    move: Callable[..., None],
) -> None:
    move(Status.RESOLVED)
    session.refresh(defect)
    defect.is_present, defect.version = True, 9
    session.flush()
    acted = opening.act(session, place, now=at(TODAY + 3), secret=SECRET, base_url=BASE_URL)
    assert acted == opening.Acted(True)
    assert cases_of(session) == [case]


def test_trips_go_along_when_requests_are_joined_and_come_back_with_them(
    session: Session, case: DefectCase
) -> None:
    report = report_of(session, case)
    assert report.sensed_by == 2
    service = session.get_one(Service, report.service_id)
    theirs = new_report(session, service, status=Status.TRIAGED)
    joining.join(session, report, theirs, by=STAFF, now=at(TODAY + 1))
    following.follow(session, [report.id, theirs.id], now=at(TODAY + 1))
    session.expire_all()
    assert (theirs.sensed_by, report.sensed_by) == (2, 0)
    assert cases.are_any(session, [theirs.id])

    lifecycle.move(session, theirs, Status.RESOLVED, by=STAFF, now=at(TODAY + 2))
    following.follow(session, [theirs.id], now=at(TODAY + 2))
    assert case.state == CaseState.REPAIRED
    lifecycle.move(session, theirs, Status.REOPENED, by=STAFF, now=at(TODAY + 3))
    following.follow(session, [theirs.id], now=at(TODAY + 3))
    joining.unjoin(session, report, by=STAFF, now=at(TODAY + 4))
    following.follow(session, [report.id, theirs.id], now=at(TODAY + 4))
    session.expire_all()
    assert (theirs.sensed_by, report.sensed_by) == (0, 2)


def test_requests_without_a_defect_are_no_work(session: Session) -> None:
    report = new_report(session)
    assert not cases.are_any(session, [report.id])
    assert following.follow(session, [report.id], now=at(TODAY)) == 0
    assert following.follow(session, [], now=at(TODAY)) == 0


def test_several_workers_at_the_same_instant_open_one_request(committed_db: Flask) -> None:
    with committed_db.app_context(), transaction() as session:
        place, _ = new_road_city(session)
        new_defect(session, place)

    def work(_: int) -> opening.Acted:
        with committed_db.app_context():
            try:
                with transaction() as session:
                    city = jurisdictions.by_id(session, place.id)
                    return opening.act(
                        session, city, now=at(TODAY), secret=SECRET, base_url=BASE_URL
                    )
            finally:
                db.session.remove()

    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(work, range(6)))
    assert sorted(each.opened for each in done) == [0, 0, 0, 0, 0, 1]
    with committed_db.app_context(), transaction() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(ServiceRequest)) == 1
        assert session.scalar(sa.select(sa.func.count()).select_from(DefectCase)) == 1
        submitted = sa.select(sa.func.count()).where(OutboxEvent.name == "report.submitted")
        assert session.scalar(submitted) == 1


def test_an_old_request_opened_again_leaves_the_case_to_the_new_one(
    session: Session, place: JurisdictionRef, case: DefectCase, move: Callable[..., None]
) -> None:
    move(Status.RESOLVED)
    case.state = CaseState.CONFIRMED.value
    defect = session.get_one(RoadDefect, case.defect_id)
    defect.is_present, defect.version = True, defect.version + 1
    session.flush()
    opening.act(session, place, now=at(TODAY + 30), secret=SECRET, base_url=BASE_URL)
    assert [each.state for each in cases_of(session)] == [CaseState.CONFIRMED, CaseState.OPEN]

    move(Status.REOPENED, TODAY + 31)

    assert [each.state for each in cases_of(session)] == [CaseState.CONFIRMED, CaseState.OPEN]


def test_a_round_and_who_follows_requests_do_not_wait_in_a_circle(committed_db: Flask) -> None:
    with committed_db.app_context(), transaction() as session:
        place, _ = new_road_city(session)
        away = destination(COMEDIE, 0.0, 200.0)
        # The second case is that of the first defect of the next round.
        made = sorted(
            (new_defect(session, place), new_defect(session, place, point=away)),
            key=lambda each: each.id,
        )
        made[0].acted_version = made[0].version
        opening.act(session, place, now=at(TODAY), secret=SECRET, base_url=BASE_URL)
        made[0].version += 1
        session.flush()
        opening.act(session, place, now=at(TODAY + 1), secret=SECRET, base_url=BASE_URL)
        first, second = (case.id for case in cases_of(session))
        for defect in made:
            defect.hits, defect.version = 40, defect.version + 2

    def act() -> opening.Acted:
        with committed_db.app_context(), transaction() as session:
            return opening.act(session, place, now=at(TODAY + 2), secret=SECRET, base_url=BASE_URL)

    take = sa.select(DefectCase.id).with_for_update()
    with ThreadPoolExecutor(1) as pool:
        with committed_db.app_context(), transaction() as following_:
            following_.execute(take.where(DefectCase.id == first))
            acting = pool.submit(act)
            while not following_.scalar(_WAITED_FOR):
                assert not acting.done()
            following_.execute(sa.text("SET LOCAL lock_timeout = '1s'"))
            following_.execute(take.where(DefectCase.id == second))
        assert acting.result(timeout=10) == opening.Acted(True, opened=0, strengthened=2)


def test_the_database_itself_refuses_a_second_live_case(session: Session, case: DefectCase) -> None:
    columns = {
        column.key: getattr(case, column.key)
        for column in DefectCase.__table__.columns
        if column.key != "id"
    }
    session.add(DefectCase(**columns))
    with pytest.raises(sa.exc.IntegrityError, match="uq_defect_cases_live"):
        session.flush()
    session.rollback()
