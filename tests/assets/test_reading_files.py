"""Reading files of assets: three formats, their line numbers, and everything that breaks them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.importing.faults import BadRow, FileError, RowReason
from assets.importing.mapping import FileMapping, fitting, type_of
from assets.importing.reading import OpenFile, RawRow, opened
from geo.measures import Point
from tests.assets.files import around, csv_file, geojson_file, geopackage


def read(path: Path, mapping: FileMapping | None = None) -> tuple[OpenFile, list[RawRow | BadRow]]:
    with opened(path, mapping or FileMapping()) as file:
        return file, list(file.rows)


def refused(path: Path, mapping: FileMapping | None = None) -> FileError:
    with pytest.raises(FileError) as caught:
        read(path, mapping)
    return caught.value


def test_a_table_is_read_under_the_names_that_cities_use(tmp_path: Path) -> None:
    path = csv_file(tmp_path / "f.csv", [(1, 43.6, 3.8)], header="OBJECTID,Latitude,Longitude")
    file, [row] = read(path)
    assert file.columns == ("OBJECTID", "Latitude", "Longitude")
    assert isinstance(row, RawRow)
    assert (row.line, row.x, row.y, row.values["OBJECTID"]) == (2, "3.8", "43.6", "1")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_seen_in_the_header(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "f.csv"
    path.write_text(f"id{delimiter}lat{delimiter}lon\n1{delimiter}43,6{delimiter}3.8\n")
    if delimiter != ",":
        _, [row] = read(path)
        assert isinstance(row, RawRow)
        assert row.y == "43,6"


def test_lines_count_what_stands_inside_of_quotes(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text('id,lat,lon,note\n1,43.6,3.8,"two\nlines"\n2,43.6,3.8,\n\n3,43.6\n4,1,2,\n')
    _, rows = read(path)
    assert [row.line for row in rows] == [2, 4, 6, 7]
    assert isinstance(rows[2], BadRow)
    assert rows[2].reason is RowReason.WRONG_WIDTH


def test_gzip_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "f.csv.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbfid,lat,lon\n1,43.6,3.8\n"))
    _, [row] = read(path)
    assert isinstance(row, RawRow)
    assert row.values["id"] == "1"


def test_latin_1_is_told_with_the_line_and_the_word(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes("id,lat,lon,name\n1,43.6,3.8,a\n2,43.6,3.8,Déneigée\n".encode("latin-1"))
    error = refused(path)
    assert (error.code, error.line) == ("wrong_encoding", 3)
    assert "probably Latin-1" in error.detail
    assert "Déneig" in error.detail
    _, rows = read(path, FileMapping(encoding="latin-1"))
    assert isinstance(rows[1], RawRow)
    assert rows[1].values["name"] == "Déneigée"


def test_latin_1_far_down_is_told_too(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    lines = ["id,lat,lon,name", *(f"{number},43.6,3.8,x" for number in range(5_000)), "é,1,2,3"]
    path.write_bytes("\n".join(lines).encode("latin-1"))
    assert refused(path).line == 5_002


def test_utf_16_is_told(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("id,lat,lon\n1,43.6,3.8\n", encoding="utf-16")
    assert refused(path).code == "wrong_encoding"
    assert "UTF-16" in refused(path).detail


@pytest.mark.parametrize("name", ["f.csv", "f.geojson", "f.gpkg", "f.csv.gz"])
def test_an_empty_file_is_told(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"") if name.endswith("gz") else b"")
    assert refused(path).code == "empty"


def test_a_table_without_positions_names_the_columns_that_there_are(tmp_path: Path) -> None:
    path = csv_file(tmp_path / "f.csv", [(1, "x")], header="id,place")
    error = refused(path)
    assert error.code == "wrong_columns"
    assert "there is no column “lat”; there are: id, place" in error.detail
    named = refused(path, FileMapping(lat="breite", lon="place"))
    assert "there is no column “breite”" in named.detail
    twice = csv_file(tmp_path / "g.csv", [], header="id,lat,lon,lat")
    assert "stands twice" in refused(twice).detail


def test_a_table_cut_in_the_middle_is_told(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("id,lat,lon\n1,43.6,3.8\n2,43.6")
    error = refused(path)
    assert (error.code, error.line) == ("cut_short", 3)
    path.write_text('id,lat,lon\n1,43.6,3.8\n"2,43.6')
    assert refused(path).code == "cut_short"


def test_a_gzip_file_cut_in_the_middle_is_told(tmp_path: Path) -> None:
    path = tmp_path / "f.csv.gz"
    whole = gzip.compress("\n".join(["id,lat,lon", *("1,2,3" for _ in range(9_000))]).encode())
    path.write_bytes(whole[: len(whole) // 2])
    assert refused(path).code == "cut_short"
    path.write_text("id,lat,lon\n1,43.6,3.8\n")
    assert "not a gzip file" in refused(path).detail


def test_geojson_is_read_feature_by_feature_with_its_lines(tmp_path: Path) -> None:
    rows = around(3_000)
    path = geojson_file(tmp_path / "f.geojson", rows)
    file, read_rows = read(path)
    assert file.crs is None
    assert len(read_rows) == 3_000
    last = read_rows[-1]
    assert isinstance(last, RawRow)
    assert Point(last.y, last.x) == rows[-1][1]
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[last.line - 1].strip() == "{"
    assert '"3000"' in lines[last.line + 2]


def test_geojson_may_state_its_reference_system(tmp_path: Path) -> None:
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::2154"}}
    assert read(geojson_file(tmp_path / "f.geojson", around(1), crs=crs))[0].crs == "EPSG:2154"
    degrees = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
    path = geojson_file(tmp_path / "g.geojson", around(1), crs=degrees)
    assert read(path)[0].crs == "EPSG:4326"
    odd = {"type": "name", "properties": {"name": "our own"}}
    path = geojson_file(tmp_path / "h.geojson", around(1), crs=odd)
    assert refused(path).code == "unknown_crs"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("nothing of the kind", "not_json"),
        ('{"type": "Feature"}', "not_geojson"),
        ('{"type": "FeatureColl', "cut_short"),
        ('{"features": [', "cut_short"),
        ('{"features": [{"type": "Feature"', "cut_short"),
        ('{"features": [{"type": "Feature"},', "cut_short"),
    ],
)
def test_what_is_no_whole_geojson_is_told(tmp_path: Path, text: str, code: str) -> None:
    path = tmp_path / "f.geojson"
    path.write_text(text)
    assert refused(path).code == code


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(share=st.floats(0.01, 0.999))
def test_geojson_cut_anywhere_is_never_taken_for_whole(tmp_path: Path, share: float) -> None:
    whole = geojson_file(tmp_path / "whole.geojson", around(40)).read_text(encoding="utf-8")
    cut = whole.rstrip()[: int(len(whole.rstrip()) * share)]
    if cut.rstrip().endswith("]") and "}\n ]" in cut[-10:]:
        return
    path = tmp_path / "f.geojson"
    path.write_text(cut, encoding="utf-8")
    assert refused(path).code in ("cut_short", "not_json", "empty")


def test_features_that_are_no_points_are_put_aside(tmp_path: Path) -> None:
    line = {"type": "LineString", "coordinates": [[3.8, 43.6], [3.9, 43.6]]}
    many = {"type": "MultiPoint", "coordinates": [[3.8, 43.6]]}
    document = {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "properties": {"id": 1}, "geometry": line},
            {"type": "Feature", "properties": {"id": 2}, "geometry": None},
            {"type": "Feature", "id": 3, "properties": None, "geometry": many},
            "no feature",
        ],
    }
    path = tmp_path / "f.geojson"
    path.write_text(json.dumps(document))
    _, rows = read(path)
    assert [isinstance(row, BadRow) for row in rows] == [True, True, False, True]
    assert isinstance(rows[0], BadRow)
    assert (rows[0].code, rows[0].detail) == ("1", "the feature is not a point (LineString)")
    assert isinstance(rows[2], RawRow)
    assert rows[2].values == {"id": 3}


@pytest.mark.parametrize("has_envelope", [False, True])
def test_a_geopackage_is_read_without_gdal(tmp_path: Path, has_envelope: bool) -> None:
    rows = [(code, point.lon, point.lat) for code, point in around(5)]
    path = geopackage(tmp_path / "f.gpkg", rows, epsg=2154, has_envelope=has_envelope)
    file, read_rows = read(path)
    assert file.crs == "EPSG:2154"
    assert file.columns == ("fid", "geom", "id", "name")
    assert [
        (row.values["id"], row.x, row.y) for row in read_rows if isinstance(row, RawRow)
    ] == rows


def test_a_geopackage_with_several_layers_asks_which(tmp_path: Path) -> None:
    path = geopackage(tmp_path / "f.gpkg", [("1", 3.8, 43.6)], layer="hydrants")
    geopackage(path, [("2", 3.8, 43.6)], layer="lamps")
    assert "say which `layer` holds them: hydrants, lamps" in refused(path).detail
    _, [row] = read(path, FileMapping(layer="lamps"))
    assert isinstance(row, RawRow)
    assert row.values["id"] == "2"
    assert "no layer “trees”" in refused(path, FileMapping(layer="trees")).detail


def test_what_is_no_whole_geopackage_is_told(tmp_path: Path) -> None:
    path = tmp_path / "f.gpkg"
    path.write_bytes(b"id,lat,lon\n1,2,3\n" * 200)
    assert refused(path).code == "unknown_format"
    whole = geopackage(
        tmp_path / "g.gpkg", [(str(number), 3.8, 43.6) for number in range(3_000)]
    ).read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    assert refused(path).code in ("cut_short", "unknown_format")


def test_another_format_is_told(tmp_path: Path) -> None:
    path = tmp_path / "hydrants.shp"
    path.write_bytes(b"x")
    assert refused(path).code == "unknown_format"
    assert type_of("H.CSV.gz") == "csv"


def test_the_mapping_of_the_very_file_is_taken_before_that_of_its_type() -> None:
    mappings = [
        {"path": "assets/a.csv", "code": "a"},
        {"path": "assets/b.csv.gz", "code": "b"},
        {"path": "c.geojson", "code": "c"},
    ]
    assert fitting(mappings, "b.csv").code == "b"
    assert fitting(mappings, "new.csv").code == "a"
    assert fitting(mappings, "new.json").code == "c"
    assert fitting(mappings, "new.gpkg").code is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"colour": "red"}, "unknown key “colour”"),
        ({"attributes": "name"}, "“attributes” must be a mapping"),
        ({"lat": 3}, "“lat” must be text"),
    ],
)
def test_a_mapping_that_cannot_be_is_told(given: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        FileMapping.of(given)
