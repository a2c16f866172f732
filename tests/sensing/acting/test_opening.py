"""Defects become requests: once, beside those of people, and only where they should be mended."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo.jurisdictions import JurisdictionRef
from geo.measures import Point, destination
from reports.models import HistoryEntry, Note, ServiceRequest
from reports.vocabulary import NoteKind, Source, Status, Visibility
from sensing.acting import opening
from sensing.acting.opening import Acted
from sensing.acting.vocabulary import CaseState
from sensing.models import RoadDefect
from tests.factories import COMEDIE, WEDNESDAY, new_asset, new_asset_kind, new_report
from tests.sensing.defects import (
    BASE_URL,
    SECRET,
    TODAY,
    at,
    case_of,
    cases_of,
    new_defect,
    new_road_city,
)


def act(session: Session, place: JurisdictionRef, day: int = TODAY) -> Acted:
    return opening.act(session, place, now=at(day), secret=SECRET, base_url=BASE_URL)


def notes_of(session: Session, report_id: object, kind: NoteKind) -> list[str]:
    return list(
        session.scalars(
            sa.select(Note.body)
            .where(Note.report_id == report_id, Note.kind == kind.value)
            .order_by(Note.created_at, Note.id)
        )
    )


def test_a_defect_opens_a_request_that_says_what_was_felt(session: Session) -> None:
    place, service = new_road_city(session)
    defect = new_defect(session, place)

    assert act(session, place) == Acted(True, opened=1)

    report = session.scalars(sa.select(ServiceRequest)).one()
    assert report.source == Source.SENSOR
    assert (report.service_id, report.status) == (service.id, Status.RECEIVED)
    assert report.visibility == Visibility.PUBLIC
    assert (report.lat, report.lon, report.accuracy_m) == (defect.lat, defect.lon, 6.0)
    assert report.locale == "fr"
    assert report.description == (
        "Ressenti par des téléphones en voiture : 14 trajets sur 17 ont senti une secousse, entre"
        " le 19 février 2026 et le 10 mars 2026, en roulant vers le nord. Position à 6 m près."
        " Gravité 5,2 sur 10, vraisemblance 97 %. C’est une estimation faite par des capteurs :"
        " personne n’est encore venu voir."
    )
    [note] = notes_of(session, report.id, NoteKind.INTERNAL)
    assert f"{BASE_URL}/api/v1/road-defects/{defect.id}/evidence.svg" in note
    kinds = session.scalars(sa.select(HistoryEntry.actor_kind)).all()
    assert set(kinds) == {"system"}
    case = case_of(session, defect)
    assert (case.state, case.is_opened, case.report_id) == (CaseState.OPEN, True, report.id)


def test_a_defect_is_acted_on_once_whatever_comes_after(session: Session) -> None:
    place, _ = new_road_city(session)
    defect = new_defect(session, place)
    act(session, place)
    assert act(session, place) == Acted(False)
    defect.hits, defect.passes, defect.version = 20, 24, 2
    session.flush()
    assert act(session, place, TODAY + 1) == Acted(True, opened=0, strengthened=1)
    assert act(session, place, TODAY + 2) == Acted(True)
    assert session.scalar(sa.select(sa.func.count()).select_from(ServiceRequest)) == 1


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"belief": 0.85}, "not sure enough"),
        ({"severity": 1.5}, "too slight"),
        ({"hits": 2, "passes": 3}, "too few"),
        ({"symmetry": 0.7, "width_m": 7.5}, "a hump"),
        ({"symmetry": None, "width_m": None, "hits": 4, "passes": 4}, "nobody knows what"),
        ({"is_present": False}, "gone"),
    ],
)
def test_what_is_not_sure_hard_and_to_be_mended_stays_on_the_map(
    session: Session, values: dict[str, Any], why: str
) -> None:
    place, _ = new_road_city(session)
    new_defect(session, place, **values)
    assert act(session, place) == Acted(True), why
    assert cases_of(session) == []


def test_a_hump_of_the_register_is_not_reported(session: Session) -> None:
    place, _ = new_road_city(session, known_as={"ralentisseur": "speed_hump"})
    kind = new_asset_kind(session, code="ralentisseur", jurisdiction_id=place.id)
    new_asset(session, kind, point=destination(COMEDIE, 90.0, 3.0))
    defect = new_defect(session, place, symmetry=-0.4, width_m=5.0)
    far = new_defect(
        session, place, point=destination(COMEDIE, 90.0, 300.0), symmetry=-0.4, width_m=5.0
    )
    assert act(session, place) == Acted(True, opened=1)
    assert case_of(session, far)
    session.expire_all()
    verdicts = {row.id: row.verdict for row in session.scalars(sa.select(RoadDefect))}
    assert verdicts == {defect.id: "unknown", far.id: "actionable"}


def test_a_city_that_says_nothing_of_defects_gets_no_requests(session: Session) -> None:
    place, _ = new_road_city(session)
    silent, _ = new_road_city(session, service={"is_active": False})
    new_defect(session, silent)
    assert act(session, silent) == Acted(False)
    assert cases_of(session) == []
    assert place.id != silent.id


def test_a_report_that_is_open_there_is_strengthened_instead(session: Session) -> None:
    place, service = new_road_city(session, trips_per_person=5)
    theirs = new_report(session, service, at=destination(COMEDIE, 45.0, 12.0))
    defect = new_defect(session, place)

    assert act(session, place) == Acted(True, strengthened=1)

    case = case_of(session, defect)
    assert (case.report_id, case.is_opened) == (theirs.id, False)
    [note] = notes_of(session, theirs.id, NoteKind.INTERNAL)
    assert "14 trajets sur 17" in note
    session.refresh(theirs)
    assert theirs.sensed_by == 2


def test_priority_rises_with_the_trips_that_felt_it(session: Session) -> None:
    place, service = new_road_city(session, service={"evidence_priority": [[3, 1], [6, 2]]})
    theirs = new_report(session, service)
    defect = new_defect(session, place)
    act(session, place)
    session.refresh(theirs)
    assert (theirs.sensed_by, theirs.priority) == (2, 1)
    defect.hits, defect.version = 30, 2
    session.flush()
    act(session, place, TODAY + 1)
    session.refresh(theirs)
    assert (theirs.sensed_by, theirs.priority) == (6, 2)
    # Told again when there are twice as many, and not before.
    assert len(notes_of(session, theirs.id, NoteKind.INTERNAL)) == 2


@pytest.mark.parametrize(
    "values",
    [
        {"status": Status.RESOLVED},
        {"visibility": Visibility.HIDDEN.value},
        {"at": destination(COMEDIE, 0.0, 60.0)},
    ],
)
def test_a_report_that_is_over_hidden_or_elsewhere_is_not_strengthened(
    session: Session, values: dict[str, Any]
) -> None:
    place, service = new_road_city(session)
    new_report(session, service, **values)
    new_defect(session, place)
    assert act(session, place).opened == 1


def test_evidence_that_moves_to_the_next_cell_is_the_same_case(session: Session) -> None:
    place, _ = new_road_city(session)
    defect = new_defect(session, place)
    act(session, place)
    moved_to = destination(COMEDIE, 0.0, 14.0)
    defect.is_present, defect.version = False, 2
    other = new_defect(session, place, point=moved_to, octant=7, hits=16, passes=20)
    assert act(session, place, TODAY + 1) == Acted(True, strengthened=1)
    [case] = cases_of(session)
    assert (case.defect_id, case.cell, case.hits) == (other.id, other.cell, 16)


def test_a_defect_that_comes_near_another_case_keeps_its_own(session: Session) -> None:
    place, _ = new_road_city(session)
    defect = new_defect(session, place)
    other = new_defect(session, place, point=destination(COMEDIE, 90.0, 26.0))
    act(session, place)
    nearer = destination(COMEDIE, 90.0, 4.0)
    other.lat, other.lon, other.hits, other.version = nearer.lat, nearer.lon, 20, 2
    session.flush()
    assert act(session, place, TODAY + 1) == Acted(True, strengthened=1)
    assert {case.defect_id: case.hits for case in cases_of(session)} == {
        defect.id: 14,
        other.id: 20,
    }


def test_both_directions_of_a_street_are_two_defects_of_one_piece_of_work(session: Session) -> None:
    place, _ = new_road_city(session)
    new_defect(session, place)
    new_defect(session, place, octant=4)
    assert act(session, place) == Acted(True, opened=1, strengthened=1)
    one, other = cases_of(session)
    assert one.report_id == other.report_id


def test_what_a_person_dismissed_is_left_alone_for_a_year(session: Session) -> None:
    place, _ = new_road_city(session)
    defect = new_defect(session, place)
    act(session, place)
    case = case_of(session, defect)
    report = session.get_one(ServiceRequest, case.report_id)
    report.status = Status.REJECTED.value
    case.state, case.ended_at = CaseState.DISMISSED.value, at(TODAY)
    defect.version = 2
    session.flush()
    assert act(session, place, TODAY + 100) == Acted(True)
    defect.version = 3
    session.flush()
    assert act(session, place, TODAY + 400) == Acted(True, opened=1)


def test_a_service_that_asks_something_new_is_logged_and_stops_nobody(session: Session) -> None:
    place, service = new_road_city(session)
    service.attributes = [
        {"code": "danger", "datatype": "string", "required": True, "order": 1, "variable": True}
    ]
    session.flush()
    defect = new_defect(session, place)
    assert act(session, place) == Acted(True)
    assert defect.acted_version == 0 or cases_of(session) == []


def test_answers_of_the_policy_are_given(session: Session) -> None:
    place, service = new_road_city(session, attributes={"danger": "non"})
    service.attributes = [
        {
            "code": "danger",
            "datatype": "singlevaluelist",
            "required": True,
            "order": 1,
            "variable": True,
            "values": [{"key": "oui", "names": {}}, {"key": "non", "names": {}}],
        }
    ]
    session.flush()
    new_defect(session, place)
    act(session, place)
    report = session.scalars(sa.select(ServiceRequest)).one()
    assert report.attributes == {"danger": "non"}


def test_the_round_is_of_the_citys_own_day(session: Session) -> None:
    place, _ = new_road_city(session)
    assert act(session, place).is_first
    # 23:30 UTC is the next day in Paris.
    late = at(TODAY, 23)
    again = opening.act(session, place, now=late, secret=SECRET, base_url=BASE_URL)
    assert again.is_first
    assert WEDNESDAY.date().isoformat() == "2026-03-11"


def test_a_defect_elsewhere_has_its_own_case(session: Session) -> None:
    place, _ = new_road_city(session)
    new_defect(session, place)
    new_defect(session, place, point=Point(COMEDIE.lat + 0.002, COMEDIE.lon))
    assert act(session, place) == Acted(True, opened=2)
