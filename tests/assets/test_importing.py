"""Imports: the difference, what is put aside, what is refused, what is recognised."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyproj
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from assets import queries, register
from assets.corrections.models import Correction
from assets.corrections.vocabulary import What
from assets.importing import running
from assets.importing.faults import FileError, RowReason
from assets.importing.mapping import FileMapping
from assets.importing.matching import Placed, match_one_to_one
from assets.importing.running import LossRefusedError, Outcome
from assets.kinds import kinds_of
from assets.models import Asset, AssetImportRun, AssetKind, AssetVersion, QuarantinedAsset
from assets.queries import Filters
from assets.register import Change, NewAsset, Said
from assets.vocabulary import AssetState, Origin
from core.clock import utc_now
from core.models import OutboxEvent
from core.outbox import Event
from geo import jurisdictions
from geo.cells import cell_of
from geo.measures import Point, destination, distance_m
from geo.models import Jurisdiction
from notifications.announcing import announce
from notifications.channels.folder import FolderCarrier
from notifications.vocabulary import Channel
from tests.assets.files import Row, around, csv_file, geojson_file, geopackage, positions, rounded
from tests.factories import (
    COMEDIE,
    WEDNESDAY,
    new_asset_kind,
    new_correction,
    new_jurisdiction,
    new_person,
)
from tests.notifications.conftest import letters, send_due
from tests.statements import count_statements

DATA = Path(os.environ.get("RIVERAIN_DATA", Path(__file__).parents[3] / "shared/data"))


@pytest.fixture
def city(session: Session) -> Jurisdiction:
    return new_jurisdiction(session)


@pytest.fixture
def kind(session: Session, city: Jurisdiction) -> AssetKind:
    return new_asset_kind(session, city, code="hydrant")


def bring(session: Session, kind: AssetKind, *paths: Path, **options: Any) -> Outcome:
    """Import these files as the command does."""
    session.flush()
    jurisdictions.forget()
    place = jurisdictions.by_id(session, kind.jurisdiction_id)
    entry = kinds_of(session, kind.jurisdiction_id).kind(kind.code)
    options = {"now": WEDNESDAY, **options}
    outcome = running.run_files(session, place, entry, list(paths), **options)
    session.expire_all()
    return outcome


def counts(outcome: Outcome) -> dict[str, int]:
    """What is different, without what is not."""
    return {sort: count for sort, count in outcome.difference.counts.items() if count}


def stored(session: Session, kind: AssetKind) -> dict[str, Asset]:
    session.expire_all()
    found = session.scalars(sa.select(Asset).where(Asset.kind_id == kind.id))
    return {asset.code: asset for asset in found}


def write(path: Path, rows: Sequence[Row]) -> Path:
    return csv_file(path, positions(rows))


def told(session: Session, name: str) -> list[OutboxEvent]:
    return list(session.scalars(sa.select(OutboxEvent).where(OutboxEvent.name == name)))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "hydrants.csv"


def move(row: Row, metres: float) -> Row:
    return row[0], rounded(destination(row[1], 0.0, metres))


# -- the difference --------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["csv", "geojson", "gpkg"])
def test_three_formats_bring_the_same_assets(
    session: Session, kind: AssetKind, tmp_path: Path, suffix: str
) -> None:
    rows = around(20)
    path = tmp_path / f"hydrants.{suffix}"
    match suffix:
        case "csv":
            write(path, rows)
        case "geojson":
            geojson_file(path, rows)
        case _:
            geopackage(path, [(code, point.lon, point.lat) for code, point in rows])
    assert counts(bring(session, kind, path)) == {"new": 20}
    found = stored(session, kind)
    assert {code: Point(asset.lat, asset.lon) for code, asset in found.items()} == dict(rows)
    assert counts(bring(session, kind, path)) == {"same": 20}
    assert {asset.version for asset in stored(session, kind).values()} == {1}


def test_a_dry_run_tells_the_difference_and_changes_nothing(
    session: Session, kind: AssetKind, file: Path
) -> None:
    rows = around(30)
    bring(session, kind, write(file, rows))
    before = {code: asset.version for code, asset in stored(session, kind).items()}
    changed = [move(rows[0], 3.0), *rows[1:29], ("new", rounded(destination(COMEDIE, 180, 90)))]
    outcome = bring(session, kind, write(file, changed), is_dry=True)
    assert counts(outcome) == {"new": 1, "moved": 1, "gone": 1, "same": 28}
    examples = outcome.difference.examples
    assert [example.code for example in examples["new"]] == ["new"]
    assert [example.code for example in examples["gone"]] == ["30"]
    assert examples["moved"][0].distance_m == pytest.approx(3.0, abs=0.2)
    assert {code: asset.version for code, asset in stored(session, kind).items()} == before
    assert session.scalar(sa.select(sa.func.count()).select_from(AssetImportRun)) == 1


def test_what_is_new_changed_moved_and_gone_becomes_true_with_versions_and_events(
    session: Session, kind: AssetKind, file: Path
) -> None:
    rows = [(*row, "old") for row in positions(around(30))]
    header = "id,lat,lon,name"
    bring(session, kind, csv_file(file, rows, header=header))
    rows[1] = (*rows[1][:3], "Comédie")
    rows[2] = (rows[2][0], rows[2][1] + 0.001, rows[2][2], "old")
    rows[3] = (rows[3][0], rows[3][1] + 0.000_001, rows[3][2], "old")
    lost = rows.pop()
    outcome = bring(session, kind, csv_file(file, rows, header=header))
    # A decimetre is a better measurement, not a move.
    assert counts(outcome) == {"changed": 2, "moved": 1, "gone": 1, "same": 26}
    found = stored(session, kind)
    assert (found["2"].version, found["2"].attributes) == (2, {"name": "Comédie"})
    assert found["3"].lat == pytest.approx(rows[2][1])
    assert found[lost[0]].state == AssetState.REMOVED
    [version, _] = queries.versions(session, found[lost[0]].id, limit=5)
    assert (version.origin, list(version.changed), version.run_id) == (
        "import",
        ["state"],
        outcome.run_id,
    )
    [removed] = told(session, "asset.removed")
    assert removed.subject_id == found[lost[0]].id
    assert removed.data == {"version": 2, "state": "removed", "origin": "import", "adopters": 0}
    assert len(told(session, "asset.moved")) == 1
    [imported] = told(session, "register.imported")[1:]
    assert imported.data["counts"]["gone"] == 1
    place = jurisdictions.by_id(session, kind.jurisdiction_id)
    page = queries.page(session, Filters(places=(place,), text="comedie"), limit=5)
    assert [item.code for item in page.items] == ["2"]


def test_an_import_takes_the_same_number_of_statements_however_long_it_is(
    session: Session, kind: AssetKind, city: Jurisdiction, file: Path
) -> None:
    small, large = kind, new_asset_kind(session, city)
    sent: list[list[str]] = []
    for each, count in ((small, 3), (large, 300)):
        session.flush()
        jurisdictions.forget()
        write(file, around(count, step_m=10.0))
        session.refresh(each)
        with count_statements() as statements:
            bring(session, each, file)
        sent.append([text.split()[0] for text in statements])
    assert sent[0] == sent[1]


def test_one_that_comes_back_is_recognised(session: Session, kind: AssetKind, file: Path) -> None:
    rows = around(30)
    bring(session, kind, write(file, rows))
    before = stored(session, kind)["7"].id
    bring(session, kind, write(file, [row for row in rows if row[0] != "7"]))
    outcome = bring(session, kind, write(file, rows))
    assert counts(outcome) == {"returned": 1, "same": 29}
    asset = stored(session, kind)["7"]
    assert (asset.id, asset.state, asset.version) == (before, "in_service", 3)
    assert [event.subject_id for event in told(session, "asset.returned")] == [before]


def test_new_codes_at_the_old_places_are_the_same_assets(
    session: Session, kind: AssetKind, file: Path
) -> None:
    rows = around(30)
    bring(session, kind, write(file, rows))
    before = {code: asset.id for code, asset in stored(session, kind).items()}
    renumbered = [(f"N-{code}", move((code, point), 1.5)[1]) for code, point in rows]
    outcome = bring(session, kind, write(file, renumbered))
    assert counts(outcome) == {"renamed": 30}
    assert outcome.difference.vanished == 0
    after = {code: asset.id for code, asset in stored(session, kind).items()}
    assert after == {f"N-{code}": id_ for code, id_ in before.items()}
    assert not told(session, "asset.removed")


def test_a_new_code_farther_away_is_another_asset(
    session: Session, kind: AssetKind, file: Path
) -> None:
    rows = around(30)
    bring(session, kind, write(file, rows))
    outcome = bring(session, kind, write(file, [*rows[:29], move(("X", rows[29][1]), 8.0)]))
    assert counts(outcome) == {"new": 1, "gone": 1, "same": 29}


def test_what_a_file_says_of_state_is_taken_over_and_columns_it_does_not_know_stay(
    session: Session, kind: AssetKind, file: Path
) -> None:
    mapping = FileMapping(
        code="id", state="etat", states={"ok": "in_service", "hs": "out_of_order", "?": "ignored"}
    )
    header = "id,lat,lon,etat"
    rows = [(*row, "ok") for row in positions(around(12))]
    rows[0], rows[1] = (*rows[0][:3], "hs"), (*rows[1][:3], "?")
    outcome = bring(session, kind, csv_file(file, rows, header=header), mapping=mapping)
    assert counts(outcome) == {"new": 11}
    found = stored(session, kind)
    assert found["1"].state == "out_of_order"
    assert "2" not in found
    rows[2] = (*rows[2][:3], "broken")
    outcome = bring(session, kind, csv_file(file, rows, header=header), mapping=mapping)
    [bad] = outcome.bad
    assert (bad.line, bad.reason, bad.code) == (4, RowReason.UNKNOWN_STATE, "3")


# -- people and files ------------------------------------------------------------------------------


def test_what_a_person_corrected_stays_until_the_file_says_something_new(
    session: Session, kind: AssetKind, file: Path
) -> None:
    header = "id,lat,lon,name"
    rows = [(*row, "old") for row in positions(around(12))]
    bring(session, kind, csv_file(file, rows, header=header))
    asset = stored(session, kind)["1"]
    better = rounded(destination(COMEDIE, 10.0, 77.0))
    correction = Change(point=better, attributes={"name": "Better"})
    register.change(session, asset, correction, by=Said(Origin.CORRECTION), now=WEDNESDAY)
    gone = Change(state=AssetState.REMOVED)
    register.change(
        session, stored(session, kind)["2"], gone, by=Said(Origin.CORRECTION), now=WEDNESDAY
    )
    assert counts(bring(session, kind, csv_file(file, rows, header=header))) == {"same": 12}
    rows[0] = (*rows[0][:3], "News")
    bring(session, kind, csv_file(file, rows, header=header))
    found = stored(session, kind)
    assert found["1"].attributes == {"name": "News"}
    assert Point(found["1"].lat, found["1"].lon) == better
    assert found["2"].state == AssetState.REMOVED


def test_what_people_entered_is_not_gone_and_is_recognised_when_the_city_has_it_too(
    session: Session, kind: AssetKind, file: Path
) -> None:
    rows = around(12)
    bring(session, kind, write(file, rows))
    jurisdictions.forget()
    entry = kinds_of(session, kind.jurisdiction_id).kind("hydrant")
    spot = rounded(destination(COMEDIE, 180.0, 200.0))
    made = register.create(
        session,
        entry,
        NewAsset(spot, attributes={"name": "Near the school"}),
        by=Said(Origin.CORRECTION),
        now=WEDNESDAY,
    )
    assert made.code.startswith(register.PROVISIONAL)
    assert counts(bring(session, kind, write(file, rows))) == {"same": 12}
    outcome = bring(session, kind, write(file, [*rows, move(("4711", spot), 2.0)]))
    assert counts(outcome) == {"renamed": 1, "same": 12}
    asset = stored(session, kind)["4711"]
    assert asset.id == made.id
    assert asset.attributes == {"name": "Near the school"}


# -- what is refused -------------------------------------------------------------------------------


def test_more_than_a_tenth_may_not_vanish_without_a_reason(
    session: Session, kind: AssetKind, file: Path
) -> None:
    rows = around(30)
    bring(session, kind, write(file, rows))
    assert counts(bring(session, kind, write(file, rows[:27]), is_dry=True))["gone"] == 3
    for is_dry in (True, False):
        with pytest.raises(LossRefusedError, match="4 of 30 known ones"):
            bring(session, kind, write(file, rows[:26]), is_dry=is_dry)
    assert {asset.state for asset in stored(session, kind).values()} == {"in_service"}
    outcome = bring(session, kind, file, loss_reason="The quay was rebuilt")
    assert outcome.difference.vanished == 4
    run = session.get_one(AssetImportRun, outcome.run_id)
    assert run.loss_reason == "The quay was rebuilt"


@pytest.mark.parametrize("content", ["", "id,lat,lon\n", "id,lat,lon\n\n\n", "id,lat,l"])
def test_an_empty_or_truncated_file_changes_nothing(
    session: Session, kind: AssetKind, file: Path, content: str
) -> None:
    bring(session, kind, write(file, around(12)))
    file.write_text(content)
    with pytest.raises(FileError):
        bring(session, kind, file, loss_reason="anything")
    assert {asset.state for asset in stored(session, kind).values()} == {"in_service"}


def test_wrong_columns_are_told_with_those_there_are(
    session: Session, kind: AssetKind, file: Path
) -> None:
    csv_file(file, [("x", 43.6, 3.88)], header="number_plate,lat,lon")
    with pytest.raises(FileError, match="no column “id”; there are: number_plate, lat, lon"):
        bring(session, kind, file)
    with pytest.raises(FileError, match="no column “hauteur”"):
        bring(session, kind, file, mapping=FileMapping(code="lat", attributes={"name": "hauteur"}))
    with pytest.raises(FileError, match="has no attribute “height”"):
        bring(session, kind, file, mapping=FileMapping(code="lat", attributes={"height": "lon"}))


def test_swapped_coordinates_are_told(session: Session, kind: AssetKind, file: Path) -> None:
    rows = [(code, point.lon, point.lat) for code, point in around(12)]
    with pytest.raises(FileError, match="latitude and longitude are swapped") as caught:
        bring(session, kind, csv_file(file, rows))
    assert caught.value.code == "swapped"
    one = [*positions(around(12)), ("99", 3.88, 43.61)]
    [bad] = bring(session, kind, csv_file(file, one)).bad
    assert (bad.line, bad.code, bad.reason) == (14, "99", RowReason.SWAPPED)


def in_metres(crs: str, count: int = 12) -> list[tuple[str, float, float]]:
    """Code, north, east: as a table with the columns of degrees has them."""
    to_metres = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    made = []
    for code, point in around(count):
        east, north = to_metres.transform(point.lon, point.lat)
        made.append((code, round(north, 2), round(east, 2)))
    return made


@pytest.mark.parametrize(
    ("crs", "name"),
    [
        ("EPSG:2154", r"Lambert-93 \(EPSG:2154\)"),
        ("EPSG:27572", "Lambert II étendu"),
        ("EPSG:3944", "EPSG:3944"),
        ("EPSG:32631", "EPSG:32631"),
        ("EPSG:3857", "Web Mercator"),
    ],
)
def test_metres_are_told_with_their_reference_system_and_converted_when_said(
    session: Session, kind: AssetKind, file: Path, crs: str, name: str
) -> None:
    csv_file(file, in_metres(crs))
    with pytest.raises(FileError, match=f"in metres, not in degrees.*{name}.*crs: {crs}"):
        bring(session, kind, file)


def test_the_mapping_converts_metres(session: Session, kind: AssetKind, file: Path) -> None:
    csv_file(file, in_metres("EPSG:2154"))
    bring(session, kind, file, mapping=FileMapping(crs="EPSG:2154"))
    found = stored(session, kind)
    for code, point in around(12):
        asset = found[code]
        assert distance_m(Point(asset.lat, asset.lon), point) < 0.1
    with pytest.raises(FileError, match=r"in degrees .* but `crs` says EPSG:2154"):
        bring(session, kind, write(file, around(12)), mapping=FileMapping(crs="EPSG:2154"))
    with pytest.raises(FileError, match="no reference system"):
        bring(session, kind, file, mapping=FileMapping(crs="EPSG:99"))


def test_a_geopackage_in_lambert_93_converts_itself(
    session: Session, kind: AssetKind, tmp_path: Path
) -> None:
    rows = [(code, east, north) for code, north, east in in_metres("EPSG:2154")]
    bring(session, kind, geopackage(tmp_path / "f.gpkg", rows, epsg=2154))
    asset = stored(session, kind)["1"]
    assert distance_m(Point(asset.lat, asset.lon), around(1)[0][1]) < 0.1


def test_another_citys_file_is_told(session: Session, kind: AssetKind, file: Path) -> None:
    rows = [(number, 42.35 + number / 1000, -71.05) for number in range(12)]
    with pytest.raises(FileError, match=r"more than 5 km outside the city, up to .* km") as caught:
        bring(session, kind, csv_file(file, rows))
    assert caught.value.code == "far_outside"


def test_a_column_that_is_no_code_is_told(session: Session, kind: AssetKind, file: Path) -> None:
    rows = [(*row, "hydrant") for row in positions(around(12))]
    csv_file(file, rows, header="number,lat,lon,type")
    with pytest.raises(FileError, match="most codes stand there twice"):
        bring(session, kind, file, mapping=FileMapping(code="type"))


def test_rows_that_are_wrong_are_put_aside_with_line_and_reason(
    session: Session, city: Jurisdiction, tmp_path: Path
) -> None:
    kind = new_asset_kind(
        session,
        city,
        attributes=[{"code": "year", "datatype": "number", "names": {"fr": "Année", "en": "Year"}}],
    )
    good = [f"{code},{point.lat},{point.lon},1912" for code, point in around(20)]
    bad = [
        (f",{COMEDIE.lat},{COMEDIE.lon},", RowReason.NO_CODE),
        (f"1,{COMEDIE.lat},{COMEDIE.lon},", RowReason.DUPLICATE_CODE),
        ("a,,,", RowReason.NO_POSITION),
        (f"b,north,{COMEDIE.lon},", RowReason.NOT_A_NUMBER),
        (f"c,nan,{COMEDIE.lon},", RowReason.NOT_A_NUMBER),
        ("d,6279000,770000,", RowReason.NOT_DEGREES),
        ("e,3.88,43.6,", RowReason.SWAPPED),
        ("f,44.2,3.88,", RowReason.FAR_OUTSIDE),
        (f"g,{COMEDIE.lat},{COMEDIE.lon},very old", RowReason.BAD_ATTRIBUTE),
        (f"h,{COMEDIE.lat}", RowReason.WRONG_WIDTH),
        (f"{'x' * 101},{COMEDIE.lat},{COMEDIE.lon},", RowReason.NO_CODE),
    ]
    path = tmp_path / "f.csv"
    path.write_text("\n".join(["id,lat,lon,year", *good, *(text for text, _ in bad)]) + "\n")
    outcome = bring(session, kind, path)
    assert counts(outcome) == {"new": 20}
    assert sorted((row.line, row.reason) for row in outcome.bad) == [
        (22 + number, reason) for number, (_, reason) in enumerate(bad)
    ]
    kept = session.scalars(sa.select(QuarantinedAsset).order_by(QuarantinedAsset.line)).all()
    assert [(row.line, row.reason) for row in kept] == [
        (22 + number, reason.value) for number, (_, reason) in enumerate(bad)
    ]
    assert kept[1].detail == "the code “1” stands in line 2 already"
    # The next run's take their place.
    path.write_text("\n".join(["id,lat,lon,year", *good]) + "\n")
    bring(session, kind, path)
    assert session.scalars(sa.select(QuarantinedAsset)).all() == []


def test_an_asset_whose_row_was_put_aside_is_not_gone(
    session: Session, kind: AssetKind, file: Path
) -> None:
    rows = around(12)
    bring(session, kind, write(file, rows))
    broken = [*positions(rows[:11]), ("12", "somewhere", "else")]
    outcome = bring(session, kind, csv_file(file, broken))
    assert counts(outcome) == {"same": 11}
    assert stored(session, kind)["12"].state == AssetState.IN_SERVICE


def test_several_files_hold_a_kind_together(
    session: Session, kind: AssetKind, tmp_path: Path
) -> None:
    north = write(tmp_path / "north.csv", around(12))
    south = write(tmp_path / "south.csv", around(12, first=12))
    outcome = bring(session, kind, north, south)
    assert counts(outcome) == {"new": 23}
    [bad] = outcome.bad
    assert bad.detail == "the code “12” stands in north.csv:13 already"


def test_a_mapping_for_other_files_of_its_type_need_not_fit(
    session: Session, city: Jurisdiction, file: Path
) -> None:
    mapped = {"path": "assets/old.csv", "code": "nummer", "lat": "breite", "lon": "laenge"}
    kind = new_asset_kind(session, city, files=[mapped])
    assert counts(bring(session, kind, write(file, around(5)))) == {"new": 5}
    rows = [(code, point.lat, point.lon) for code, point in around(5)]
    other = csv_file(file, rows, header="nummer,breite,laenge")
    assert counts(bring(session, kind, other)) == {"same": 5}


def test_numbers_of_a_geopackage_are_codes_without_a_point(
    session: Session, kind: AssetKind, tmp_path: Path
) -> None:
    path = tmp_path / "f.geojson"
    text = geojson_file(path, around(3)).read_text(encoding="utf-8")
    for number in (1, 2, 3):
        text = text.replace(f'"id": "{number}"', f'"id": {number}.0')
    path.write_text(text, encoding="utf-8")
    bring(session, kind, path)
    assert sorted(stored(session, kind)) == ["1", "2", "3"]


# -- matching --------------------------------------------------------------------------------------

offsets = st.lists(st.tuples(st.floats(-20, 20), st.floats(0, 360)), min_size=0, max_size=12).map(
    lambda pairs: [destination(COMEDIE, heading, abs(metres)) for metres, heading in pairs]
)


@given(old=offsets, new=offsets, radius=st.floats(0.5, 15))
def test_matches_are_one_to_one_within_the_radius_and_none_is_left_that_could_be(
    old: list[Point], new: list[Point], radius: float
) -> None:
    olds = [Placed(f"old-{number}", point) for number, point in enumerate(old)]
    news = [Placed(number, point) for number, point in enumerate(new)]
    pairs = match_one_to_one(olds, news, radius)
    assert len({pair[0] for pair in pairs}) == len(pairs) == len({pair[1] for pair in pairs})
    by_old = {item.key: item.point for item in olds}
    for key, number in pairs:
        assert distance_m(by_old[key], new[number]) <= radius
    left_old = [item for item in olds if item.key not in {pair[0] for pair in pairs}]
    left_new = [item for item in news if item.key not in {pair[1] for pair in pairs}]
    assert all(distance_m(a.point, b.point) > radius for a in left_old for b in left_new)


def test_the_nearest_pair_is_matched_first() -> None:
    a, b = Placed("a", COMEDIE), Placed("b", destination(COMEDIE, 90, 4))
    near_b = Placed(1, destination(COMEDIE, 90, 3))
    near_a = Placed(2, destination(COMEDIE, 270, 2))
    assert sorted(match_one_to_one([a, b], [near_b, near_a], 5)) == [("a", 2), ("b", 1)]


# -- another city's file ---------------------------------------------------------------------------


def test_the_hydrants_of_another_city_come_in_with_its_own_columns(session: Session) -> None:
    path = DATA / "hydrants/chapel_hill_hydrants.csv"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    town = new_jurisdiction(session, centre=Point(35.92, -79.04), country="US")
    kind = new_asset_kind(
        session,
        town,
        attributes=[
            {"code": "type", "datatype": "string", "names": {"fr": "Type", "en": "Type"}},
            {"code": "house", "datatype": "string", "names": {"fr": "N°", "en": "House"}},
        ],
    )
    mapping = FileMapping(code="id", attributes={"type": "type", "house": "address_no"})
    outcome = bring(session, kind, path, mapping=mapping)
    assert len(outcome.bad) + outcome.difference.counts["new"] == len(rows)
    assert outcome.difference.counts["new"] > len(rows) * 0.9
    assert counts(bring(session, kind, path, mapping=mapping)) == {
        "same": outcome.difference.counts["new"]
    }
    assert (
        session.scalar(sa.select(sa.func.count()).select_from(AssetVersion))
        == (outcome.difference.counts["new"])
    )


# -- corrections that the file overtakes -----------------------------------------------------------


def test_what_is_left_to_decide_stays_open_and_the_rest_is_closed_and_told(
    session: Session, kind: AssetKind, file: Path, tmp_path: Path
) -> None:
    rows = around(30)
    bring(session, kind, write(file, rows))
    found = stored(session, kind)
    ana = new_person(session, locale="en")

    def propose(code: str | None, what: What, point: Point, **values: Any) -> Correction:
        asset = found[code] if code is not None else None
        correction = new_correction(
            session,
            asset or found["1"],
            what=what,
            person_id=ana.id,
            lat=point.lat,
            lon=point.lon,
            cell=cell_of(point),
            **values,
        )
        if asset is None:
            correction.asset_id = None
            session.flush()
        return correction

    there = {code: Point(asset.lat, asset.lon) for code, asset in found.items()}
    spot = rounded(destination(COMEDIE, 200, 700))
    moved = move(rows[2], 6.0)
    expected = {
        # The file says the same by now.
        propose("30", What.GONE, there["30"]).id: ("overtaken", "so_already"),
        propose("3", What.MOVED, moved[1]).id: ("overtaken", "so_already"),
        propose(None, What.MISSING, spot).id: ("overtaken", "so_already"),
        # What it was about is gone.
        propose("29", What.MOVED, spot).id: ("overtaken", "asset_gone"),
        # These still are somebody's to decide.
        propose("5", What.GONE, there["5"]).id: ("open", None),
        propose("6", What.MOVED, spot).id: ("open", None),
        propose(None, What.MISSING, rounded(destination(COMEDIE, 10, 900))).id: ("open", None),
    }
    changed = [*rows[:2], moved, *rows[3:28], ("new", spot)]
    bring(session, kind, write(file, changed), is_dry=True)
    session.expire_all()
    assert {row.state for row in session.scalars(sa.select(Correction))} == {"open"}
    bring(session, kind, write(file, changed))
    after = {row.id: (row.state, row.reason) for row in session.scalars(sa.select(Correction))}
    assert after == expected
    decided = told(session, "correction.decided")
    assert {event.data["decision"] for event in decided} == {"overtaken"}
    now = utc_now()
    announce(
        session,
        [Event(e.id, e.name, e.subject_id, e.jurisdiction_id, e.data, None, now) for e in decided],
        now=now,
    )
    send_due(session, dict.fromkeys(Channel, FolderCarrier(tmp_path / "outbox")), now=now)
    texts = letters(tmp_path / "outbox")
    assert len(texts) == 4
    assert sum("has caught up with what you told us" in text for text in texts) == 3
    assert sum("not in the city's register any more" in text for text in texts) == 1
    assert not any("so_already" in text for text in texts)
