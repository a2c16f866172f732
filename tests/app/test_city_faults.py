"""Broken city folders: each says file, line and reason, and all of them at once."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import marshmallow as ma
import pytest
from ruamel.yaml import YAML

from app import city_fields, city_schemas
from app.city_reading import CityFolderError, read_city
from reports.routing import grammar

CITIES = Path(__file__).parents[2] / "cities"

ADDRESSES = """
addresses:
  file: addresses.csv
  columns: {number: no, street: street, lat: lat, lon: lon}
"""

WARDS = """
areas:
  - layer: wards
    name: {en: Wards, fr: Secteurs}
    file: areas/wards.geojson
    code: code
    label: name
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the small demo city, with 200 of its hydrants, to break."""
    copy = tmp_path / "boston"
    shutil.copytree(CITIES / "boston", copy)
    path = copy / "assets/hydrants.csv.gz"
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    path.write_bytes(gzip.compress(b"".join(lines[:201])))
    return copy


def replace(folder: Path, name: str, old: str, new: str) -> int:
    """Replace once; the line on which the replaced text stood."""
    text = (folder / name).read_text(encoding="utf-8")
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def append(folder: Path, name: str, text: str) -> None:
    with (folder / name).open("a", encoding="utf-8") as file:
        file.write(text)


def faults(folder: Path) -> list[str]:
    with pytest.raises(CityFolderError) as caught:
        read_city(folder)
    return [str(fault) for fault in caught.value.faults]


def with_addresses(folder: Path, rows: str, header: str = "no,street,lat,lon") -> Path:
    append(folder, "city.yaml", ADDRESSES)
    (folder / "addresses.csv").write_text(f"{header}\n{rows}", encoding="utf-8")
    return folder


def with_wards(folder: Path, *rings: list[list[float]], code: str = "code") -> Path:
    append(folder, "city.yaml", WARDS)
    features = [
        {
            "type": "Feature",
            "properties": {code: f"w{index}", "name": f"Ward {index}"},
            "geometry": {"type": "Polygon", "coordinates": [ring]},
        }
        for index, ring in enumerate(rings, start=1)
    ]
    lines = ",\n".join(json.dumps(feature) for feature in features)
    (folder / "areas/wards.geojson").write_text(
        f'{{"type": "FeatureCollection", "features": [\n{lines}\n]}}', encoding="utf-8"
    )
    return folder


def ring(lon: float, lat: float, size: float = 0.01) -> list[list[float]]:
    return [
        [lon, lat],
        [lon + size, lat],
        [lon + size, lat + size],
        [lon, lat + size],
        [lon, lat],
    ]


def test_the_demo_cities_are_right() -> None:
    for name in ("montpellier", "boston"):
        assert read_city(CITIES / name).jurisdiction.code == name


@pytest.mark.parametrize(
    ("name", "old", "new", "reason"),
    [
        ("city.yaml", "country: US", "country: USA", "“country” “USA” is not a two-letter"),
        ("city.yaml", "subdivision: MA", "subdivision: QC", "not a region of the country"),
        ("city.yaml", "America/New_York", "America/Boston", "is not a time zone"),
        ("city.yaml", "format: 1", "format: 2", "this version reads format 1, not 2"),
        ("city.yaml", "default_locale: en", "default_locale: es", "not one of the locales"),
        ("city.yaml", "  buffer_m: 100", "  bufer_m: 100", "did you mean “buffer_m”?"),
        ("city.yaml", "around-hydrants", "limits", "there is no file “areas/limits.geojson”"),
        ("city.yaml", "file: areas/", "file: ../areas/", "lies outside the city folder"),
        ("services.yaml", "group: hydrants", "group: hydrant", "there is no group “hydrant”"),
        ("services.yaml", "code: pothole", "code: Pothole", "“Pothole” is not a code"),
        ("services.yaml", "code: pothole", "code: 311", "is a number: put it in quotes"),
        ("services.yaml", "code: pothole", "code: street-light", "stands in line"),
        ("services.yaml", "datatype: singlevaluelist", "datatype: list", "is not one of string"),
        ("services.yaml", ", fr: Nid-de-poule}", "}", "the fr translation is missing"),
        ("services.yaml", "{en: Pothole, fr: Nid-de-poule}", "Pothole", "given by language"),
        ("services.yaml", "{hours: 24, clock: calendar}", "{hours: 24}", "calendar or working"),
        ("services.yaml", "{hours: 24, clock: calendar}", "{}", "hours or working_days"),
        ("services.yaml", 'cut_off: "17:00"', 'cut_off: "17h00"', "“17h00” is not a time"),
        ("services.yaml", "radius_m: 25", "radius_m: 0", "must be greater than or equal to 1"),
        ("teams.yaml", "calendar: office", "calendar: ofice", "there is no calendar “ofice”"),
        ("teams.yaml", '"08:00-17:00"', '"17:00-08:00"', "ends before it begins"),
        ("teams.yaml", '"08:00-17:00"', '"8-17"', "is not a period such as 08:00-12:00"),
        ("teams.yaml", "front-desk@", "front-desk", "not a valid email address"),
        ("routing.rules", "then team water", "then team watter", "“watter”: there is no team"),
        ("routing.rules", "is frozen", "is icy", "“icy”: the attribute has no such value"),
        ("routing.rules", "when service hydrant-l", "wen service hydrant-l", "“wen”: expected"),
        ("assets.yaml", "owner_team: hydrants", "owner_team: firemen", "no team “firemen”"),
        ("assets.yaml", "code: id", "code: number", "there is no column “number”"),
    ],
)
def test_a_fault_names_file_line_and_reason(
    folder: Path, name: str, old: str, new: str, reason: str
) -> None:
    line = replace(folder, name, old, new)
    found = [fault for fault in faults(folder) if reason in fault]
    assert found
    if "column" not in reason:
        assert found[0].startswith(f"{name}:{line}: ") or "stands in line" in reason


def test_all_faults_of_all_files_are_listed_in_one_run(folder: Path) -> None:
    replace(folder, "city.yaml", "country: US", "country: USA")
    replace(folder, "services.yaml", "code: pothole", "code: Pothole")
    replace(folder, "services.yaml", "radius_m: 80", "radius_m: -1")
    replace(folder, "teams.yaml", "digest: hourly", "digest: sometimes")
    replace(folder, "routing.rules", "when service", "whn service")
    assert {fault.split(":")[0] for fault in faults(folder)} == {
        "city.yaml",
        "services.yaml",
        "teams.yaml",
        "routing.rules",
    }
    assert len(faults(folder)) == 5


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "routing.rules").unlink()
    (folder / "teams.yaml").unlink()
    assert faults(folder) == [
        "routing.rules: the folder has no such file",
        "teams.yaml: the folder has no such file",
    ]


def test_a_folder_that_is_not_there_is_one_fault(tmp_path: Path) -> None:
    assert faults(tmp_path / "nowhere") == [f"{tmp_path / 'nowhere'}: there is no such folder"]


def test_broken_yaml_names_its_line(folder: Path) -> None:
    line = replace(folder, "teams.yaml", "  - code: water\n", "  - code: water: drop\n")
    (fault,) = faults(folder)
    assert fault.startswith(f"teams.yaml:{line}: not valid YAML: ")


def test_a_key_given_twice_is_a_fault(folder: Path) -> None:
    line = replace(folder, "city.yaml", "country: US\n", "country: US\ncountry: CA\n") + 1
    (fault,) = faults(folder)
    assert fault == f'city.yaml:{line}: not valid YAML: found duplicate key "country"'


def test_latin_1_is_told_as_such(folder: Path) -> None:
    path = folder / "services.yaml"
    path.write_bytes(path.read_text(encoding="utf-8").encode("latin-1", errors="replace"))
    (fault,) = faults(folder)
    assert "not UTF-8" in fault
    assert "Latin-1" in fault
    assert fault.startswith("services.yaml:5: ")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"\xff\xfen\x00o\x00", "UTF-16"),
        (b"no,street,lat,lon\n", "a header and not one row"),
        (b"no;street;lat;lon\n1;Beacon St;42.36;-71.06\n", "separated by “;”"),
        (b"no,street,lat\n1,Beacon St,42.36\n", "there is no column “lon”; there are: no, street"),
        (b'no,street,lat,lon\n1,"Beacon St,42.36,-71.06\n', "a quoted field does not end"),
        (b"no,street,lat,lon\n1,Beacon St,42.36,-71.06\n2,Bea", "the 4 columns of the header"),
        (b"no,street,lat,lon\n1,Beacon St,north,-71.06\n", "“lon” or “lat” is not a number"),
        (b"no,street,lat,lon\n1,,42.36,-71.06\n", "the street is missing"),
        (b"no,street,lat,lon\nx,Beacon St,42.36,-71.06\n", "the house number has no number"),
        (b"no,street,lat,lon\n1,Beacon St,-71.06,42.36\n", "latitude and longitude are swapped"),
        (b"no,street,lat,lon\n1,Beacon St,95.36,-71.06\n", "no latitude is 95.36"),
        (b"no,street,lat,lon\n1,Beacon St,900000,236000\n", "in metres, not in degrees"),
        (b"no,street,lat,lon\n1,Beacon St,42.36,-70.0\n", "more than 5 km outside the boundary"),
        (b"no,street,lat,lon\n1,Beacon St,nan,-71.06\n", "“lon” or “lat” is not a number"),
    ],
)
def test_broken_addresses(folder: Path, content: bytes, reason: str) -> None:
    with_addresses(folder, "")
    (folder / "addresses.csv").write_bytes(content)
    (fault,) = faults(folder)
    assert fault.startswith("addresses.csv")
    assert reason in fault


def test_many_rows_of_one_fault_are_counted_and_some_named(folder: Path) -> None:
    rows = "".join(f"{number},Beacon St,42.36,-70.0\n" for number in range(1, 101))
    with_addresses(folder, rows)
    (fault,) = faults(folder)
    assert fault.startswith("addresses.csv:2: ")
    assert "(100 rows: lines 2, 3, 4, 5, 6 and 95 more)" in fault


def test_addresses_a_little_outside_load_with_a_warning(folder: Path) -> None:
    with_addresses(folder, "1,Beacon St,42.36,-71.06\n2,Far Rd,42.40,-71.20\n")
    city = read_city(folder)
    assert len(city.addresses) == 2
    (warning,) = city.warnings
    assert str(warning).startswith("addresses.csv:3: the position lies outside the boundary")


def test_a_truncated_gzip_is_told(folder: Path) -> None:
    path = folder / "assets/hydrants.csv.gz"
    path.write_bytes(path.read_bytes()[:1_000])
    assert faults(folder) == [
        "assets/hydrants.csv.gz: the compressed file is cut short: copy it again"
    ]


def test_asset_codes_that_repeat_are_faults(folder: Path) -> None:
    path = folder / "assets/hydrants.csv.gz"
    text = gzip.decompress(path.read_bytes()).decode()
    path.write_bytes(gzip.compress((text + text.splitlines()[1] + "\n").encode()))
    (fault,) = faults(folder)
    assert fault.startswith("assets/hydrants.csv.gz:202: ")
    assert "twice" in fault


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda text: text[: len(text) // 2], "cut short"),
        (lambda text: text.replace('"features": [', '"features": [,'), "not JSON"),
        (lambda text: text.replace("FeatureCollection", "X").replace("features", "y"), "not a"),
        (lambda text: "", "the file is empty"),
        (lambda text: text.replace('"Polygon"', '"Point"'), "feature 1"),
    ],
)
def test_a_broken_boundary(folder: Path, break_it: Callable[[str], str], reason: str) -> None:
    path = folder / "areas/around-hydrants.geojson"
    path.write_text(break_it(path.read_text(encoding="utf-8")), encoding="utf-8")
    (fault,) = faults(folder)
    assert fault.startswith("areas/around-hydrants.geojson")
    assert reason in fault


def test_a_boundary_with_swapped_coordinates_is_told(folder: Path) -> None:
    path = folder / "areas/around-hydrants.geojson"
    data = json.loads(path.read_text(encoding="utf-8"))
    geometry = data["features"][0]["geometry"]
    geometry["coordinates"] = [[[lat, lon] for lon, lat in geometry["coordinates"][0]]]
    path.write_text(json.dumps(data), encoding="utf-8")
    (fault,) = faults(folder)
    assert "swapped" in fault


def test_areas_are_judged_one_by_one(folder: Path) -> None:
    bow_tie = [[-71.06, 42.36], [-71.05, 42.37], [-71.05, 42.36], [-71.06, 42.37], [-71.06, 42.36]]
    with_wards(
        folder,
        ring(-71.06, 42.35),
        bow_tie,
        ring(-72.06, 42.35),
        [[lat, lon] for lon, lat in ring(-71.06, 42.35)],
        ring(236_000, 900_000),
    )
    found = faults(folder)
    assert len(found) == 4
    assert "the polygon of feature 2 is broken: Self-intersection" in found[0]
    assert found[0].startswith("areas/wards.geojson:3: ")
    assert "feature 3 lies" in found[1]
    assert found[2].endswith("latitude and longitude are swapped")
    assert "in metres" in found[3]


def test_metres_without_a_reference_system_are_told(folder: Path) -> None:
    with_wards(folder, ring(236_000, 900_000, 1_000))
    (fault,) = faults(folder)
    assert "in metres, not in degrees" in fault
    assert "`crs`" in fault


def test_metres_with_a_reference_system_are_brought_to_degrees(folder: Path) -> None:
    with_wards(folder, ring(236_000, 900_000, 1_000))
    replace(folder, "city.yaml", "    code: code", "    crs: EPSG:26986\n    code: code")
    (area,) = read_city(folder).areas
    lon, lat = area.geometry["coordinates"][0][0]
    assert (round(lon, 2), round(lat, 2)) == (-71.06, 42.35)


def test_degrees_under_a_reference_system_of_metres_are_told(folder: Path) -> None:
    with_wards(folder, ring(-71.06, 42.35))
    replace(folder, "city.yaml", "    code: code", "    crs: EPSG:26986\n    code: code")
    (fault,) = faults(folder)
    assert "are in degrees" in fault


def test_an_area_without_its_code_property_is_a_fault(folder: Path) -> None:
    with_wards(folder, ring(-71.06, 42.35), code="number")
    assert faults(folder) == ["areas/wards.geojson:2: feature 1 has no property “code”"]


def test_an_unknown_reference_system_is_a_fault(folder: Path) -> None:
    line = replace(folder, "city.yaml", "  buffer_m: 100", "  buffer_m: 100\n  crs: EPSG:99999")
    (fault,) = faults(folder)
    assert fault.startswith(f"city.yaml:{line + 1}: ")
    assert "no reference system" in fault


def test_closed_days_must_be_dates(folder: Path) -> None:
    append(folder, "city.yaml", "closed_days: closed.csv\n")
    (folder / "closed.csv").write_text(
        "date,name_en,name_fr\n2026-12-24,Early closing,Fermeture\n24/12/2027,x,y\n"
    )
    assert faults(folder) == ["closed.csv:3: “24/12/2027” is not a date such as 2026-12-24"]


def _keys(schema: ma.Schema) -> Iterator[str]:
    """Every key that a file may hold, its inner mappings included."""
    for name, field in schema.fields.items():
        yield field.data_key or name
        inner = field.inner if isinstance(field, ma.fields.List | city_fields.Coded) else field
        if isinstance(inner, ma.fields.Nested):
            yield from _keys(inner.schema)


@pytest.mark.parametrize(
    "schema",
    [
        city_schemas.CityIn,
        city_schemas.ServicesIn,
        city_schemas.TeamsIn,
        city_schemas.AssetsIn,
    ],
)
def test_every_key_is_documented(schema: type[ma.Schema]) -> None:
    document = "".join(
        (CITIES.parent / "docs" / name).read_text(encoding="utf-8")
        for name in ("city-folder.md", "open311-downstream.md")
    )
    words = set(re.findall(r"[a-z][a-z0-9_]*", document))
    assert set(_keys(schema())) <= words


def test_the_examples_of_the_document_are_right() -> None:
    document = (CITIES.parent / "docs/city-folder.md").read_text(encoding="utf-8")
    rules = re.search(r"```\n(# Danger first.*?)```", document, re.DOTALL)
    assert rules is not None
    assert [rule.code for rule in grammar.parse(rules[1])] == [
        "danger-chaussee",
        "voirie-centre",
        "otherwise",
    ]
    schemas = {
        "format": city_schemas.CityIn,
        "groups": city_schemas.ServicesIn,
        "calendars": city_schemas.TeamsIn,
        "kinds": city_schemas.AssetsIn,
    }
    seen = set()
    for text in re.findall(r"```yaml\n(.*?)```", document, re.DOTALL):
        data = YAML(typ="safe", pure=True).load(text)
        first = next(iter(data))
        if first in schemas:
            assert schemas[first]().validate(data) == {}
            seen.add(first)
    assert seen == set(schemas)
