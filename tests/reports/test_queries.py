"""Lists by filters, their pages and their price, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from accounts.actors import Scope
from accounts.models import Team
from accounts.rules import Display
from core.pagination import BadCursorError, pack
from geo.measures import Box, Point, destination, distance_m
from geo.models import Jurisdiction
from reports import lifecycle, listing, queries, remarks
from reports.changing import Words
from reports.history import Author
from reports.listing import Filters, Sort, search_query
from reports.models import Service, ServiceRequest
from reports.queries import Found, Reader
from reports.vocabulary import (
    OPEN_STATUSES,
    ActorKind,
    PhotoState,
    Status,
    Visibility,
)
from tests.factories import (
    COMEDIE,
    WEDNESDAY,
    new_area,
    new_follower,
    new_jurisdiction,
    new_photo,
    new_report,
    new_service,
    new_staff,
    new_team,
)
from tests.statements import count_statements

NOW = WEDNESDAY


@pytest.fixture
def city(session: Session) -> Jurisdiction:
    return new_jurisdiction(session)


@pytest.fixture
def service(session: Session, city: Jurisdiction) -> Service:
    return new_service(session, city)


@pytest.fixture
def team(session: Session, city: Jurisdiction) -> Team:
    return new_team(session, city)


def whole(city: Jurisdiction) -> Scope:
    return Scope(frozenset({city.id}), frozenset())


def of_team(*teams: Team) -> Scope:
    return Scope(frozenset(), frozenset(team.id for team in teams))


def ids(found: Sequence[Found]) -> list[UUID]:
    return [item.row.id for item in found]


def listed(session: Session, scope: Scope | None = None, **filters: Any) -> set[UUID]:
    return set(ids(listing.page(session, Filters(**filters), scope=scope, limit=200).items))


# -- who sees what --------------------------------------------------------------------------------


def test_the_public_sees_public_reports_and_staff_those_of_their_scope(
    session: Session, city: Jurisdiction, service: Service, team: Team
) -> None:
    other_team = new_team(session, city)
    mine = new_report(session, service, team=team)
    theirs = new_report(session, service, team=other_team)
    held = new_report(session, service, visibility=Visibility.HELD.value)
    hidden = new_report(session, service, visibility=Visibility.HIDDEN.value, team=team)
    elsewhere = new_report(session)

    assert listed(session) == {mine.id, theirs.id, elsewhere.id}
    assert listed(session, whole(city)) == {mine.id, theirs.id, held.id, hidden.id}
    assert listed(session, of_team(team)) == {mine.id, hidden.id}
    assert listed(session, of_team(team, other_team)) == {mine.id, theirs.id, hidden.id}
    both = Scope(frozenset({city.id}), frozenset({team.id}))
    assert listed(session, both) == {mine.id, theirs.id, held.id, hidden.id}
    assert listed(session, Scope(frozenset(), frozenset())) == set()


# -- filters --------------------------------------------------------------------------------------


def test_a_box_and_a_circle_hold_what_lies_in_them(session: Session, service: Service) -> None:
    near = new_report(session, service, at=COMEDIE)
    edge = new_report(session, service, at=destination(COMEDIE, 45, 299))
    out = new_report(session, service, at=destination(COMEDIE, 45, 301))
    new_report(session, service, at=None)
    assert listed(session, near=COMEDIE, radius_m=300.0) == {near.id, edge.id}
    box = Box.around(COMEDIE, 100)
    assert listed(session, box=box) == {near.id}
    assert out.id in listed(session, box=Box.around(COMEDIE, 1000))
    page = listing.page(session, Filters(near=COMEDIE, radius_m=300.0), scope=None, limit=10)
    assert sorted(item.distance_m or 0 for item in page.items) == pytest.approx([0, 299], abs=0.2)


@given(lat=st.floats(-60, 60), lon=st.floats(-180, 180), away=st.floats(0, 900))
def test_a_grown_box_holds_what_is_within_its_margin(lat: float, lon: float, away: float) -> None:
    box = Box(lon, lat, min(180.0, lon + 0.01), lat + 0.01)
    grown = listing._grown(box, 900)
    for heading in (0, 90, 180, 270):
        for corner in (Point(box.south, box.west), Point(box.north, box.east)):
            assert grown.contains(destination(corner, heading, away))


def test_moving_a_box_about_does_not_betray_a_blurred_place(
    session: Session, city: Jurisdiction
) -> None:
    private = new_service(session, city, public_precision="block")
    report = new_report(session, private, at=COMEDIE)
    [found] = listing.page(session, Filters(), scope=None, limit=1).items
    shown = found.public_point
    assert shown is not None
    assert 1 < distance_m(shown, COMEDIE) < 130
    at_the_door = Box.around(COMEDIE, 0.5)
    where_shown = Box.around(shown, 0.5)
    assert listed(session, box=at_the_door) == set()
    assert listed(session, box=where_shown) == {report.id}
    assert listed(session, near=COMEDIE, radius_m=0.5) == set()
    assert listed(session, near=shown, radius_m=0.5) == {report.id}
    assert listed(session, whole(city), box=at_the_door) == {report.id}, "staff know the door"


def test_reports_are_found_by_service_group_status_time_and_area(
    session: Session, city: Jurisdiction
) -> None:
    area = new_area(session, city, code="centre")
    lamps = new_service(session, city, code="lampe", group="eclairage")
    holes = new_service(session, city, code="trou", group="voirie")
    old = new_report(session, lamps, requested_at=NOW - timedelta(days=9), areas=[area])
    new = new_report(session, holes, status=Status.ASSIGNED, requested_at=NOW)

    assert listed(session, service_codes=("lampe",)) == {old.id}
    assert listed(session, service_codes=("lampe", "trou")) == {old.id, new.id}
    assert listed(session, service_codes=("inconnu",)) == set()
    assert listed(session, group="voirie") == {new.id}
    assert listed(session, statuses=(Status.ASSIGNED,)) == {new.id}
    assert listed(session, statuses=OPEN_STATUSES) == {old.id, new.id}
    assert listed(session, since=NOW) == {new.id}
    assert listed(session, until=NOW) == {old.id}
    assert listed(session, updated_since=NOW) == {new.id}
    assert listed(session, area=("quartiers", "centre")) == {old.id}
    assert listed(session, area=("quartiers", "ailleurs")) == set()


def test_work_is_found_by_team_person_due_date_and_what_it_lacks(
    session: Session, city: Jurisdiction, service: Service, team: Team
) -> None:
    agent = new_staff(session, city)
    scope = whole(city)
    given = new_report(
        session,
        service,
        team=team,
        status=Status.ASSIGNED,
        assignee_id=agent.id,
        due_at=NOW - timedelta(hours=1),
    )
    held = new_report(
        session,
        service,
        status=Status.ON_HOLD,
        held_since=NOW - timedelta(hours=2),
        due_at=NOW - timedelta(hours=1),
    )
    lost = new_report(session, service, at=None)
    done = new_report(session, service, status=Status.CLOSED, due_at=NOW - timedelta(days=3))

    assert listed(session, scope, team_ids=(team.id,)) == {given.id}
    assert listed(session, scope, team_ids=()) == set()
    assert listed(session, scope, assignee_id=agent.id) == {given.id}
    assert listed(session, scope, overdue_at=NOW) == {given.id}, "a held clock stands still"
    assert listed(session, scope, needs_place=True) == {lost.id}
    assert listed(session, scope, is_unrouted=True) == {held.id, lost.id}
    assert done.id in listed(session, scope)


def test_words_are_found_by_their_beginnings_without_accents(
    session: Session, city: Jurisdiction, service: Service
) -> None:
    hole = new_report(session, service, description="Un énorme TROU dans la chaussée")
    lamp = new_report(session, service, description="Le lampadaire clignote", address="Cœur")
    scope = whole(city)
    assert listed(session, scope, text="enorme") == {hole.id}
    assert listed(session, scope, text="chauss trou") == {hole.id}
    assert listed(session, scope, text="COEUR lampad") == {lamp.id}
    assert listed(session, scope, text="trou lampadaire") == set()
    assert listed(session, scope, text=f"#{lamp.number}") == {lamp.id}
    assert lamp.id in listed(session, scope, text=str(lamp.number))
    assert listed(session, scope, text="#" + "9" * 30) == set()
    assert listed(session, scope, text="!!!") == {hole.id, lamp.id}, "nothing to search for"


@given(st.text(max_size=60))
def test_no_search_breaks_the_syntax_of_a_query(text: str) -> None:
    query = search_query(text)
    assert query is None or all(part.endswith("':*") for part in query.split(" & "))


@pytest.mark.parametrize("text", ["'", "\\", "a:b", "l'été & | ! ( ) <->", "a\\'b:*", "%_", "٣"])
def test_a_search_of_signs_is_answered(session: Session, city: Jurisdiction, text: str) -> None:
    assert listed(session, whole(city), text=text) == set()


# -- pages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sort", Sort)
def test_pages_hold_every_report_once_in_order(
    session: Session, city: Jurisdiction, service: Service, team: Team, sort: Sort
) -> None:
    for number in range(11):
        # Instants repeat, and some have no due date: only the id tells them apart.
        at = NOW + timedelta(hours=number // 3)
        due = None if number % 4 == 0 else NOW + timedelta(days=number // 5)
        new_report(session, service, team=team, status=Status.TRIAGED, requested_at=at, due_at=due)
    mixed = Scope(frozenset({city.id}), frozenset({team.id}))
    for scope in (None, whole(city), of_team(team), mixed):
        in_one = listing.page(session, Filters(), scope=scope, sort=sort, limit=50)
        assert in_one.next is None
        assert len(in_one.items) == 11
        keys = [getattr(item.row, sort.column.key) for item in in_one.items]
        known = [key for key in keys if key is not None]
        assert known == sorted(known, reverse=sort.is_descending)
        assert keys == known + [None] * (11 - len(known))
        seen: list[UUID] = []
        cursor = None
        while True:
            page = listing.page(session, Filters(), scope=scope, sort=sort, cursor=cursor, limit=4)
            seen += ids(page.items)
            cursor = page.next
            if cursor is None:
                break
        assert seen == ids(in_one.items)


@pytest.mark.parametrize(
    "cursor",
    [
        "nonsense",
        pack("-requested_at", "yesterday", str(UUID(int=1))),
        pack("-requested_at", "2026-01-01T00:00:00+00:00", "7"),
        pack("-requested_at", None, str(UUID(int=1))),
        pack("due_at", "2026-01-01T00:00:00+00:00", str(UUID(int=1))),
        pack(1),
    ],
)
def test_a_cursor_of_another_list_is_refused(session: Session, cursor: str) -> None:
    with pytest.raises(BadCursorError):
        listing.page(session, Filters(), scope=None, cursor=cursor, limit=5)


# -- what belongs to a report ---------------------------------------------------------------------


def test_evidence_counts_duplicates_and_everybody_who_waits_for_news(
    session: Session, service: Service
) -> None:
    parent = new_report(session, service, requested_at=NOW)
    child = new_report(session, service, parent=parent, requested_at=NOW - timedelta(1))
    new_follower(session, parent, is_reporter=True)
    new_follower(session, parent)
    new_follower(session, child)
    new_follower(session, child, is_confirmed=False)
    new_follower(session, parent, left_at=NOW)
    [leader, follower] = listing.page(session, Filters(), scope=None, limit=5).items
    assert (leader.duplicates, leader.followers) == (1, 2)
    # A duplicate tells of the same problem: it shows the same people.
    assert (follower.duplicates, follower.followers, follower.people) == (1, 2, leader.people)
    assert follower.row.parent_number == parent.number


def test_only_clean_public_photos_are_public(session: Session, service: Service) -> None:
    report = new_report(session, service)
    ready = new_photo(session, report)
    private = new_photo(session, report, is_public=False)
    new_photo(session, report, state=PhotoState.STAGED)
    new_photo(session, report, state=PhotoState.DROPPED)
    public = queries.one(session, report.id, only_public_photos=True)
    staff = queries.one(session, report.id, only_public_photos=False)
    assert public is not None
    assert staff is not None
    assert [photo.id for photo in public.photos] == [ready.id]
    assert {photo.id for photo in staff.photos} == {ready.id, private.id}


def test_a_report_is_named_by_its_number_within_a_city_or_by_its_id(
    session: Session, service: Service
) -> None:
    report = new_report(session, service)
    find = queries.find_id
    assert find(session, report.jurisdiction_id, str(report.number)) == report.id
    assert find(session, report.jurisdiction_id, f" #{report.number} ") == report.id
    assert find(session, report.jurisdiction_id, str(report.id)) == report.id
    assert find(session, report.jurisdiction_id + 1, str(report.number)) is None
    for nonsense in ("", "x", "9" * 40, "²"):
        assert find(session, report.jurisdiction_id, nonsense) is None


def test_a_history_tells_each_reader_what_is_theirs(session: Session, service: Service) -> None:
    report = new_report(session, service, history=False)
    staff = Author(ActorKind.STAFF)
    remarks.comment(session, report, Words(note="Interne"), by=staff, now=NOW)
    lifecycle.move(
        session,
        report,
        Status.IN_PROGRESS,
        by=staff,
        now=NOW,
        words=Words(note="Aussi interne", public_note="On y va"),
    )
    remarks.ask(session, report, "Où ?", hold=False, by=staff, now=NOW)

    def read(reader: Reader) -> list[tuple[str, list[str]]]:
        page = queries.history(session, report.id, reader, limit=50)
        return [(step.row.kind, [note.body for note in step.notes]) for step in page.items]

    assert read(Reader.PUBLIC) == [("status", ["On y va"])]
    assert read(Reader.REPORTER) == [("status", ["On y va"]), ("asked", ["Où ?"])]
    assert read(Reader.STAFF) == [
        ("commented", ["Interne"]),
        ("status", ["On y va", "Aussi interne"]),
        ("asked", ["Où ?"]),
    ]
    first = queries.history(session, report.id, Reader.STAFF, limit=2)
    rest = queries.history(session, report.id, Reader.STAFF, cursor=first.next, limit=2)
    assert [step.row.kind for step in rest.items] == ["asked"]
    assert rest.next is None
    with pytest.raises(BadCursorError):
        queries.history(session, report.id, Reader.STAFF, cursor=pack("x"), limit=2)


def test_queues_count_what_waits(
    session: Session, city: Jurisdiction, service: Service, team: Team
) -> None:
    quiet = new_team(session, city)
    new_team(session, city, is_active=False)
    due = NOW - timedelta(hours=1)
    new_report(session, service, team=team, status=Status.TRIAGED, due_at=due)
    new_report(
        session,
        service,
        team=team,
        status=Status.ON_HOLD,
        held_since=NOW - timedelta(hours=2),
        due_at=NOW,
        assignee_id=new_staff(session, city).id,
    )
    new_report(session, service, team=team, status=Status.CLOSED, due_at=due)
    new_report(session, service, at=None)
    found = {queue.name: queue for queue in queries.queues(session, whole(city), now=NOW)}
    assert set(found) == {team.code, quiet.code, "needs-place", "unrouted", "review"}
    mine = found[team.code]
    assert (mine.open, mine.overdue, mine.unassigned, mine.on_hold) == (2, 1, 1, 1)
    assert mine.oldest_due_at == due
    assert found[quiet.code].open == 0
    assert (found["needs-place"].open, found["unrouted"].open) == (1, 1)
    own = queries.queues(session, of_team(team), now=NOW)
    assert [queue.name for queue in own] == [team.code]


# -- the price ------------------------------------------------------------------------------------


def test_a_list_of_fifty_costs_the_statements_of_a_list_of_five(
    session: Session, city: Jurisdiction, service: Service, team: Team
) -> None:
    parent = new_report(session, service, team=team)
    for number in range(60):
        report = new_report(
            session,
            service,
            team=team,
            parent=parent if number % 5 == 0 else None,
            display=Display.FIRST.value,
        )
        new_follower(session, report, is_reporter=True)
        new_photo(session, report)
    listing.page(session, Filters(), scope=None, limit=1)  # cities and catalogue are in memory
    for scope in (None, whole(city), Scope(frozenset({city.id}), frozenset({team.id}))):
        costs = []
        for limit in (5, 50):
            session.expire_all()
            with count_statements() as statements:
                page = listing.page(
                    session, Filters(near=COMEDIE, radius_m=500), scope=scope, limit=limit
                )
                assert len(page.items) == limit
            costs.append(len(statements))
        assert costs[0] == costs[1] <= 4, statements


def test_a_history_costs_two_statements(session: Session, service: Service) -> None:
    report = new_report(session, service)
    for _ in range(20):
        remarks.comment(
            session,
            report,
            Words(note="a", public_note="b"),
            by=Author(ActorKind.STAFF),
            now=datetime(2026, 3, 11, tzinfo=UTC),
        )
    with count_statements() as statements:
        queries.history(session, report.id, Reader.STAFF, limit=50)
    assert len(statements) == 2


def test_one_report_costs_the_same_however_much_belongs_to_it(
    session: Session, service: Service
) -> None:
    def cost(report: ServiceRequest) -> int:
        report_id = report.id
        session.expire_all()
        with count_statements() as statements:
            queries.one(session, report_id, only_public_photos=True)
        return len(statements)

    bare, rich = new_report(session, service), new_report(session, service)
    for _ in range(10):
        new_photo(session, rich)
        new_follower(session, rich)
        new_report(session, service, parent=rich)
    cost(bare)
    assert cost(bare) == cost(rich) <= 3
