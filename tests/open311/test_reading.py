"""GET requests: what a list holds, which part of it, in which words; one request; the table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from core.clock import utc_now
from core.ids import new_id
from geo import jurisdictions
from geo.measures import Point, distance_m
from reports import history
from reports.duplicates import joining
from reports.history import Author, Entry
from reports.models import ServiceRequest
from reports.rules import public_point
from reports.vocabulary import ActorKind, HistoryKind, NoteKind, PhotoState, Status, Visibility
from tests.factories import (
    COMEDIE,
    new_follower,
    new_jurisdiction,
    new_photo,
    new_report,
    new_service,
    new_team,
)
from tests.open311.conftest import URL, Open311, Town, as_xml_says, read
from tests.statements import count_statements

NOW = datetime(2026, 3, 11, 9, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("open311.views.utc_now", lambda: NOW)


def ids(answer: Any) -> list[str]:
    return [each["service_request_id"] for each in answer.json]


def report(session: Session, town: Town, days_ago: float = 1, **values: Any) -> ServiceRequest:
    values.setdefault("requested_at", NOW - timedelta(days=days_ago))
    return new_report(session, values.pop("service", town.pothole), **values)


# -- what one is ----------------------------------------------------------------------------------


def test_a_request_says_everything_the_standard_names(
    open311: Open311, session: Session, town: Town
) -> None:
    team = new_team(session, town.city, agency="Voirie")
    closed_at = NOW - timedelta(hours=2)
    found = report(
        session,
        town,
        description="Un trou.\nProfond.",
        status=Status.RESOLVED,
        team=team,
        resolved_at=closed_at.replace(microsecond=250_000),
        updated_at=NOW,
        due_at=NOW + timedelta(days=2),
    )
    [entry] = history.append(
        session,
        [Entry(found.id, HistoryKind.STATUS, Author(ActorKind.STAFF), None, Status.RESOLVED)],
        now=closed_at,
    )
    for words in ("En cours.", "Réparé."):
        by = Author(ActorKind.STAFF)
        history.add_note(
            session, found.id, NoteKind.PUBLIC, words, by=by, history_id=entry, now=closed_at
        )
    photo = new_photo(session, found)
    new_photo(session, found, state=PhotoState.STAGED)
    new_photo(session, found, is_public=False)
    [document] = open311.get(f"requests/{found.id}.json").json
    assert document == {
        "service_request_id": str(found.id),
        "status": "closed",
        "status_notes": "Réparé.",
        "service_name": "Nid-de-poule",
        "service_code": "nid-de-poule",
        "description": "Un trou.\nProfond.",
        "agency_responsible": "Voirie",
        "service_notice": None,
        "requested_datetime": "2026-03-10T09:00:00Z",
        # Of a closed request, the day it was closed.
        "updated_datetime": "2026-03-11T07:00:00Z",
        "expected_datetime": "2026-03-13T09:00:00Z",
        "address": "1 place de la Comédie",
        "address_id": None,
        "zipcode": None,
        "lat": COMEDIE.lat,
        "long": COMEDIE.lon,
        "media_url": f"http://127.0.0.1:8000/media/{photo.id}/full.jpg",
    }


def test_an_empty_field_is_null_and_an_empty_element(
    open311: Open311, session: Session, town: Town
) -> None:
    found = report(session, town, description="", address=None, at=None)
    [document] = open311.get(f"requests/{found.id}.json").json
    assert {document[name] for name in ("description", "address", "lat", "media_url")} == {None}
    text = open311.get(f"requests/{found.id}.xml").get_data(as_text=True)
    assert "<description/>" in text
    assert "<lat/>" in text


@pytest.mark.parametrize("query", [{}, {"extensions": "true"}])
def test_both_formats_say_the_same_field_for_field(
    open311: Open311, session: Session, town: Town, query: dict[str, str]
) -> None:
    for status in Status:
        if status is not Status.DUPLICATE:
            found = report(session, town, service=town.asking, status=status, description="<&>")
            new_photo(session, found)
    found.attributes = {"line": "A", "many": ["a", "b"], "count": 3}
    session.flush()
    as_json = open311.get("requests.json", **query)
    as_xml = open311.get("requests.xml", **query)
    assert len(as_json.json) == len(Status) - 1
    assert read(as_xml) == as_xml_says(as_json.json)
    assert as_xml.headers["Content-Type"] == "text/xml; charset=utf-8"
    assert as_json.headers["Content-Type"] == "application/json; charset=utf-8"


def test_a_list_of_one_is_a_list_and_of_none_too(
    open311: Open311, session: Session, town: Town
) -> None:
    assert open311.get("requests.json").get_data(as_text=True) == "[]"
    assert read(open311.get("requests.xml")) == []
    report(session, town)
    assert len(open311.get("requests.json").json) == 1
    assert len(read(open311.get("requests.xml"))) == 1


@pytest.mark.parametrize("status", [status for status in Status if status != Status.DUPLICATE])
def test_a_status_is_open_or_closed(
    open311: Open311, session: Session, town: Town, status: Status
) -> None:
    found = report(session, town, status=status)
    word = "open" if status.is_open else "closed"
    assert open311.get(f"requests/{found.id}.json").json[0]["status"] == word
    assert ids(open311.get("requests.json", status=word)) == [str(found.id)]
    other = "closed" if status.is_open else "open"
    assert open311.get("requests.json", status=other).json == []


def test_a_duplicate_is_closed_and_says_of_what(
    open311: Open311, session: Session, town: Town
) -> None:
    parent, again = report(session, town), report(session, town)
    joining.join(session, again, parent, by=Author(ActorKind.SYSTEM), now=NOW)
    [document] = open311.get(f"requests/{again.id}.json").json
    assert document["status"] == "closed"
    assert str(parent.number) in document["status_notes"]
    parent.visibility = Visibility.HELD.value
    session.flush()
    [document] = open311.get(f"requests/{again.id}.json").json
    assert document["status_notes"] == "Signalement déjà connu."


def test_nobodys_contact_is_in_any_output(open311: Open311, session: Session, town: Town) -> None:
    found = report(session, town, display="full", locale="fr", address_given="chez Camille")
    new_follower(
        session, found, is_reporter=True, name="Camille Durand", phone="+33612345678",
        email="camille@exemple.org",
    )  # fmt: skip
    for path in ("requests.json", "requests.xml", "requests.csv", "servicerequestupdates.xml"):
        text = open311.get(path, extensions="true").get_data(as_text=True)
        for secret in ("camille", "durand", "612345678"):
            assert secret not in text.lower(), path


def test_a_service_that_shows_blocks_shows_no_more_of_the_place(
    open311: Open311, session: Session, town: Town
) -> None:
    found = report(session, town, service=town.block)
    [document] = open311.get(f"requests/{found.id}.json").json
    rounded = public_point(COMEDIE, "block")
    assert (document["lat"], document["long"]) == (round(rounded.lat, 6), round(rounded.lon, 6))
    assert document["address"] == "place de la Comédie"


@pytest.mark.parametrize("visibility", [Visibility.HELD, Visibility.HIDDEN])
def test_what_is_private_looks_missing(
    open311: Open311, session: Session, town: Town, visibility: Visibility
) -> None:
    found = report(session, town, visibility=visibility.value)
    assert open311.get("requests.json").json == []
    assert open311.get("requests.json", service_request_id=str(found.id)).json == []
    missing = open311.get("requests/01890000-0000-7000-8000-000000000000.json")
    private = open311.get(f"requests/{found.id}.json")
    assert private.status_code == missing.status_code == 404
    assert private.json == missing.json


def test_a_request_is_found_by_its_number_where_the_city_is_known(
    open311: Open311, session: Session, town: Town
) -> None:
    found = report(session, town)
    assert ids(open311.get(f"requests/{found.number}.json")) == [str(found.id)]
    other = new_jurisdiction(session, code="sete", centre=Point(43.4, 3.4))
    new_report(session, new_service(session, other))
    jurisdictions.forget()
    assert open311.get(f"requests/{found.number}.json").status_code == 404
    # An id says enough by itself.
    assert open311.get(f"requests/{found.id}.json").status_code == 200
    named = open311.get(f"requests/{found.number}.json", jurisdiction_id="montpellier")
    assert ids(named) == [str(found.id)]
    assert open311.get(f"requests/{found.id}.json", jurisdiction_id="sete").status_code == 404


# -- which ones -----------------------------------------------------------------------------------


def test_ids_override_everything(open311: Open311, session: Session, town: Town) -> None:
    old, new = report(session, town, 400), report(session, town, 1)
    report(session, town, 2)
    named = f"{old.id},{new.id},nonsense,01890000-0000-7000-8000-000000000000"
    answer = open311.get(
        "requests.json",
        service_request_id=named,
        status="nonsense",
        start_date="nonsense",
        service_code="other",
        page="0",
        lat="nonsense",
    )
    assert answer.status_code == 200
    assert ids(answer) == [str(new.id), str(old.id)]
    assert ids(open311.get("requests.json", service_request_id=f"{old.number}")) == [str(old.id)]


def test_lists_have_commas_or_come_several_times(
    client: FlaskClient, open311: Open311, session: Session, town: Town
) -> None:
    first = report(session, town, 1)
    second = report(session, town, 2, service=town.block, status=Status.CLOSED)
    report(session, town, 3, service=town.batch)
    both = [str(first.id), str(second.id)]
    codes = "nid-de-poule, vehicule"
    assert ids(open311.get("requests.json", service_code=codes)) == both
    several = client.get(f"{URL}/requests.json?service_code=nid-de-poule&service_code=vehicule")
    assert ids(several) == both
    assert ids(open311.get("requests.json", service_code=codes, status="closed")) == both[1:]
    assert len(open311.get("requests.json", status="open,closed").json) == 3
    # A service that nobody knows has no requests.
    assert open311.get("requests.json", service_code="dragons").json == []


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, [1, 89]),
        ({"start_date": "2026-03-10T09:00:00Z"}, [1]),
        ({"start_date": "2026-03-10T09:00:01Z"}, []),
        ({"end_date": "2026-03-10T09:00:00Z"}, [1, 89, 91]),
        ({"end_date": "2026-03-10T08:59:59Z"}, [89, 91]),
        ({"start_date": "2025-12-01T00:00:00Z"}, [89, 91]),
        ({"end_date": "2025-12-31T00:00:00Z"}, [89, 91]),
        ({"start_date": "2025-12-10T09:00:00Z", "end_date": "2025-12-12T09:00:00Z"}, [89, 91]),
        ({"start_date": "2025-12-12T10:00:00+01:00", "end_date": "2025-12-12T09:00:00Z"}, [89]),
        ({"start_date": "2025-12-12T10:00:00 01:00", "end_date": "2025-12-12T09:00:00Z"}, [89]),
        ({"start_date": "2025-12-12", "end_date": "2025-12-13"}, [89]),
        ({"updated_after": "2025-01-01T00:00:00Z"}, [1, 89, 91, 400]),
        ({"updated_after": "2026-03-10T09:00:01Z"}, [400]),
        ({"updated_before": "2025-12-12T09:00:00Z"}, [89, 91]),
        (
            {"updated_after": "2026-03-11T08:00:00Z", "updated_before": "2026-03-11T08:00:00Z"},
            [400],
        ),
    ],
)
def test_a_window_includes_both_its_ends(
    open311: Open311, session: Session, town: Town, query: dict[str, str], found: list[int]
) -> None:
    made = {}
    for days in (1, 89, 91, 400):
        at = NOW - timedelta(days=days)
        # Half a second later is the same second.
        made[days] = report(session, town, requested_at=at + timedelta(milliseconds=500))
        made[days].updated_at = at if days < 400 else NOW - timedelta(hours=1)
    session.flush()
    answer = open311.get("requests.json", **query)
    assert answer.status_code == 200, answer.json
    assert ids(answer) == [str(made[days].id) for days in found]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"start_date": "2025-01-01T00:00:00Z", "end_date": "2025-04-02T00:00:01Z"}, "90 days"),
        ({"start_date": "2026-01-02T00:00:00Z", "end_date": "2026-01-01T00:00:00Z"}, "end_date"),
        ({"start_date": "yesterday"}, "start_date"),
        ({"end_date": "2026-13-01T00:00:00Z"}, "end_date"),
        ({"updated_after": "1"}, "updated_after"),
        ({"status": "unknown"}, "status"),
        ({"page": "0"}, "page"),
        ({"page": "-1"}, "page"),
        ({"page": "one"}, "page"),
        ({"page_size": "0"}, "page_size"),
        ({"page_size": "1001"}, "page_size"),
        ({"lat": "43.6"}, "long"),
        ({"lat": "43.6", "long": "east"}, "long"),
        ({"lat": "43.6", "long": "3.8", "radius": "-5"}, "radius"),
        ({"lat": "43.6", "long": "3.8", "radius": "1e9"}, "radius"),
        ({"bbox": "1,2,3"}, "bbox"),
        ({"bbox": "1,50,3,40"}, "bbox"),
        ({"extensions": "perhaps"}, "extensions"),
        ({"callback": "run"}, "JSONP"),
        ({"jsonp": "run"}, "JSONP"),
    ],
)
@pytest.mark.parametrize("suffix", ["json", "xml"])
def test_what_is_wrong_is_400_and_named(
    open311: Open311, town: Town, query: dict[str, str], names: str, suffix: str
) -> None:
    answer = open311.get(f"requests.{suffix}", **query)
    assert answer.status_code == 400
    [fault] = read(answer)
    assert names in fault["description"]
    assert str(fault["code"]) == "400"


def test_every_fault_of_a_list_is_told_at_once(open311: Open311, town: Town) -> None:
    answer = open311.get("requests.json", status="x", page="x", start_date="x", bbox="x", lat="x")
    told = " ".join(each["description"] for each in answer.json)
    for name in ("status", "page", "start_date", "bbox", "long"):
        assert f"{name}:" in told


def test_pages_follow_one_another_without_gap_or_repetition(
    open311: Open311, session: Session, town: Town
) -> None:
    at = NOW - timedelta(days=1)
    # All at one instant: the id decides.
    made = {str(report(session, town, requested_at=at).id) for _ in range(7)}
    pages = [ids(open311.get("requests.json", page_size=3, page=number)) for number in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [3, 3, 1, 0]
    assert {each for page in pages for each in page} == made
    assert ids(open311.get("requests.json", page_size=3)) == pages[0]
    beyond = open311.get("requests.json", page=1_000_000, page_size=1000)
    assert (beyond.status_code, beyond.json) == (200, [])


def test_a_thousand_is_the_most(
    open311: Open311, session: Session, town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = report(session, town)
    columns = {
        column.name: getattr(first, column.name)
        for column in ServiceRequest.__table__.columns
        if column.name not in ("id", "number", "search")
    }
    session.execute(
        sa.insert(ServiceRequest),
        [{**columns, "id": new_id(), "number": 50_000 + n} for n in range(1004)],
    )
    # Once a second the jurisdictions are looked at, too: not within what is counted.
    monkeypatch.setattr(jurisdictions, "CHECK_EVERY_S", 3600.0)
    open311.get("services.json")
    with count_statements() as statements:
        assert len(open311.get("requests.json").json) == 1000
    of_many = len(statements)
    with count_statements() as statements:
        assert len(open311.get("requests.json", page_size=2).json) == 2
    assert len(statements) == of_many
    with count_statements() as statements:
        assert len(read(open311.get("requests.xml", extensions="true"))) == 1000
    assert len(statements) == of_many
    assert len(open311.get("requests.json", page=2).json) == 5
    # The table is for more than a thousand.
    assert len(open311.get("requests.csv").get_data(as_text=True).splitlines()) == 1006


def scattered(session: Session, town: Town) -> Iterator[ServiceRequest]:
    for number in range(24):
        at = Point(COMEDIE.lat + number * 0.0004, COMEDIE.lon + (number % 5) * 0.0003)
        service = town.block if number % 3 == 0 else town.pothole
        yield report(session, town, number + 1, service=service, at=at)


def test_near_and_box_measure_what_is_shown(open311: Open311, session: Session, town: Town) -> None:
    list(scattered(session, town))
    every = open311.get("requests.json").json
    near = open311.get("requests.json", lat=COMEDIE.lat, long=COMEDIE.lon, radius=400)
    expected = [
        each["service_request_id"]
        for each in every
        if distance_m(COMEDIE, Point(each["lat"], each["long"])) <= 400
    ]
    assert 3 < len(expected) < 20
    assert ids(near) == expected
    box = open311.get("requests.json", bbox="3.8797,43.6086,3.8812,43.6120")
    assert ids(box) == [
        each["service_request_id"]
        for each in every
        if 43.6086 <= each["lat"] <= 43.6120 and 3.8797 <= each["long"] <= 3.8812
    ]
    # No page is short but the last: clients stop at a short one.
    paged = [
        ids(
            open311.get(
                "requests.json", lat=COMEDIE.lat, long=COMEDIE.lon, radius=400, page_size=2, page=n
            )
        )
        for n in range(1, len(expected) // 2 + 2)
    ]
    assert [each for page in paged for each in page] == expected
    assert all(len(page) == 2 for page in paged[:-1])
    assert len(open311.get("requests.json", lat=COMEDIE.lat, long=COMEDIE.lon).json) > 3


# -- extensions -----------------------------------------------------------------------------------


def test_extensions_add_answers_history_and_photos(
    open311: Open311, session: Session, town: Town
) -> None:
    found = report(
        session,
        town,
        service=town.asking,
        attributes={"line": "Mât 12", "count": 3, "one": "a", "many": ["a", "b"]},
        status=Status.IN_PROGRESS,
    )
    photos = [new_photo(session, found) for _ in range(2)]
    [plain] = open311.get(f"requests/{found.id}.json").json
    [document] = open311.get(f"requests/{found.id}.json", extensions="true").json
    assert plain.items() <= document.items()
    assert set(document) - set(plain) == {"attributes", "notes", "extended_attributes"}
    assert [(each["name"], each["value"], each["code"]) for each in document["attributes"]] == [
        ("line", "Mât 12", None),
        ("count", "3", None),
        ("one", "Premier", "a"),
        ("many", "Premier", "a"),
        ("many", "Second", "b"),
    ]
    assert [note["type"] for note in document["notes"]] == ["submitted", "in_progress"]
    assert document["notes"][0]["datetime"] == "2026-03-10T09:00:00Z"
    extended = document["extended_attributes"]
    assert (extended["number"], extended["status"]) == (found.number, "in_progress")
    assert [each["media_url"] for each in extended["photos"]] == [
        f"http://127.0.0.1:8000/media/{photo.id}/full.jpg" for photo in photos
    ]


@pytest.mark.parametrize("answer", ["AB-123-CD", "06 12 34 56 78", "a@exemple.org"])
def test_an_answer_that_may_name_somebody_is_left_out(
    open311: Open311, session: Session, town: Town, answer: str
) -> None:
    found = report(session, town, service=town.asking, attributes={"line": answer})
    [document] = open311.get(f"requests/{found.id}.json", extensions="true").json
    assert document["attributes"][0]["value"] is None


# -- the table ------------------------------------------------------------------------------------


def test_the_table_is_geo_report_bulk_and_runs_no_formula(
    open311: Open311, session: Session, town: Town
) -> None:
    for text in ("=1+1", "+33", "-2", "@SUM(A1)", "\t=x", 'Il a dit "non",\nainsi.'):
        report(session, town, description=text, status=Status.CLOSED)
    report(session, town, 400)
    answer = open311.get("requests.csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    text = answer.get_data(as_text=True)
    assert text.startswith("service_request_id,requested_datetime,updated_datetime,closed_date,")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(rows) == 7
    assert {row["description"][:2] for row in rows} >= {"'=", "'+", "'-", "'@", "'\t", "Il"}
    assert rows[0]["lat"] == f"{COMEDIE.lat:.6f}"
    assert rows[0]["status_description"] == "Closed"
    assert rows[0]["closed_date"] == "2026-03-10T10:00:00Z"
    assert rows[0]["source"] == "Website"
    assert list(rows[0])[-2:] == ["lat", "long"]
    assert len(open311.get("requests.csv", page_size=2, page=2).data.splitlines()) >= 3


def test_a_negative_longitude_stays_a_number(
    open311: Open311, session: Session, town: Town
) -> None:
    report(session, town, at=Point(43.6, -3.8))
    [row] = csv.DictReader(io.StringIO(open311.get("requests.csv").get_data(as_text=True)))
    assert float(row["long"]) == -3.8


def test_a_request_can_be_asked_for_only_if_it_changed(
    client: FlaskClient, open311: Open311, session: Session, town: Town
) -> None:
    found = report(session, town)
    path = f"{URL}/requests/{found.id}.xml"
    tag = client.get(path).headers["ETag"]
    assert client.get(path, headers={"If-None-Match": tag}).status_code == 304
    found.status = Status.CLOSED.value
    session.flush()
    assert client.get(path, headers={"If-None-Match": tag}).status_code == 200


def test_head_of_a_list_has_no_body_and_leaves_nothing_open(
    client: FlaskClient, session: Session, town: Town
) -> None:
    report(session, town, requested_at=utc_now())
    answer = client.head(f"{URL}/requests.xml")
    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.headers["Content-Type"] == "text/xml; charset=utf-8"
