"""The assets of a city folder, loaded with it: once, twice, after an edit, after a correction."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.city import LoadedCity, load_city
from app.city_reading import CityFolderError, read_city
from assets import register
from assets.kinds import kinds_of
from assets.models import Asset, AssetKind, AssetVersion
from assets.register import Change, Said
from assets.vocabulary import AssetState, Origin
from core.models import OutboxEvent
from geo import jurisdictions
from tests.factories import WEDNESDAY

CITIES = Path(__file__).parents[2] / "cities"

#: Thirty hydrants of the city centre.
ROWS = [f"h{number},{42.355 + number / 5_000:.6f},-71.06" for number in range(30)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The small demo city with thirty hydrants."""
    copy = tmp_path / "boston"
    shutil.copytree(CITIES / "boston", copy)
    text = (copy / "assets.yaml").read_text(encoding="utf-8")
    (copy / "assets.yaml").write_text(text.replace("hydrants.csv.gz", "hydrants.csv"))
    write(copy, ROWS)
    return copy


def write(folder: Path, rows: Sequence[str]) -> None:
    lines = "\n".join(["id,lat,lon", *rows])
    (folder / "assets/hydrants.csv").write_text(f"{lines}\n", encoding="utf-8")


def load(session: Session, folder: Path, *, allow_loss: bool = False) -> LoadedCity:
    loaded = load_city(session, read_city(folder), allow_loss=allow_loss)
    jurisdictions.forget()
    return loaded


def assets(session: Session) -> dict[str, Asset]:
    session.expire_all()
    return {asset.code: asset for asset in session.scalars(sa.select(Asset))}


def events(session: Session, name: str) -> int:
    return (
        session.scalar(
            sa.select(sa.func.count()).select_from(OutboxEvent).where(OutboxEvent.name == name)
        )
        or 0
    )


def test_the_folder_brings_kinds_and_assets_and_the_second_time_nothing(
    session: Session, folder: Path
) -> None:
    loaded = load(session, folder)
    assert loaded.changes["asset kinds"].created == 1
    assert loaded.changes["assets"].created == 30
    kind = kinds_of(session, loaded.jurisdiction_id).kind("hydrant")
    assert (kind.is_adoptable, kind.adoption.limit_per_volunteer, kind.owner) == (
        True,
        6,
        "hydrants",
    )
    assert kind.season is not None
    assert [action.code for action in kind.care.actions] == ["cleared", "checked", "problem"]
    assert kind.corrections.confirmations == 3
    asset = assets(session)["h0"]
    assert (asset.version, asset.state, asset.lat) == (1, "in_service", 42.355)
    [version] = session.scalars(
        sa.select(AssetVersion).where(AssetVersion.asset_id == asset.id)
    ).all()
    assert (version.origin, version.changed) == ("import", ["created"])
    again = load(session, folder)
    assert not again.is_changed
    assert again.version == loaded.version
    assert again.changes["assets"].unchanged == 30
    assert session.scalar(sa.select(sa.func.count()).select_from(AssetVersion)) == 30


def test_an_edited_file_changes_what_is_different_and_keeps_the_versions(
    session: Session, folder: Path
) -> None:
    load(session, folder)
    before = assets(session)
    rows = [row for row in ROWS if not row.startswith("h3,")]
    rows[0] = "h0,42.3551,-71.06"
    write(folder, [*rows, "h99,42.37,-71.06"])
    loaded = load(session, folder)
    changes = loaded.changes["assets"]
    assert (changes.created, changes.updated, changes.retired, changes.unchanged) == (1, 1, 1, 28)
    after = assets(session)
    assert after["h0"].id == before["h0"].id
    assert (after["h0"].version, after["h0"].lat) == (2, 42.3551)
    assert after["h3"].state == AssetState.REMOVED
    assert (events(session, "asset.moved"), events(session, "asset.removed")) == (1, 1)
    write(folder, ROWS)
    load(session, folder)
    assert assets(session)["h3"].state == AssetState.IN_SERVICE
    assert events(session, "asset.returned") == 1


def test_what_a_person_corrected_outlives_an_edited_folder(session: Session, folder: Path) -> None:
    loaded = load(session, folder)
    corrected = assets(session)["h5"]
    register.change(
        session,
        corrected,
        Change(state=AssetState.OUT_OF_ORDER),
        by=Said(Origin.CORRECTION),
        now=WEDNESDAY,
    )
    write(folder, [*ROWS, "h99,42.37,-71.06"])
    assert load(session, folder).changes["assets"].updated == 0
    assert assets(session)["h5"].state == AssetState.OUT_OF_ORDER
    assert loaded.jurisdiction_id == corrected.jurisdiction_id


def test_a_folder_that_lacks_more_than_a_tenth_is_refused_unless_told(
    session: Session, folder: Path
) -> None:
    load(session, folder)
    write(folder, ROWS[:26])
    with pytest.raises(CityFolderError, match="4 of 30 known assets of the kind “hydrant”"):
        load(session, folder)
    loaded = load(session, folder, allow_loss=True)
    assert loaded.changes["assets"].retired == 4


def test_a_kind_that_leaves_the_folder_is_kept_out_of_use_while_it_has_assets(
    session: Session, folder: Path
) -> None:
    load(session, folder)
    (folder / "assets.yaml").write_text("kinds: []\n", encoding="utf-8")
    loaded = load(session, folder)
    assert loaded.changes["asset kinds"].retired == 1
    assert session.scalars(sa.select(AssetKind.is_active)).all() == [False]
    assert not load(session, folder).is_changed


def test_a_folder_that_says_nothing_of_assets_leaves_them_alone(
    session: Session, folder: Path
) -> None:
    load(session, folder)
    (folder / "assets.yaml").unlink()
    assert not load(session, folder).is_changed
    assert len(assets(session)) == 30


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("adoptable: true", "adoptable: false", "nobody can adopt one: say adoptable: true"),
        ('from: "11-15"', 'from: "15-11"', "“15-11” is not a day such as 11-15"),
        ("code: checked", "code: cleared", "the code “cleared” stands in `care` twice"),
        ("hydrants.csv", "hydrants.gpkg", "a folder ships .csv and .geojson files"),
        ("capacity: 1", "capacity: 0", "capacity"),
    ],
)
def test_a_kind_that_cannot_be_is_a_fault_with_its_line(
    folder: Path, old: str, new: str, told: str
) -> None:
    path = folder / "assets.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(CityFolderError) as caught:
        read_city(folder)
    faults = [str(fault) for fault in caught.value.faults]
    assert any(fault.startswith("assets.yaml:") and told in fault for fault in faults), faults


def test_an_attribute_that_is_not_what_its_kind_says_is_a_fault(folder: Path) -> None:
    path = folder / "assets.yaml"
    text = path.read_text(encoding="utf-8").replace(
        "    files:\n",
        "    attributes:\n"
        "      - {code: year, datatype: number, name: {en: Year, fr: Année}}\n"
        "    files:\n",
    )
    path.write_text(text.replace("lon: lon", "lon: lon\n        attributes: {year: year}"))
    rows = "id,lat,lon,year\nh1,42.355,-71.06,1912\nh2,42.356,-71.06,old\n"
    (folder / "assets/hydrants.csv").write_text(rows)
    with pytest.raises(CityFolderError, match=r"hydrants\.csv:3: “old” does not do as “year”"):
        read_city(folder)
