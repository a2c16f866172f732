"""How long reports usually take: the arithmetic, the nightly computation, what people read."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from core.tokens import Purpose, token_for
from geo import jurisdictions
from geo.jurisdictions import JurisdictionRef
from geo.models import Area, Jurisdiction
from reports.case_files import PastCase
from reports.forecast import evaluation, foreseeing, telling
from reports.forecast.foreseeing import Forecast
from reports.forecast.survival import EDGES_H, STRETCHES, Tally, curve_of, stretch_of
from reports.models import Service
from reports.vocabulary import Status
from tests.conftest import SECRET_KEY
from tests.factories import WEDNESDAY, new_area, new_jurisdiction, new_report, new_service

HOUR = timedelta(hours=1)


def tally_of(closed: list[float], still_open: list[float]) -> Tally:
    tally = Tally()
    for hours in closed:
        tally.add(stretch_of(hours), is_closed=True)
    for hours in still_open:
        tally.add(stretch_of(hours), is_closed=False)
    return tally


# -- the arithmetic -------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 5000), min_size=1), st.lists(st.floats(0, 5000)))
def test_a_share_closed_only_grows_and_quantiles_keep_their_order(
    closed: list[float], still_open: list[float]
) -> None:
    curve = curve_of(tally_of(closed, still_open))
    shares = [curve.share_within(hours) for hours in EDGES_H]
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)
    quantiles = [curve.within(share) for share in (0.1, 0.5, 0.8, 0.9)]
    known = [each for each in quantiles if each is not None]
    assert known == sorted(known)
    assert quantiles[len(known) :] == [None] * (4 - len(known))


def test_without_open_cases_the_median_is_that_of_the_cases() -> None:
    chance = random.Random(3)
    hours = sorted(chance.expovariate(1 / 50) for _ in range(2001))
    found = curve_of(tally_of(hours, [])).within(0.5)
    assert found == pytest.approx(hours[1000], rel=0.1)


def test_open_cases_count_as_having_lasted() -> None:
    chance = random.Random(5)
    lasted = [chance.expovariate(1 / 100) for _ in range(4000)]
    seen_for = [chance.uniform(0, 200) for _ in lasted]
    closed = [hours for hours, seen in zip(lasted, seen_for, strict=True) if hours <= seen]
    waiting = [seen for hours, seen in zip(lasted, seen_for, strict=True) if hours > seen]
    true = 100 * 0.6931
    naive = sorted(closed)[len(closed) // 2]
    found = curve_of(tally_of(closed, waiting)).within(0.5)
    assert found == pytest.approx(true, rel=0.1)
    assert naive < 0.8 * true


def test_nothing_is_said_of_a_share_that_was_never_seen() -> None:
    curve = curve_of(tally_of([1.0] * 3, [100.0] * 7))
    assert curve.within(0.2) is not None
    assert curve.within(0.5) is None


def test_a_small_cell_leans_on_the_wider_and_a_large_one_stands_alone() -> None:
    wider = curve_of(tally_of([100.0] * 500, []))
    few = curve_of(tally_of([10.0] * 5, []), wider, 100).within(0.5)
    many = curve_of(tally_of([10.0] * 5000, []), wider, 100).within(0.5)
    assert few is not None
    assert many is not None
    assert few > 80
    assert many < 12


def test_every_duration_has_its_stretch() -> None:
    assert stretch_of(0) == 0
    assert stretch_of(10**9) == STRETCHES - 1
    assert all(stretch_of(edge) == min(at, STRETCHES - 1) for at, edge in enumerate(EDGES_H))


def past(count: int, hours: float, *, of: str, until: datetime) -> list[PastCase]:
    """Cases of one type, four each day, that last about so long; open where the file ends."""
    chance = random.Random(of)
    cases = []
    for number in range(count):
        opened_at = until - timedelta(hours=6 * (count - number))
        closed_at = opened_at + chance.expovariate(1 / hours) * HOUR
        cases.append(
            PastCase(
                line=number,
                id=f"{of}-{number}",
                opened_at=opened_at,
                closed_at=closed_at if closed_at <= until else None,
                type=of,
                address=None,
                point=None,
            )
        )
    return cases


def test_on_a_city_that_does_not_change_four_in_five_lie_in_the_interval() -> None:
    cases = [
        *past(400, 30, of="lamp", until=WEDNESDAY),
        *past(400, 200, of="tree", until=WEDNESDAY),
    ]
    months = dict(evaluation.by_month(cases, evaluation.ways(None)["forecast"]))
    usual = dict(
        evaluation.by_month(cases, evaluation.ways(None)["quantiles of closed cases, by type"])
    )
    assert len(months) >= 2
    for month, held in months.items():
        assert held.inside == pytest.approx(0.8, abs=0.12)
        assert sum(held.pinball) <= 1.05 * sum(usual[month].pinball)


def test_a_forecast_for_a_week_knows_nothing_of_what_was_closed_in_it() -> None:
    cases = past(200, 30, of="lamp", until=WEDNESDAY)
    week = WEDNESDAY - timedelta(days=10)
    before = [case for case in cases if case.opened_at < week]
    later = [
        replace(case, closed_at=None) if case.closed_at and case.closed_at > week else case
        for case in before
    ]
    way = evaluation.ways(None)["forecast"]
    assert way(before, week)(cases[-1]) == way(later, week)(cases[-1])


# -- in words -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("median_h", "most_h", "en", "fr"),
    [
        (
            70.0,
            210.0,
            "Usually fixed within 3 days; 4 of 5 within 9 days.",
            "D’ordinaire réglé en 3 jours au plus ; 4 fois sur 5 en 9 jours.",
        ),
        (
            0.5,
            20.0,
            "Usually fixed within an hour; 4 of 5 within 20 hours.",
            "D’ordinaire réglé en une heure au plus ; 4 fois sur 5 en 20 heures.",
        ),
        (
            600.0,
            None,
            "Half are fixed within 4 weeks; some take much longer.",
            "Réglé une fois sur deux en 4 semaines au plus ; parfois bien plus tard.",
        ),
        (
            30.0,
            40.0,
            "4 of 5 are fixed within 2 days.",
            "Réglé 4 fois sur 5 en 2 jours au plus.",
        ),
        (
            2000.0,
            4000.0,
            "Usually fixed within 3 months; 4 of 5 within 6 months.",
            "D’ordinaire réglé en 3 mois au plus ; 4 fois sur 5 en 6 mois.",
        ),
    ],
)
def test_a_forecast_reads_well_in_both_languages(
    median_h: float, most_h: float | None, en: str, fr: str
) -> None:
    forecast = Forecast(1, None, None, 100, 90, 1.0, median_h, most_h, None)
    assert telling.sentence(forecast, "en") == en
    assert telling.sentence(forecast, "fr-CA") == fr


# -- a city's nights ------------------------------------------------------------------------------


@pytest.fixture
def city(session: Session) -> Jurisdiction:
    return new_jurisdiction(session)


def place_of(session: Session, city: Jurisdiction) -> JurisdictionRef:
    jurisdictions.forget()
    return jurisdictions.by_id(session, city.id)


def fixed_after(
    session: Session, service: Service, hours: list[float], *, areas: tuple[Area, ...] = ()
) -> None:
    for number, each in enumerate(hours):
        asked_at = WEDNESDAY - timedelta(days=60) + number * HOUR
        new_report(
            session,
            service=service,
            status=Status.RESOLVED,
            requested_at=asked_at,
            resolved_at=asked_at + each * HOUR,
            areas=areas,
        )


def foreseen(
    session: Session, city: Jurisdiction, service: Service, areas: tuple[int, ...] = ()
) -> Forecast | None:
    place = place_of(session, city)
    return foreseeing.foresee(session, place, service.id, areas=areas, at=WEDNESDAY)


def test_a_night_computes_what_is_usual_and_a_second_one_changes_nothing(
    session: Session, city: Jurisdiction
) -> None:
    service = new_service(session, city)
    fixed_after(session, service, [24.0 * (1 + number % 10) for number in range(60)])
    assert foreseeing.recompute(session, place_of(session, city), now=WEDNESDAY)
    found = foreseen(session, city, service)
    assert found is not None
    assert (found.cases, found.closed) == (60, 60)
    assert found.median_h == pytest.approx(5.5 * 24, rel=0.15)
    assert found.four_in_five_h == pytest.approx(8 * 24, rel=0.15)
    assert not foreseeing.recompute(session, place_of(session, city), now=WEDNESDAY)


def test_open_reports_lengthen_it_and_joined_ones_do_not_count(
    session: Session, city: Jurisdiction
) -> None:
    service = new_service(session, city)
    fixed_after(session, service, [10.0] * 40)
    leader = new_report(session, service=service, requested_at=WEDNESDAY - timedelta(days=50))
    for _ in range(39):
        new_report(session, service=service, requested_at=WEDNESDAY - timedelta(days=50))
    for _ in range(10):
        new_report(
            session,
            service=service,
            parent=leader,
            requested_at=WEDNESDAY - timedelta(days=50),
        )
    foreseeing.recompute(session, place_of(session, city), now=WEDNESDAY)
    found = foreseen(session, city, service)
    assert found is not None
    assert (found.cases, found.closed) == (80, 40)
    assert found.four_in_five_h is None


def test_of_a_service_with_few_cases_nothing_is_said(session: Session, city: Jurisdiction) -> None:
    service = new_service(session, city)
    fixed_after(session, service, [5.0] * (foreseeing.FEWEST_CASES - 1))
    foreseeing.recompute(session, place_of(session, city), now=WEDNESDAY)
    assert foreseen(session, city, service) is None


def test_an_area_with_many_cases_has_its_own(session: Session, city: Jurisdiction) -> None:
    service = new_service(session, city)
    slow, quick = new_area(session, city), new_area(session, city)
    fixed_after(session, service, [400.0] * 150, areas=(slow,))
    fixed_after(session, service, [4.0] * 150, areas=(quick,))
    foreseeing.recompute(session, place_of(session, city), now=WEDNESDAY)
    there = foreseen(session, city, service, (slow.id,))
    here = foreseen(session, city, service, (quick.id,))
    assert there is not None
    assert here is not None
    assert there.median_h is not None
    assert here.median_h is not None
    assert there.median_h > 10 * here.median_h


def test_people_read_it_with_the_catalogue_the_report_and_the_answer_of_intake(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    service = new_service(session, city, code="lamp")
    other = new_service(session, city, code="rare")
    fixed_after(session, service, [48.0] * 60)
    waiting = new_report(session, service=service)
    over = new_report(session, service=service, status=Status.RESOLVED, resolved_at=WEDNESDAY)
    foreseeing.recompute(session, place_of(session, city), now=WEDNESDAY)
    foreseeing.forget()
    query = f"jurisdiction={city.code}&locale=en"
    listed = client.get(f"/api/v1/services?{query}").json["items"]
    usual = {each["code"]: each["usual_time"] for each in listed}
    assert usual[other.code] is None
    assert usual["lamp"]["text"] == "Usually fixed within 2 days; 4 of 5 within 3 days."
    shown = client.get(f"/api/v1/reports/{waiting.id}?locale=fr").json
    assert (
        shown["usual_time"]["text"]
        == "D’ordinaire réglé en 2 jours au plus ; 4 fois sur 5 en 3 jours."
    )
    assert client.get(f"/api/v1/reports/{over.id}").json["usual_time"] is None
    page = client.get(
        f"/r/{waiting.id}/{token_for(SECRET_KEY, Purpose.TRACK, waiting.id, 1)}?lang=en"
    )
    assert "Usually fixed within 2 days" in page.text
    sent = client.post(
        "/api/v1/reports",
        json={
            "jurisdiction": city.code,
            "service_code": "lamp",
            "lat": 43.6086,
            "lon": 3.8797,
            "contact": {"locale": "en"},
        },
        headers={"Accept-Language": "en"},
    )
    assert sent.json["usual_time"]["median_hours"] > 0
