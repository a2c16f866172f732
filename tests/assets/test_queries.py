"""Reading the register: boxes, circles, the nearest, pages, clusters, search, versions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from assets import queries
from assets.models import Asset, AssetCell
from assets.queries import Filters, Found
from assets.vocabulary import AssetState
from core.ids import new_id
from core.pagination import BadCursorError
from geo import jurisdictions
from geo.cells import cell_of, edge_m
from geo.measures import Box, Point, destination, distance_m
from geo.models import Jurisdiction
from tests.factories import (
    COMEDIE,
    new_adoption,
    new_asset,
    new_asset_kind,
    new_jurisdiction,
)
from tests.statements import count_statements

AROUND = Box.around(COMEDIE, 5_000)


@pytest.fixture
def city(session: Session) -> Jurisdiction:
    return new_jurisdiction(session)


def of(session: Session, *cities: Jurisdiction, **values: Any) -> Filters:
    """Filters for these cities."""
    session.flush()
    jurisdictions.forget()
    return Filters(places=tuple(jurisdictions.by_id(session, city.id) for city in cities), **values)


def ids(found: Sequence[Found]) -> set[Any]:
    return {item.id for item in found}


def at(metres: float, heading: float = 90.0) -> Point:
    """A position so far from the Comédie."""
    return destination(COMEDIE, heading, metres)


def test_a_box_holds_what_stands_in_it_and_nothing_beside(
    session: Session, city: Jurisdiction
) -> None:
    kind = new_asset_kind(session, city)
    inside = [new_asset(session, kind, point=at(metres)).id for metres in (0, 40, 90)]
    new_asset(session, kind, point=at(400))
    page = queries.page(session, of(session, city, box=Box.around(COMEDIE, 100)), limit=50)
    assert ids(page.items) == set(inside)
    assert page.next is None


def test_pages_go_through_everything_once_in_one_statement_each(
    session: Session, city: Jurisdiction
) -> None:
    kind = new_asset_kind(session, city)
    made = {new_asset(session, kind, point=at(7 * number, 37 * number)).id for number in range(25)}
    # Two in the very same place must not be lost between two pages.
    made |= {new_asset(session, kind, point=COMEDIE).id for _ in range(3)}
    filters = of(session, city, box=AROUND)
    queries.page(session, filters, limit=1)
    seen: list[Any] = []
    cursor = None
    for _ in range(40):
        with count_statements() as sent:
            page = queries.page(session, filters, cursor=cursor, limit=4)
        assert len(sent) == 1
        seen += [item.id for item in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert len(seen) == len(made)
    assert set(seen) == made


def test_without_a_place_the_whole_city_is_paged(session: Session, city: Jurisdiction) -> None:
    kind = new_asset_kind(session, city)
    made = {new_asset(session, kind, point=at(3_000 * number)).id for number in range(3)}
    assert ids(queries.page(session, of(session, city), limit=10).items) == made


def test_a_cursor_of_another_list_is_refused(session: Session, city: Jurisdiction) -> None:
    new_asset(session, new_asset_kind(session, city))
    for cursor in ("x", "WzEsIDJd", "WyJhIiwgImIiXQ", "Wy0xLCJhIl0"):
        with pytest.raises(BadCursorError):
            queries.page(session, of(session, city), cursor=cursor, limit=5)


def test_a_circle_is_measured_along_the_ground(session: Session, city: Jurisdiction) -> None:
    kind = new_asset_kind(session, city)
    near = new_asset(session, kind, point=at(99.5))
    new_asset(session, kind, point=at(100.5))
    page = queries.page(session, of(session, city, near=COMEDIE, radius_m=100.0), limit=10)
    assert [item.id for item in page.items] == [near.id]
    assert page.items[0].distance_m == pytest.approx(99.5, abs=0.01)


def test_the_nearest_come_nearest_first_however_far(session: Session, city: Jurisdiction) -> None:
    kind = new_asset_kind(session, city)
    made = [new_asset(session, kind, point=at(metres, metres)).id for metres in (4_000, 3, 700)]
    with count_statements() as sent:
        found = queries.nearest(session, of(session, city, near=COMEDIE), most=3)
    assert [item.id for item in found] == [made[1], made[2], made[0]]
    assert len([text for text in sent if "assets AS a" in text]) == 1
    assert [item.id for item in queries.nearest(session, of(session, city, near=COMEDIE), most=1)]
    two = queries.nearest(session, of(session, city, near=COMEDIE), most=2)
    assert [item.id for item in two] == [made[1], made[2]]


def test_the_nearest_within_a_radius_are_no_farther(session: Session, city: Jurisdiction) -> None:
    kind = new_asset_kind(session, city)
    near = new_asset(session, kind, point=at(299))
    new_asset(session, kind, point=at(301))
    found = queries.nearest(session, of(session, city, near=COMEDIE, radius_m=300.0), most=9)
    assert ids(found) == {near.id}


def test_kinds_states_and_cities_narrow_a_list(session: Session, city: Jurisdiction) -> None:
    lamp = new_asset_kind(session, city, code="lamp")
    tree = new_asset_kind(session, city, code="tree")
    retired = new_asset_kind(session, city, code="phone-box", is_active=False)
    other = new_jurisdiction(session)
    foreign = new_asset(session, new_asset_kind(session, other, code="lamp"))
    lit = new_asset(session, lamp)
    dark = new_asset(session, lamp, state=AssetState.OUT_OF_ORDER)
    gone = new_asset(session, lamp, state=AssetState.REMOVED)
    oak = new_asset(session, tree)
    new_asset(session, retired)

    def listed(*cities: Jurisdiction, **values: Any) -> set[Any]:
        return ids(queries.page(session, of(session, *cities, **values), limit=50).items)

    assert listed(city) == {lit.id, dark.id, oak.id}
    assert listed(city, kinds=("lamp",)) == {lit.id, dark.id}
    assert listed(city, other, kinds=("lamp",)) == {lit.id, dark.id, foreign.id}
    assert listed(city, states=(AssetState.REMOVED, AssetState.MOVED)) == {gone.id}
    assert listed(city, states=(AssetState.OUT_OF_ORDER,), box=AROUND) == {dark.id}
    assert listed(city, kinds=("no-such-kind",)) == set()
    assert listed() == set()


def test_adopted_and_free_are_told_apart_by_the_capacity_of_the_kind(
    session: Session, city: Jurisdiction
) -> None:
    one = new_asset_kind(session, city)
    two = new_asset_kind(session, city, adoption={"capacity": 2})
    never = new_asset_kind(session, city, is_adoptable=False)
    taken = new_asset(session, one, adopters=1)
    half = new_asset(session, two, adopters=1)
    free = new_asset(session, one)
    new_asset(session, one, state=AssetState.REMOVED)
    new_asset(session, never)

    def listed(*, adopted: bool) -> set[Any]:
        filters = of(session, city, adopted=adopted, box=AROUND)
        return ids(queries.page(session, filters, limit=50).items)

    assert listed(adopted=True) == {taken.id, half.id}
    assert listed(adopted=False) == {half.id, free.id}


def test_words_are_found_by_their_beginnings_without_accents(
    session: Session, city: Jurisdiction
) -> None:
    kind = new_asset_kind(session, city)
    fountain = new_asset(
        session, kind, code="F-17", attributes={"name": "Fontaine des Trois Grâces"}
    )
    other = new_asset(session, kind, code="F-18", attributes={"name": "Fontaine Sabatier"})

    def searched(text: str) -> set[Any]:
        return ids(queries.page(session, of(session, city, text=text), limit=50).items)

    assert searched("graces fontaine") == {fountain.id}
    assert searched("fon") == {fountain.id, other.id}
    assert searched("f-18") == {other.id}
    assert searched("' | & :*") == {fountain.id, other.id}
    assert searched("lavoir") == set()


def test_a_box_that_holds_too_many_is_none_and_its_clusters_count_them_all(
    session: Session, city: Jurisdiction
) -> None:
    lamp = new_asset_kind(session, city, code="lamp")
    tree = new_asset_kind(session, city, code="tree")
    for number in range(20):
        new_asset(session, lamp if number % 2 else tree, point=at(60 * number, 31 * number))
    new_asset(session, lamp, state=AssetState.REMOVED)
    filters = of(session, city, box=Box.around(COMEDIE, 1_000))
    whole = queries.page(session, filters, limit=100).items
    assert queries.written(session, filters, limit=len(whole) - 1).next is not None
    page = queries.written(session, filters, limit=len(whole))
    assert [row.id for row in page.items] == [str(item.id) for item in whole]
    assert page.next is None
    found = queries.clusters(session, filters)
    assert sum(cluster.count for cluster in found) == len(whole)
    assert sum(cluster.kinds.get("tree", 0) for cluster in found) == sum(
        item.kind.code == "tree" for item in whole
    )
    reach = edge_m(queries.cluster_resolution(filters.box or AROUND)) * 2
    for cluster in found:
        assert min(distance_m(cluster.point, item.point) for item in whole) < reach


@given(st.floats(0.0005, 40), st.floats(0.0005, 90), st.floats(-60, 60))
def test_a_box_has_some_dozens_of_cluster_cells(height: float, width: float, lat: float) -> None:
    box = Box(2.0, lat, 2.0 + width, min(lat + height, 85.0))
    resolution = queries.cluster_resolution(box)
    assert queries.COARSEST_CLUSTER <= resolution <= queries.FINEST_CLUSTER


def test_versions_come_latest_first_with_who_made_them(
    session: Session, city: Jurisdiction
) -> None:
    asset = new_asset(session, new_asset_kind(session, city))
    [version] = queries.versions(session, asset.id, limit=5)
    assert (version.version, version.origin, list(version.changed)) == (1, "import", ["created"])
    assert queries.versions(session, asset.id, before=1, limit=5) == []


def test_one_asset_is_found_by_its_id(session: Session, city: Jurisdiction) -> None:
    asset: Asset = new_asset(session, new_asset_kind(session, city))
    jurisdictions.forget()
    found = queries.one(session, asset.id)
    assert found is not None
    assert (found.code, found.point) == (asset.code, COMEDIE)
    assert queries.one(session, new_id()) is None


# -- counts by cell --------------------------------------------------------------------------------


def by_hand(session: Session, filters: Filters) -> dict[str, int]:
    """What the clusters of a box must come to, by its assets."""
    counts: dict[str, int] = {}
    for item in queries.page(session, filters, limit=10_000).items:
        counts[item.kind.code] = counts.get(item.kind.code, 0) + 1
    return counts


def by_clusters(session: Session, filters: Filters) -> dict[str, int]:
    counts: dict[str, int] = {}
    for cluster in queries.clusters(session, filters):
        for code, count in cluster.kinds.items():
            counts[code] = counts.get(code, 0) + count
    return counts


@pytest.mark.parametrize("seed", range(2))
def test_a_large_box_is_counted_by_cells_as_exactly_as_by_assets(
    session: Session, seed: int
) -> None:
    chance = random.Random(seed)
    city = new_jurisdiction(session, half_deg=0.4)
    kinds = [new_asset_kind(session, city, code=f"kind-{number}") for number in range(3)]
    made = [
        new_asset(
            session,
            chance.choice(kinds),
            point=Point(
                COMEDIE.lat + chance.uniform(-0.3, 0.3), COMEDIE.lon + chance.uniform(-0.3, 0.3)
            ),
            state=chance.choice([AssetState.IN_SERVICE, AssetState.REMOVED]),
        )
        for _ in range(250)
    ]
    session.flush()
    jurisdictions.forget()
    place = jurisdictions.by_id(session, city.id)
    for _ in range(4):
        south, north = sorted(chance.uniform(-0.35, 0.35) for _ in range(2))
        west, east = sorted(chance.uniform(-0.35, 0.35) for _ in range(2))
        box = Box(
            COMEDIE.lon + west - 0.1,
            COMEDIE.lat + south - 0.1,
            COMEDIE.lon + east,
            COMEDIE.lat + north,
        )
        filters = Filters(places=(place,), box=box)
        assert queries.cluster_resolution(box) <= queries.COUNTED
        assert by_clusters(session, filters) == by_hand(session, filters)
        few = Filters(places=(place,), box=box, kinds=("kind-1",))
        assert by_clusters(session, few) == by_hand(session, few)
        # What happens to assets is counted as it happens.
        for asset in chance.sample(made, 20):
            asset.lat += chance.uniform(-0.05, 0.05)
            asset.cell = cell_of(Point(asset.lat, asset.lon))
            asset.state = chance.choice(["in_service", "moved"])
        session.delete(made.pop())
        session.flush()
    counted = session.scalar(sa.select(sa.func.sum(AssetCell.count)))
    there = session.scalar(
        sa.select(sa.func.count()).select_from(Asset).where(Asset.state == "in_service")
    )
    assert counted == there


def test_what_an_adoption_writes_beside_an_asset_counts_nothing(session: Session) -> None:
    asset = new_asset(session)
    session.flush()
    before = session.execute(sa.select(AssetCell.count, AssetCell.lat, AssetCell.lon)).all()
    new_adoption(session, asset)
    session.expire_all()
    assert session.execute(sa.select(AssetCell.count, AssetCell.lat, AssetCell.lon)).all() == before
    assert [row.count for row in before] == [1]
