"""What a city folder says of road defects is held against its services and kinds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from app.city import load_city
from app.city_reading import CityFolderError, read_city
from geo import jurisdictions
from sensing.policy import RoadPolicy

CITIES = Path(__file__).parents[2] / "cities"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Boston's folder, to write other words into."""
    copied = tmp_path / "boston"
    shutil.copytree(CITIES / "boston", copied)
    return copied


def say(folder: Path, text: str) -> None:
    """Put other words under `road_defects`."""
    city = folder / "city.yaml"
    before, _, _ = city.read_text(encoding="utf-8").partition("  road_defects:")
    city.write_text(f"{before}  road_defects:\n{text}", encoding="utf-8")


def test_both_demo_cities_open_requests_for_potholes(session: Session) -> None:
    load_city(session, read_city(CITIES / "boston"))
    jurisdictions.forget()
    policy = RoadPolicy.of(jurisdictions.by_code(session, "boston").policy)
    assert policy == RoadPolicy(service="pothole")
    city = read_city(CITIES / "montpellier")
    montpellier = RoadPolicy.of(city.jurisdiction.policy)
    assert montpellier is not None
    assert montpellier.service == "nid-de-poule"
    assert montpellier.attributes == {"danger": "non"}
    assert montpellier.known_as == {"crossing": "crossing"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("    service: sinkhole\n", "there is no service “sinkhole”"),
        ("    service: fire\n", "is an emergency"),
        (
            "    service: pothole\n    attributes: {deep: x}\n",
            "“pothole” asks for “deep”: The service asks no such question.",
        ),
        (
            "    service: pothole\n    known_as: {hump: speed_hump}\n",
            "there is no kind of asset “hump”",
        ),
        ("    service: pothole\n    known_as: {hydrant: tree}\n", "is not one of"),
        ("    service: pothole\n    belief: 1.5\n", "belief"),
        ("    service: pothole\n    trips: 1\n", "trips"),
        ("    service: pothole\n    trip: 3\n", "did you mean “trips”"),
        ("    belief: 0.9\n", "“service” is missing"),
    ],
)
def test_a_fault_is_named_with_its_line(folder: Path, text: str, reason: str) -> None:
    say(folder, text)
    with pytest.raises(CityFolderError) as refused:
        read_city(folder)
    faults = refused.value.faults
    assert any(reason in fault.reason for fault in faults), faults
    assert all(fault.file == "city.yaml" and fault.line > 0 for fault in faults)
