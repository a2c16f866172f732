"""Past cases, replayed: what is read of a file, and that each moment found what was open then."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from assets.facts import Facts as AssetFacts
from assets.owning import Owners as AssetOwners
from core.clock import utc_now
from core.db import db
from core.models import DeadLetter, OutboxEvent
from geo import jurisdictions
from geo.areas import union_of
from geo.measures import Point
from geo.models import Area, Jurisdiction
from reports import case_files, events, history_import, lifecycle
from reports.case_files import CaseFile, CaseFileError, Fault
from reports.catalogue import catalogue_of
from reports.history import Author
from reports.history_import import Agreement, Plan, Register, id_of
from reports.loading import load_routing_rules
from reports.models import HistoryEntry, Service, ServiceRequest
from reports.routing.grammar import parse
from reports.vocabulary import ActorKind, HistoryKind, PlaceSource, Source, Status
from tests import factories
from workers import pipeline

NEW_YORK = ZoneInfo("America/New_York")
NOW = datetime(2026, 3, 11, 9, 0, tzinfo=UTC)

#: Where the invented city stands. Nothing below was copied from a real file.
MIDDLE = Point(42.36, -71.06)

COLUMNS = (
    *("id", "opened_at", "closed_at", "due_at", "type", "reason", "subject", "department", "queue"),
    *("source", "address", "lat", "lon", "neighborhood", "ward", "precinct", "pwd_district"),
    *("fallback_location", "description"),
)

BOSTON = Path(__file__).parents[3] / "shared/data/boston311/cases.csv.gz"
WARDS = Path(__file__).parents[3] / "shared/data/boundaries/boston_wards.geojson"

_count = itertools.count(1)


def row(**values: str) -> dict[str, str]:
    """A case in the middle of the city, opened at noon and never closed; everything defaulted."""
    return {
        **dict.fromkeys(COLUMNS, ""),
        "id": f"7{next(_count):05}",
        "opened_at": "2011-07-05 12:00:00",
        "type": "Hole in the Road",
        "reason": "Roads",
        "department": "PUBW",
        "queue": "PUBW_Holes",
        "address": "12 Invented St  Boston  MA",
        "lat": str(MIDDLE.lat),
        "lon": str(MIDDLE.lon),
        "ward": "Ward 1",
        "fallback_location": "0",
        **values,
    }


def written(folder: Path, rows: Sequence[dict[str, str]], *, name: str = "cases.csv") -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    path = folder / name
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def read(path: Path) -> CaseFile:
    return case_files.read(path, NEW_YORK, now=NOW)


# -- files ----------------------------------------------------------------------------------------


def test_times_are_those_of_the_citys_clock(tmp_path: Path) -> None:
    summer, winter, own = read(
        written(
            tmp_path,
            [
                row(opened_at="2011-07-05 12:00:00", closed_at="2011-07-05 12:00:07"),
                row(opened_at="2011-12-05 12:00:00"),
                row(opened_at="2011-07-05T12:00:00+02:00"),
            ],
        )
    ).cases
    assert summer.opened_at == datetime(2011, 7, 5, 16, 0, tzinfo=UTC)
    assert summer.closed_at == datetime(2011, 7, 5, 16, 0, 7, tzinfo=UTC)
    assert winter.opened_at == datetime(2011, 12, 5, 17, 0, tzinfo=UTC)
    assert winter.closed_at is None
    assert own.opened_at == datetime(2011, 7, 5, 10, 0, tzinfo=UTC)


def test_a_case_may_be_closed_in_the_hour_that_the_clock_shows_twice(tmp_path: Path) -> None:
    [case] = read(
        written(tmp_path, [row(opened_at="2011-11-06 01:50:00", closed_at="2011-11-06 01:10:00")])
    ).cases
    assert case.closed_at == case.opened_at + timedelta(minutes=20)


def test_a_stand_in_for_a_position_is_none(tmp_path: Path) -> None:
    stand_in, blank, real = read(
        written(tmp_path, [row(fallback_location="1"), row(lat="", lon=""), row()])
    ).cases
    assert (stand_in.point, blank.point, real.point) == (None, None, MIDDLE)
    assert stand_in.address == "12 Invented St Boston MA"


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"id": ""}, Fault.ID),
        ({"opened_at": ""}, Fault.DATE),
        ({"opened_at": "05/07/2011"}, Fault.DATE),
        ({"opened_at": "2011-02-30 12:00:00"}, Fault.DATE),
        ({"opened_at": "0001-01-01 00:00:00+14:00"}, Fault.DATE),
        ({"opened_at": "2031-07-05 12:00:00"}, Fault.DATE),
        ({"closed_at": "soon"}, Fault.DATE),
        ({"closed_at": "2031-07-05 12:00:00"}, Fault.DATE),
        ({"closed_at": "2011-07-05 11:59:59"}, Fault.ORDER),
        ({"lat": "north"}, Fault.POSITION),
        ({"lat": "nan"}, Fault.POSITION),
        ({"lat": "95"}, Fault.POSITION),
        ({"lon": ""}, Fault.POSITION),
        ({"fallback_location": "maybe"}, Fault.POSITION),
        ({"type": " "}, Fault.SERVICE),
    ],
)
def test_a_bad_row_is_put_aside_with_its_line_and_the_others_are_read(
    tmp_path: Path, values: dict[str, str], fault: Fault
) -> None:
    file = read(written(tmp_path, [row(), row(**values), row()]))
    assert len(file.cases) == 2
    [bad] = file.bad
    assert (bad.line, bad.fault) == (3, fault)
    assert bad.reason


def test_rows_of_other_widths_other_encodings_and_repeated_ids_are_put_aside(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, [row(id="1"), row(id="2", address="Rue Molière"), row(id="1")])
    text = path.read_bytes().replace("Molière".encode(), "Molière".encode("latin-1"))
    path.write_bytes(text + b"3,2011-07-05 12:00:00\r\n\r\n")
    file = read(path)
    assert [case.id for case in file.cases] == ["1"]
    assert [(bad.line, bad.fault) for bad in file.bad] == [
        (3, Fault.ENCODING),
        (4, Fault.REPEATED_ID),
        (5, Fault.COLUMNS),
    ]
    assert "line 2" in file.bad[1].reason


def test_a_file_may_be_compressed_and_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert len(read(written(tmp_path, [row(), row()], name="cases.csv.gz")).cases) == 2
    path = written(tmp_path, [row()])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read(path).cases) == 1


def test_a_file_that_is_none_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    path.write_text("id,opened,type\n1,2011-07-05,Hole\n", encoding="utf-8")
    with pytest.raises(CaseFileError, match="lacks the columns opened_at, closed_at, address"):
        read(path)
    path.write_bytes(b"")
    with pytest.raises(CaseFileError, match="lacks the columns id"):
        read(path)
    whole = written(tmp_path, [row() for _ in range(50)], name="cut.csv.gz")
    whole.write_bytes(whole.read_bytes()[:-20])
    with pytest.raises(CaseFileError, match="cannot be read to its end"):
        read(whole)


def test_a_past_can_be_moved_so_that_it_ends_in_the_last_week(tmp_path: Path) -> None:
    rows = [
        row(opened_at="2011-07-01 12:00:00", closed_at="2011-08-03 12:00:00"),
        row(opened_at="2011-07-05 12:00:00"),
    ]
    file = read(written(tmp_path, rows))
    first, second = case_files.until(file.cases, NOW)
    assert first.closed_at is not None
    assert NOW - timedelta(weeks=1) < first.closed_at <= NOW
    moved = first.opened_at - file.cases[0].opened_at
    assert moved % timedelta(weeks=1) == timedelta(0)
    assert second.opened_at - file.cases[1].opened_at == moved
    assert second.closed_at is None
    assert case_files.until([], NOW) == []


# -- replaying ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Town:
    """An invented city with one kind of report, two wards and two teams."""

    session: Session
    row: Jurisdiction
    folder: Path

    def plan(self, rows: Sequence[dict[str, str]]) -> tuple[Plan, CaseFile]:
        place = jurisdictions.by_code(self.session, self.row.code)
        file = read(written(self.folder, rows))
        return history_import.plan(self.session, place, file), file

    def replay(
        self,
        rows: Sequence[dict[str, str]],
        *,
        size: int = 400,
        at_most: int | None = None,
        is_announced: bool = False,
    ) -> tuple[Plan, CaseFile, list[history_import.Applied]]:
        plan, file = self.plan(rows)
        catalogue = catalogue_of(self.session, plan.place.id)
        done = [
            history_import.bring_in(
                self.session, plan, batch, secret="secret" * 8, is_announced=is_announced
            )
            for batch in itertools.islice(
                history_import.batches(plan, catalogue, size=size), at_most
            )
        ]
        return plan, file, done

    def report(self, case: dict[str, str]) -> ServiceRequest:
        self.session.expire_all()
        place = jurisdictions.by_code(self.session, self.row.code)
        return self.session.get_one(ServiceRequest, id_of(place, case["id"]))

    def count(self) -> int:
        return (
            self.session.scalar(
                sa.select(sa.func.count()).where(ServiceRequest.jurisdiction_id == self.row.id)
            )
            or 0
        )


@pytest.fixture
def town(session: Session, tmp_path: Path) -> Town:
    return new_town(session, tmp_path)


def new_town(session: Session, folder: Path) -> Town:
    city = factories.new_jurisdiction(
        session,
        code="inventon",
        centre=MIDDLE,
        names={"en": "Inventon"},
        locales=["en"],
        default_locale="en",
        country="US",
        subdivision="MA",
        time_zone="America/New_York",
    )
    factories.new_area(session, city, layer="wards", code="ward-1", centre=MIDDLE)
    east = Point(MIDDLE.lat, MIDDLE.lon + 0.02)
    factories.new_area(session, city, layer="wards", code="ward-2", centre=east)
    factories.new_team(session, city, code="pubw-holes", names={"en": "PUBW_Holes"}, agency="PUBW")
    factories.new_team(session, city, code="front-desk", names={"en": "Front desk"})
    factories.new_service(
        session,
        city,
        code="hole",
        names={"en": "Hole in the road"},
        duplicate_radius_m=20.0,
        duplicate_days=7.0,
        service_level={"hours": 48, "clock": "calendar"},
    )
    load_routing_rules(
        session,
        city.id,
        parse(
            "rule holes\n  when service hole\n  then team pubw-holes\notherwise team front-desk\n"
        ),
    )
    session.commit()
    jurisdictions.forget()
    return Town(session, city, folder)


def test_a_case_goes_the_way_of_a_report_at_the_time_of_then(town: Town) -> None:
    case = row(closed_at="2011-07-06 09:30:00")
    town.replay([case])
    report = town.report(case)
    opened = datetime(2011, 7, 5, 16, 0, tzinfo=UTC)
    closed = datetime(2011, 7, 6, 13, 30, tzinfo=UTC)
    assert (report.source, report.status, report.number) == (Source.IMPORT, Status.CLOSED, 1001)
    assert (report.requested_at, report.located_at, report.triaged_at) == (opened, opened, opened)
    assert report.due_at == opened + timedelta(hours=48)
    assert (report.resolved_at, report.closed_at, report.updated_at) == (closed, closed, closed)
    assert report.team_id is not None
    entries = factories.stored(town.session, HistoryEntry, report_id=report.id)
    assert [(entry.kind, entry.to_status, entry.at) for entry in entries] == [
        (HistoryKind.STATUS, Status.RECEIVED, opened),
        (HistoryKind.LOCATED, None, opened),
        (HistoryKind.ROUTED, None, opened),
        (HistoryKind.STATUS, Status.TRIAGED, opened),
        (HistoryKind.STATUS, Status.RESOLVED, closed),
        (HistoryKind.STATUS, Status.CLOSED, closed),
    ]


def test_cases_are_linked_to_the_register_at_the_time_of_then(town: Town) -> None:
    kind = factories.new_asset_kind(town.session, town.row, services=["hole"], link_radius_m=30.0)
    asset = factories.new_asset(town.session, kind, point=MIDDLE)
    town.session.commit()
    jurisdictions.forget()
    near, far = row(), row(lat=str(MIDDLE.lat + 0.01))
    plan, _ = town.plan([near, far])
    register = Register(AssetFacts(), AssetOwners())
    for batch in history_import.batches(plan, catalogue_of(town.session, plan.place.id)):
        history_import.bring_in(town.session, plan, batch, secret="secret" * 8, register=register)
    report = town.report(near)
    assert (report.asset_id, (report.asset_link or {})["by"]) == (asset.id, "nearest")
    assert town.report(far).asset_id is None
    [entry] = [
        each
        for each in factories.stored(town.session, HistoryEntry, report_id=report.id)
        if each.kind == HistoryKind.ASSET_LINKED
    ]
    assert entry.at == report.requested_at == report.updated_at
    assert factories.stored(town.session, OutboxEvent) == []


def test_words_that_a_city_has_come_along_and_wait_where_they_may_name_somebody(
    town: Town,
) -> None:
    said = row(description="A deep hole.\nOld.")
    naming = row(description="Call me at 617-555-0134.", lat="42.365")
    town.replay([said, naming])
    report = town.report(said)
    assert (report.description, report.visibility) == ("A deep hole.\nOld.", "public")
    assert town.report(naming).visibility == "held"


@pytest.mark.parametrize("size", [1, 2, 400])
def test_each_case_finds_open_what_was_open_then(town: Town, size: int) -> None:
    first = row(opened_at="2011-07-05 12:00:00", closed_at="2011-07-05 15:00:00")
    while_open = row(opened_at="2011-07-05 14:59:59", closed_at="2011-07-05 14:59:59")
    after = row(opened_at="2011-07-05 15:00:01", closed_at="2011-07-05 15:00:01")
    after_that = row(opened_at="2011-07-05 15:00:02")
    later = row(opened_at="2011-07-05 18:00:00")
    far = row(opened_at="2011-07-05 18:00:00", lat="42.37")
    town.replay([far, later, after_that, after, while_open, first], size=size)
    assert town.report(while_open).parent_id == town.report(first).id
    assert town.report(after).parent_id is None
    assert town.report(after_that).parent_id is None
    assert town.report(later).parent_id == town.report(after_that).id
    assert town.report(far).parent_id is None
    assert [town.report(case).status for case in (first, while_open, after, later)] == [
        Status.CLOSED,
        Status.DUPLICATE,
        Status.CLOSED,
        Status.DUPLICATE,
    ]


def test_cases_without_a_position_wait_for_a_place_and_repeat_nothing(town: Town) -> None:
    addressed, nowhere = row(fallback_location="1"), row(fallback_location="1", address=" ")
    town.replay([row(), addressed, nowhere])
    assert town.report(addressed).address_given == "12 Invented St Boston MA"
    for case in (addressed, nowhere):
        report = town.report(case)
        assert (report.cell, report.lat, report.parent_id) == (None, None, None)
        assert report.place_source == PlaceSource.UNKNOWN
        assert report.status == Status.TRIAGED


def test_rows_that_intake_refuses_are_counted_and_hold_up_nobody(town: Town) -> None:
    outside = row(lat="48.85", lon="2.35", closed_at="2011-07-06 09:30:00")
    unknown = row(type="Dragon sighted")
    good = row()
    plan, file, done = town.replay([outside, unknown, good])
    bad = [*file.bad, *plan.bad, *(each for applied in done for each in applied.bad)]
    assert {(each.line, each.fault) for each in bad} == {(2, Fault.POSITION), (3, Fault.SERVICE)}
    assert town.count() == 1
    assert town.report(good).status == Status.TRIAGED


def test_nobody_is_told_unless_asked_for(town: Town) -> None:
    other = factories.new_report(town.session, history=False)
    case = row(closed_at="2011-07-06 09:30:00")
    town.session.add(OutboxEvent(name=events.COMMENTED.name, subject_id=other.id))
    town.session.flush()
    town.replay([case])
    assert [event.subject_id for event in factories.stored(town.session, OutboxEvent)] == [other.id]
    loud = row(lat="42.37", closed_at="2011-07-06 09:30:00")
    town.replay([case, loud], is_announced=True)
    told = factories.stored(town.session, OutboxEvent, subject_id=town.report(loud).id)
    assert [event.name for event in told] == [
        "report.submitted",
        "report.located",
        "report.triaged",
        "report.status_changed",
        "report.status_changed",
    ]


def test_the_same_file_again_changes_nothing_and_a_later_one_goes_on(town: Town) -> None:
    first, second = row(), row(lat="42.37", closed_at="2011-07-06 09:30:00")
    town.replay([first, second])
    before = [town.report(case).version for case in (first, second)]
    plan, _, done = town.replay([first, second])
    assert (plan.moments, done, len(plan.known)) == ([], [], 2)
    assert [town.report(case).version for case in (first, second)] == before
    third = row(lat="42.38")
    town.replay([{**first, "closed_at": "2011-08-01 08:00:00"}, second, third])
    assert town.report(first).status == Status.CLOSED
    assert town.count() == 3


def test_what_staff_reopened_since_is_not_closed_again(town: Town) -> None:
    case = row(closed_at="2011-07-06 09:30:00")
    town.replay([case])
    by = Author(ActorKind.STAFF)
    lifecycle.move(town.session, town.report(case), Status.REOPENED, by=by, now=utc_now())
    town.replay([case])
    assert town.report(case).status == Status.REOPENED


def test_a_run_that_was_killed_goes_on_where_it_was(town: Town) -> None:
    start = datetime(2011, 7, 5, 12, 0, tzinfo=UTC)
    rows = []
    for minute in range(0, 240, 8):
        opened = start + timedelta(minutes=minute)
        closed = opened + timedelta(minutes=20)
        # Three places in turn, so that some find their predecessor open and some do not.
        place = {"lat": f"{42.36 + (minute // 8 % 3) * 0.001:.3f}"}
        rows.append(
            row(
                opened_at=f"{opened:%Y-%m-%d %H:%M:%S}",
                closed_at=f"{closed:%Y-%m-%d %H:%M:%S}" if minute % 16 else "",
                **place,
            )
        )

    def became() -> list[tuple[str, object]]:
        return [(town.report(case).status, town.report(case).parent_id) for case in rows]

    savepoint = town.session.begin_nested()
    town.replay(rows)
    undisturbed = became()
    savepoint.rollback()
    assert town.count() == 0
    town.replay(rows, size=10, at_most=2)
    assert 0 < town.count() < len(rows)
    plan, _, _ = town.replay(rows, size=10)
    assert 0 < len(plan.known) < len(rows)
    assert became() == undisturbed
    assert {status for status, _ in undisturbed} >= {Status.CLOSED, Status.DUPLICATE}


def test_unknown_types_get_services_with_the_citys_defaults(town: Town) -> None:
    place = jurisdictions.by_code(town.session, town.row.code)
    file = read(written(town.folder, [row(), row(type="Dragon  sighted", reason="Wild Animals")]))
    assert history_import.create_services(town.session, place, file) == 1
    jurisdictions.forget()
    assert history_import.create_services(town.session, place, file) == 0
    [made] = factories.stored(town.session, Service, code="dragon-sighted")
    assert (made.names, made.group, made.duplicate_radius_m) == (
        {"en": "Dragon sighted"},
        "wild-animals",
        30.0,
    )


def test_the_comparison_counts_what_became_of_the_file(town: Town) -> None:
    plan, file, _ = town.replay(
        [
            row(closed_at="2011-07-09 09:30:00"),
            row(opened_at="2011-07-05 13:00:00", closed_at="2011-07-05 13:30:00"),
            row(fallback_location="1", queue="PUBW_Other", ward="Ward 9"),
            row(lon="-71.04", ward="02", department=""),
            row(lat="42.365", ward="Ward 2", department="PARK"),
        ]
    )
    found = history_import.compare(town.session, plan, file)
    assert (found.imported, found.placed, found.needs_place, found.joined) == (5, 4, 1, 1)
    assert (found.routed, found.without_team, found.still_open) == (4, 0, 3)
    assert (found.closings, found.closed) == (1, 1)
    assert found.department == Agreement(2, 3)
    assert found.queue == Agreement(3, 4)
    assert found.ward == Agreement(3, 4)


# -- the command ----------------------------------------------------------------------------------


def test_the_command_prints_a_table_and_writes_it_as_json(
    committed_db: Flask, tmp_path: Path
) -> None:
    with committed_db.app_context():
        new_town(db.session(), tmp_path)
        db.session.remove()
    rows = [row(closed_at="2011-07-06 09:30:00"), row(lat="42.37"), row(opened_at="yesterday")]
    path = str(written(tmp_path, rows, name="cases.csv.gz"))
    out = tmp_path / "out.json"
    runner = committed_db.test_cli_runner()
    arguments = ["reports", "import", path, "--jurisdiction", "inventon", "--report", str(out)]
    first = runner.invoke(args=arguments)
    assert first.exit_code == 0, first.output
    assert "line 4: opened_at is no date: 'yesterday'" in first.stderr
    assert "2 now, 0 before" in first.stdout
    told = json.loads(out.read_text(encoding="utf-8"))
    assert (told["rows"], told["imported"], told["closed"]) == (3, 2, 1)
    assert told["bad_by_fault"] == {"date": 1}
    assert told["agreement"]["queue"] == {"same": 2, "of": 2, "share": 1.0}
    again = runner.invoke(args=arguments)
    assert "0 now, 2 before" in again.stdout
    jurisdictions.forget()


def test_what_is_announced_is_heard_once_and_worked_on_no_more(
    committed_db: Flask, tmp_path: Path
) -> None:
    with committed_db.app_context():
        new_town(db.session(), tmp_path)
        db.session.remove()
    first = row(opened_at="2011-07-05 12:00:00", closed_at="2011-07-06 09:30:00")
    again = row(opened_at="2011-07-05 13:00:00")
    path = str(written(tmp_path, [first, again]))
    arguments = ["reports", "import", path, "--jurisdiction", "inventon", "--announce"]
    assert committed_db.test_cli_runner().invoke(args=arguments).exit_code == 0
    with committed_db.app_context():
        before = db.session.execute(sa.select(ServiceRequest.id, ServiceRequest.version)).all()
        db.session.remove()
        assert pipeline.drain() == 8
        after = db.session.execute(sa.select(ServiceRequest.id, ServiceRequest.version)).all()
        assert sorted(after) == sorted(before)
        assert db.session.scalar(sa.select(sa.func.count()).select_from(DeadLetter)) == 0
        db.session.remove()
    jurisdictions.forget()


def test_a_wrong_file_or_city_is_one_sentence(committed_db: Flask, tmp_path: Path) -> None:
    with committed_db.app_context():
        new_town(db.session(), tmp_path)
        db.session.remove()
    runner = committed_db.test_cli_runner()
    path = tmp_path / "other.csv"
    path.write_text("name\nhole\n", encoding="utf-8")
    for city, sentence in (("inventon", "lacks the columns id"), ("atlantis", "no jurisdiction")):
        result = runner.invoke(args=["reports", "import", str(path), "--jurisdiction", city])
        assert (result.exit_code, result.stdout) == (2, "")
        assert sentence in result.stderr
        assert result.stderr.count("\n") == 1
    jurisdictions.forget()


# -- real cases -----------------------------------------------------------------------------------


@pytest.mark.skipif(not BOSTON.is_file(), reason=f"the real cases are not here: {BOSTON}")
def test_real_cases_go_through(session: Session, tmp_path: Path) -> None:
    with gzip.open(BOSTON, "rt", encoding="utf-8") as whole:
        path = tmp_path / "first.csv"
        path.write_text("".join(itertools.islice(whole, 501)), encoding="utf-8")
    wards = json.loads(WARDS.read_text(encoding="utf-8"))["features"]
    city = factories.new_jurisdiction(
        session,
        code="boston",
        locales=["en"],
        default_locale="en",
        country="US",
        time_zone="America/New_York",
        boundary=union_of(ward["geometry"] for ward in wards),
        boundary_buffer_m=250.0,
    )
    session.add_all(
        Area(
            jurisdiction_id=city.id,
            layer="wards",
            code=f"ward-{ward['properties']['WARD']}",
            names={"en": f"Ward {ward['properties']['WARD']}"},
            geometry=ward["geometry"],
        )
        for ward in wards
    )
    session.commit()
    jurisdictions.forget()
    file = read(path)
    place = jurisdictions.by_code(session, "boston")
    assert history_import.create_services(session, place, file) > 20
    session.commit()
    jurisdictions.forget()
    place = jurisdictions.by_code(session, "boston")
    plan = history_import.plan(session, place, file)
    done = [
        history_import.bring_in(session, plan, batch, secret="secret" * 8)
        for batch in history_import.batches(plan, catalogue_of(session, place.id))
    ]
    found = history_import.compare(session, plan, file)
    stand_ins = sum(case.point is None for case in file.cases)
    assert not file.bad
    assert not plan.bad
    assert not any(applied.bad for applied in done)
    assert (found.imported, found.needs_place) == (500, stand_ins)
    assert found.closed == found.closings > 300
    # Nothing is joined without asking where the city has not said from which likelihood on.
    assert found.joined + found.suggested > 1
    assert found.ward.share is not None
    assert found.ward.share > 0.98
