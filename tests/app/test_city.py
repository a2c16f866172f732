"""Loading city folders: what a load does to the database, once, twice and after an edit."""

from __future__ import annotations

import gzip
import itertools
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.models import Team
from app.city import LoadedCity, load_city
from app.city_reading import CityFolderError, read_city
from geo.models import Address, Area, Jurisdiction
from reports.models import RoutingRule, Service
from reports.retention_rules import DEFAULT, Terms
from reports.routing.rules import from_data
from tests.factories import new_report

CITIES = Path(__file__).parents[2] / "cities"


def load(session: Session, folder: Path) -> LoadedCity:
    return load_city(session, read_city(folder))


def counts(session: Session, jurisdiction_id: int) -> dict[str, int]:
    return {
        model.__tablename__: session.scalar(
            sa.select(sa.func.count()).where(model.jurisdiction_id == jurisdiction_id)
        )
        or 0
        for model in (Area, Address, Team, Service, RoutingRule)
    }


def edit(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the small demo city with a hundred of its hydrants, to edit."""
    copy = tmp_path / "boston"
    shutil.copytree(CITIES / "boston", copy)
    hydrants = copy / "assets" / "hydrants.csv.gz"
    with gzip.open(hydrants, "rt", encoding="utf-8") as whole:
        head = list(itertools.islice(whole, 101))
    hydrants.write_bytes(gzip.compress("".join(head).encode(), mtime=0))
    return copy


def test_montpellier_loads_whole(session: Session) -> None:
    loaded = load(session, CITIES / "montpellier")
    assert counts(session, loaded.jurisdiction_id) == {
        "areas": 38,
        "addresses": 36_395,
        "teams": 14,
        "services": 29,
        "routing_rules": 17,
    }
    row = session.scalars(sa.select(Jurisdiction).where(Jurisdiction.code == "montpellier")).one()
    assert row.boundary_buffer_m == 50
    assert row.policy["closed_days"][0]["names"]["fr"] == "Pont de l’Ascension"
    gas = session.scalars(sa.select(Service).where(Service.code == "odeur-gaz")).one()
    assert gas.emergency is not None
    assert gas.emergency["phone"] == "0 800 47 33 33"

    again = load(session, CITIES / "montpellier")
    assert not again.is_changed
    assert again.version == loaded.version


def test_the_second_demo_city_loads_beside_the_first(session: Session) -> None:
    loaded = load(session, CITIES / "boston")
    assert counts(session, loaded.jurisdiction_id)["services"] == 8
    emergencies = sa.select(Service.code).where(
        Service.jurisdiction_id == loaded.jurisdiction_id, Service.emergency.is_not(None)
    )
    assert session.scalars(emergencies).all() == ["fire"]


def test_loading_twice_changes_nothing_not_even_the_version(session: Session, folder: Path) -> None:
    first = load(session, folder)
    before = session.scalar(sa.select(Jurisdiction.updated_at))
    second = load(session, folder)
    assert first.is_changed
    assert not second.is_changed
    assert second.version == first.version
    assert session.scalar(sa.select(Jurisdiction.updated_at)) == before


def test_stored_rules_are_what_was_written(session: Session, folder: Path) -> None:
    load(session, folder)
    rows = session.scalars(sa.select(RoutingRule).order_by(RoutingRule.position)).all()
    assert [from_data(row.rule) for row in rows] == [
        from_data(rule.as_data()) for rule in read_city(folder).rules
    ]
    assert rows[0].text.startswith("rule hydrant-under-ice")
    assert rows[-1].rule["code"] == "otherwise"


def test_an_edited_folder_updates_and_moves_the_version(session: Session, folder: Path) -> None:
    first = load(session, folder)
    edit(folder, "services.yaml", "name: {en: Pothole,", "name: {en: Hole in the road,")
    edit(folder, "routing.rules", "and priority high", "and priority urgent")
    second = load(session, folder)
    assert second.version == first.version + 1
    assert second.changes["services"].updated == 1
    assert second.changes["services"].unchanged == 7
    assert second.changes["rules"].updated == 1
    pothole = session.scalars(sa.select(Service).where(Service.code == "pothole")).one()
    assert pothole.names["en"] == "Hole in the road"


def test_a_service_keeps_people_as_long_as_its_city_unless_it_says_otherwise(
    session: Session, folder: Path
) -> None:
    edit(folder, "city.yaml", "{contacts_days: 365, photos_days: 730}", "{contacts_days: 100}")
    edit(
        folder,
        "services.yaml",
        "- code: pothole\n",
        "- code: pothole\n    retention: {photos_days: 7}\n",
    )
    load(session, folder)
    kept = {
        service.code: Terms.of(service.retention) for service in session.scalars(sa.select(Service))
    }
    assert kept.pop("pothole") == Terms(contacts_days=100, photos_days=7)
    assert set(kept.values()) == {Terms(contacts_days=100, photos_days=DEFAULT.photos_days)}

    edit(folder, "services.yaml", "{photos_days: 7}", "{contacts_days: 5, photos_days: 7}")
    load(session, folder)
    edited = session.scalars(
        sa.select(Service)
        .where(Service.code == "pothole")
        .execution_options(populate_existing=True)
    ).one()
    assert Terms.of(edited.retention) == Terms(contacts_days=5, photos_days=7)


def test_a_removed_service_is_deleted_only_when_no_request_names_it(
    session: Session, folder: Path
) -> None:
    load(session, folder)
    used = session.scalars(sa.select(Service).where(Service.code == "damaged-sign")).one()
    new_report(session, used)
    text = (folder / "services.yaml").read_text(encoding="utf-8")
    start, end = text.index("  - code: snow-plowing"), text.index("  - code: fire")
    (folder / "services.yaml").write_text(text[:start] + text[end:], encoding="utf-8")
    edit(
        folder,
        "routing.rules",
        "rule signs\n  when service damaged-sign",
        "rule signs\n  when group hydrants",
    )
    second = load(session, folder)
    assert second.changes["services"].retired == 2
    codes = {row.code: row.is_active for row in session.scalars(sa.select(Service))}
    assert "snow-plowing" not in codes
    assert codes["damaged-sign"] is False
    assert not load(session, folder).is_changed


def test_a_removed_team_is_kept_inactive_while_something_refers_to_it(
    session: Session, folder: Path
) -> None:
    load(session, folder)
    team = session.scalars(sa.select(Team).where(Team.code == "transportation")).one()
    service = session.scalars(sa.select(Service).where(Service.code == "pothole")).one()
    new_report(session, service, team=team)
    text = (folder / "teams.yaml").read_text(encoding="utf-8")
    (folder / "teams.yaml").write_text(
        text[: text.index("  - code: transportation")], encoding="utf-8"
    )
    edit(folder, "routing.rules", "then team transportation", "then team public-works")
    second = load(session, folder)
    assert second.changes["teams"].retired == 1
    assert team.is_active is False


def test_a_broken_folder_changes_nothing(session: Session, folder: Path) -> None:
    first = load(session, folder)
    edit(folder, "services.yaml", "name: {en: Pothole,", "name: {en: Hole in the road,")
    edit(folder, "teams.yaml", "digest: daily", "digest: sometimes")
    with pytest.raises(CityFolderError):
        load(session, folder)
    row = session.get_one(Jurisdiction, first.jurisdiction_id)
    assert row.version == first.version
    pothole = session.scalars(sa.select(Service).where(Service.code == "pothole")).one()
    assert pothole.names["en"] == "Pothole"
