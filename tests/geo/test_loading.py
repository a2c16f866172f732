"""A city comes in whole, twice the same changes nothing, and what is wrong is named."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.changes import Changes
from geo.cells import cell_of
from geo.loading import (
    AreaSpec,
    LoadingError,
    load_addresses,
    load_areas,
    load_jurisdiction,
)
from geo.measures import Point
from geo.models import Address, Area, Jurisdiction
from tests.geo.cities import (
    geometries,
    house,
    montpellier,
    montpellier_addresses,
    shared_file,
    square,
    town,
)

WARD = AreaSpec("wards", "1", {"fr": "Un"}, square(3.80, 43.55, 3.87, 43.65), line=3)
BOW_TIE = {
    "type": "Polygon",
    "coordinates": [[[3.8, 43.6], [3.9, 43.65], [3.9, 43.6], [3.8, 43.65], [3.8, 43.6]]],
}


def version(session: Session, id_: int) -> int:
    return session.scalars(sa.select(Jurisdiction.version).where(Jurisdiction.id == id_)).one()


def stored(session: Session, id_: int) -> dict[str, int]:
    rows = session.execute(
        sa.select(Address.number, Address.suffix, Address.street, Address.id).where(
            Address.jurisdiction_id == id_
        )
    )
    return {f"{row.number}{row.suffix} {row.street}": row.id for row in rows}


# -- the jurisdiction ------------------------------------------------------------------------------


def test_a_jurisdiction_loaded_twice_keeps_its_version(session: Session) -> None:
    first = load_jurisdiction(session, town())
    assert first.changes == Changes(created=1)
    before = version(session, first.id)
    again = load_jurisdiction(session, town())
    assert (again.id, again.changes) == (first.id, Changes(unchanged=1))
    assert version(session, first.id) == before


def test_a_change_of_the_jurisdiction_moves_its_version(session: Session) -> None:
    first = load_jurisdiction(session, town())
    before = version(session, first.id)
    changed = load_jurisdiction(session, town(boundary_buffer_m=80))
    assert changed.changes == Changes(updated=1)
    assert version(session, first.id) > before


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"code": "Le Bourg"}, "small letters"),
        ({"country": "fr"}, "two capital letters"),
        ({"default_locale": "de"}, "not among the locales"),
        ({"names": {}}, "no name in the default locale"),
        ({"time_zone": "Europe/Lutece"}, "no time zone"),
        ({"boundary": {"type": "Point", "coordinates": [1, 2]}}, "the boundary"),
        ({"boundary_buffer_m": -1}, "boundary_buffer_m"),
    ],
)
def test_a_jurisdiction_with_a_fault_is_refused(
    session: Session, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(LoadingError, match=reason):
        load_jurisdiction(session, town(**changes))
    assert session.scalar(sa.select(sa.func.count()).select_from(Jurisdiction)) == 0


def test_every_fault_is_named_at_once(session: Session) -> None:
    with pytest.raises(LoadingError) as refused:
        load_jurisdiction(session, town(country="fr", time_zone="x", boundary={}))
    assert len(refused.value.faults) == 3


# -- areas -----------------------------------------------------------------------------------------


def test_areas_come_change_and_go_and_keep_their_ids(session: Session) -> None:
    id_ = load_jurisdiction(session, town()).id
    second = replace(WARD, code="2")
    assert load_areas(session, id_, [WARD, second]).changes == Changes(created=2)
    kept = session.scalars(sa.select(Area.id).where(Area.code == "1")).one()
    before = version(session, id_)
    assert load_areas(session, id_, [WARD, second]).changes == Changes(unchanged=2)
    assert version(session, id_) == before
    renamed = replace(WARD, names={"fr": "Premier"})
    assert load_areas(session, id_, [renamed]).changes == Changes(updated=1, retired=1)
    assert version(session, id_) > before
    assert session.scalars(sa.select(Area.id).where(Area.code == "1")).one() == kept


def test_a_repaired_area_is_a_warning_with_its_line(session: Session) -> None:
    id_ = load_jurisdiction(session, town()).id
    tie = replace(WARD, geometry=BOW_TIE)
    loaded = load_areas(session, id_, [tie])
    assert [warning.lines for warning in loaded.warnings] == [(3,)]
    assert "was repaired" in loaded.warnings[0].reason
    assert load_areas(session, id_, [tie]).changes == Changes(unchanged=1)


@pytest.mark.parametrize(
    ("areas", "reason"),
    [
        ([WARD, WARD], "twice"),
        ([replace(WARD, geometry=square(5, 45, 6, 46))], "more than 5 km outside"),
        ([replace(WARD, geometry=square(769000, 6282000, 770000, 6283000))], "not degrees"),
    ],
)
def test_an_area_with_a_fault_stops_the_load(
    session: Session, areas: list[AreaSpec], reason: str
) -> None:
    id_ = load_jurisdiction(session, town()).id
    with pytest.raises(LoadingError, match=reason) as refused:
        load_areas(session, id_, areas)
    assert refused.value.faults[0].lines == (3,)
    assert session.scalar(sa.select(sa.func.count()).select_from(Area)) == 0


# -- addresses -------------------------------------------------------------------------------------


def test_addresses_come_change_and_go_and_keep_their_ids(session: Session) -> None:
    id_ = load_jurisdiction(session, town()).id
    houses = [house(1, "Rue Foch"), house(2, "Rue Foch"), house(2, "Rue Foch", suffix="bis")]
    assert load_addresses(session, id_, houses).changes == Changes(created=3)
    ids, before = stored(session, id_), version(session, id_)
    assert load_addresses(session, id_, houses).changes == Changes(unchanged=3)
    assert version(session, id_) == before
    edited = [houses[0], replace(houses[1], lat=43.611), house(4, "Rue Foch")]
    assert load_addresses(session, id_, edited).changes == Changes(1, 1, 1, 1)
    assert version(session, id_) > before
    now = stored(session, id_)
    assert set(now) == {"1 Rue Foch", "2 Rue Foch", "4 Rue Foch"}
    assert all(now[name] == ids[name] for name in ("1 Rue Foch", "2 Rue Foch"))
    moved = session.scalars(sa.select(Address).where(Address.number == 2)).one()
    session.refresh(moved)
    assert (moved.lat, moved.cell) == (43.611, cell_of(Point(43.611, 3.87)))


def test_a_number_that_stands_twice_in_a_street_is_kept_twice(session: Session) -> None:
    id_ = load_jurisdiction(session, town()).id
    houses = [house(7, "Rue Foch"), house(7, "Rue Foch", lat=43.62), house(None, "Rue Foch")]
    assert load_addresses(session, id_, houses).changes == Changes(created=3)
    assert load_addresses(session, id_, houses[::-1]).changes == Changes(unchanged=3)


def test_the_same_row_twice_is_loaded_once_and_said(session: Session) -> None:
    id_ = load_jurisdiction(session, town()).id
    loaded = load_addresses(
        session, id_, [house(7, "Rue Foch", line=2), house(7, "Rue Foch", line=3)]
    )
    assert loaded.changes == Changes(created=1)
    assert [warning.lines for warning in loaded.warnings] == [(3,)]


def test_two_cities_load_in_one_transaction_and_do_not_touch_each_other(session: Session) -> None:
    one = load_jurisdiction(session, town()).id
    other = load_jurisdiction(session, town("village")).id
    load_addresses(session, one, [house(1, "Rue Foch")])
    load_addresses(session, other, [house(1, "Rue Foch"), house(2, "Rue Foch")])
    assert load_addresses(session, one, [house(1, "Rue Foch")]).changes == Changes(unchanged=1)
    load_addresses(session, one, [])
    assert (len(stored(session, one)), len(stored(session, other))) == (0, 2)


def test_a_little_outside_is_a_warning_and_far_away_a_fault(session: Session) -> None:
    id_ = load_jurisdiction(session, town()).id
    in_margin = house(1, "Rue Foch", lat=43.6503, line=2)
    outside = house(2, "Rue Foch", lat=43.67, line=3)
    loaded = load_addresses(session, id_, [in_margin, outside])
    assert loaded.changes == Changes(created=2)
    assert [(warning.lines, warning.reason) for warning in loaded.warnings] == [
        ((3,), "the address lies outside the boundary")
    ]
    far, swapped = house(3, "Rue Foch", lat=43.71, line=4), house(4, "Rue", 3.87, 43.6, line=5)
    with pytest.raises(LoadingError) as refused:
        load_addresses(session, id_, [in_margin, far, swapped])
    assert [fault.lines for fault in refused.value.faults] == [(4, 5)]
    assert len(stored(session, id_)) == 2


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (house(1, " ", line=9), "name of a street"),
        (house(1, "Rue Foch", lat=6_282_000, line=9), "not in degrees"),
        (house(1, "Rue Foch", lat=float("nan"), line=9), "not in degrees"),
    ],
)
def test_an_address_with_a_fault_is_named_by_its_line(
    session: Session, bad: Any, reason: str
) -> None:
    id_ = load_jurisdiction(session, town()).id
    with pytest.raises(LoadingError, match=reason) as refused:
        load_addresses(session, id_, [bad])
    assert refused.value.faults[0].lines == (9,)


def test_a_file_that_lost_most_of_its_addresses_is_refused_unless_told(session: Session) -> None:
    id_ = load_jurisdiction(session, town()).id
    houses = [house(number, "Rue Foch") for number in range(1, 201)]
    load_addresses(session, id_, houses)
    with pytest.raises(LoadingError, match="200 of 200 known addresses would go"):
        load_addresses(session, id_, [])
    assert len(stored(session, id_)) == 200
    assert load_addresses(session, id_, houses[:50], allow_loss=True).changes.retired == 150


def test_montpellier_loads_in_seconds_and_again_without_a_change(session: Session) -> None:
    id_ = load_jurisdiction(session, montpellier()).id
    quarters = [
        AreaSpec("quarters", str(properties["OBJECTID"]), {"fr": properties["LIBQUART"]}, geometry)
        for properties, geometry in geometries(shared_file("montpellier", "Quartiers.geojson"))
    ]
    assert load_areas(session, id_, quarters).changes.created == len(quarters)
    specs = montpellier_addresses()
    started = time.monotonic()
    loaded = load_addresses(session, id_, specs)
    assert time.monotonic() - started < 15
    assert loaded.changes == Changes(created=36_395)
    assert [len(warning.lines) for warning in loaded.warnings] == [375]
    assert load_addresses(session, id_, specs).changes == Changes(unchanged=36_395)
    assert load_areas(session, id_, quarters).changes == Changes(unchanged=len(quarters))
    assert load_jurisdiction(session, montpellier()).changes == Changes(unchanged=1)
