"""Addresses by position and by what people write, in one statement each."""

from __future__ import annotations

import random
from typing import Any

import pytest
from sqlalchemy.orm import Session

from geo import gazetteer
from geo.gazetteer import Precision
from geo.loading import AddressSpec, load_addresses, load_jurisdiction
from geo.measures import Point, destination, distance_m
from tests.geo.cities import house, montpellier, montpellier_addresses, square, town
from tests.statements import count_statements

FOCH = Point(43.61, 3.87)


def along(street: str, numbers: list[int], **others: Any) -> list[AddressSpec]:
    """Houses of a street, ten metres for each number, eastwards."""
    places = {number: destination(FOCH, 90, number * 10) for number in numbers}
    return [house(n, street, place.lat, place.lon, **others) for n, place in places.items()]


@pytest.fixture
def bourg(session: Session) -> int:
    id_ = load_jurisdiction(session, town()).id
    load_addresses(
        session,
        id_,
        [
            *along("Rue Foch", [1, 2, 3, 5, 9], locality="Le Bourg", postcode="34000"),
            *along("Rue Foch", [2], locality="Le Bourg", suffix="bis", postcode="34000"),
            *along("Avenue du Pont Juvénal", [12, 14, 200]),
            *along("Place du Huit Mai 1945", [3, 8]),
            *along("Rue de l'Aiguillerie", [12]),
            *along("Rue Saint-Guilhem", [10]),
            *along("Place de la Comédie", [1, 5, 9]),
        ],
    )
    return id_


@pytest.fixture
def boston(session: Session) -> int:
    spec = town("boston", country="US", locales=["fr"], boundary=square(-71.2, 42.2, -70.9, 42.4))
    id_ = load_jurisdiction(session, spec).id
    roslindale, roxbury = Point(42.29, -71.13), Point(42.33, -71.09)
    load_addresses(
        session,
        id_,
        [
            house(39, "Lorraine St", roslindale.lat, roslindale.lon, locality="Roslindale"),
            house(39, "Washington St", roslindale.lat, roslindale.lon, locality="Roslindale"),
            house(39, "Washington St", roxbury.lat, roxbury.lon, locality="Roxbury"),
            house(3, "A St", roxbury.lat, roxbury.lon, locality="Roxbury"),
        ],
    )
    return id_


# -- by position -----------------------------------------------------------------------------------


def test_the_nearest_house_of_each_position_in_one_statement(session: Session, bourg: int) -> None:
    near_three = destination(FOCH, 80, 31)
    points = [near_three, Point(43.64, 3.95), destination(FOCH, 270, 60)]
    with count_statements() as statements:
        found = gazetteer.reverse(session, bourg, points)
    assert len(statements) == 1
    assert found[1] is None
    labels = [each and each.label for each in found]
    assert labels == ["3 Place du Huit Mai 1945", None, "1 Place de la Comédie"]
    assert found[0] is not None
    assert found[0].distance_m == pytest.approx(distance_m(near_three, found[0].point), abs=1e-6)
    assert found[0].precision is Precision.ADDRESS


def test_of_two_at_one_distance_the_lower_number_answers(session: Session, bourg: int) -> None:
    twins = gazetteer.reverse(session, bourg, [destination(FOCH, 90, 20)] * 2)
    assert [twin and twin.label for twin in twins] == ["2 Rue Foch"] * 2


def test_an_address_farther_than_asked_is_none(session: Session, bourg: int) -> None:
    away = destination(FOCH, 0, 70)
    assert gazetteer.reverse(session, bourg, [away], max_distance_m=50) == [None]
    assert gazetteer.reverse(session, bourg, [away], max_distance_m=80) != [None]
    assert gazetteer.reverse(session, bourg, []) == []


def test_a_neighbouring_city_does_not_answer(session: Session, bourg: int) -> None:
    village = load_jurisdiction(session, town("village")).id
    assert gazetteer.reverse(session, village, [FOCH]) == [None]
    assert gazetteer.search(session, village, "1 rue Foch") == []


def test_montpellier_by_position_is_the_true_nearest(session: Session) -> None:
    id_ = load_jurisdiction(session, montpellier()).id
    specs = montpellier_addresses()
    load_addresses(session, id_, specs)
    chance = random.Random(3)
    starts = chance.sample(specs, 30)
    points = [
        destination(Point(spec.lat, spec.lon), chance.uniform(0, 360), chance.uniform(0, 150))
        for spec in starts
    ]
    for point, found in zip(points, gazetteer.reverse(session, id_, points), strict=True):
        nearest = min(distance_m(point, Point(spec.lat, spec.lon)) for spec in specs)
        if found is None:
            assert nearest > gazetteer.MAX_DISTANCE_M
        else:
            assert found.distance_m == pytest.approx(nearest, abs=0.01)
    # What stands in the file is found again by what it says.
    sample = [spec for spec in chance.sample(specs, 60) if spec.number]
    right = 0
    for spec in sample:
        best = gazetteer.search(session, id_, f"{spec.number}{spec.suffix} {spec.street}")[0]
        right += distance_m(best.point, Point(spec.lat, spec.lon)) < 1
    assert right >= 0.95 * len(sample)


# -- by words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "label", "precision"),
    [
        ("12 bis rue de l'Aiguillerie, Le Bourg", "12 Rue de l'Aiguillerie", "interpolated"),
        ("12 rue de l'Aiguillerie", "12 Rue de l'Aiguillerie", "address"),
        ("12, Av. du Pont Juvénal", "12 Avenue du Pont Juvénal", "address"),
        ("avenue pont juvenal 14", "14 Avenue du Pont Juvénal", "address"),
        ("2 bis rue foch", "2 bis Rue Foch", "address"),
        ("2 RUE FOCH", "2 Rue Foch", "address"),
        ("7 rue foch", "5 Rue Foch", "interpolated"),
        ("90 rue foch", "Rue Foch", "street"),
        ("rue foch", "Rue Foch", "street"),
        ("10 r st guilhem", "10 Rue Saint-Guilhem", "address"),
        ("8 place du 8 mai 1945", "8 Place du Huit Mai 1945", "address"),
        ("place du 8 mai 1945", "Place du Huit Mai 1945", "street"),
        ("8 mai 1945", "Place du Huit Mai 1945", "street"),
        ("3 place du Huit-Mai-1945, Le Bourg", "3 Place du Huit Mai 1945", "address"),
        ("5 pl comed", "5 Place de la Comédie", "address"),
        ("1 rue Foch Le Bourg", "1 Rue Foch", "address"),
    ],
)
def test_what_people_write_is_found(
    session: Session, bourg: int, text: str, label: str, precision: str
) -> None:
    with count_statements() as statements:
        best = gazetteer.search(session, bourg, text)[0]
    assert len(statements) == 1
    assert (best.label, best.precision.value) == (label, precision)
    assert best.confidence >= 0.6


def test_the_label_says_the_town_where_it_is_known(session: Session, bourg: int) -> None:
    best = gazetteer.search(session, bourg, "1 rue Foch")[0]
    assert best.full_label == "1 Rue Foch, 34000 Le Bourg"


def test_a_missing_number_says_how_far_off_it_may_be(session: Session, bourg: int) -> None:
    exact, near, street = (
        gazetteer.search(session, bourg, text)[0]
        for text in ("5 rue foch", "7 rue foch", "rue foch")
    )
    assert exact.accuracy_m < near.accuracy_m
    assert exact.confidence > near.confidence > street.confidence
    assert street.number is None
    assert distance_m(street.point, destination(FOCH, 90, 40)) < 25


@pytest.mark.parametrize("text", ["", "zzz", ",", "12", "'; DROP TABLE addresses; --", "a:*&!|("])
def test_what_is_no_address_finds_nothing(session: Session, bourg: int, text: str) -> None:
    assert gazetteer.search(session, bourg, text) == []


def test_another_town_is_believed_less(session: Session, bourg: int) -> None:
    here = gazetteer.search(session, bourg, "1 rue Foch, Le Bourg")[0]
    elsewhere = gazetteer.search(session, bourg, "1 rue Foch, Lattes")[0]
    other_postcode = gazetteer.search(session, bourg, "1 rue Foch, 75001 Le Bourg")[0]
    assert here.confidence == 1
    assert elsewhere.confidence <= 0.6
    assert other_postcode.confidence <= 0.6


def test_an_american_address_with_its_neighbourhood(session: Session, boston: int) -> None:
    best = gazetteer.search(session, boston, "39 Lorraine St Roslindale")[0]
    assert best.full_label == "39 Lorraine St, Roslindale"
    assert best.confidence > 0.95
    assert gazetteer.search(session, boston, "3 A Street")[0].label == "3 A St"


def test_one_street_in_two_neighbourhoods_is_doubtful_until_one_is_named(
    session: Session, boston: int
) -> None:
    doubtful = gazetteer.search(session, boston, "39 Washington Street")
    assert {match.locality for match in doubtful} == {"Roslindale", "Roxbury"}
    assert all(match.confidence <= 0.6 for match in doubtful)
    named = gazetteer.search(session, boston, "39 Washington Street, Roxbury")[0]
    assert (named.locality, named.confidence) == ("Roxbury", 1)
    written_on = gazetteer.search(session, boston, "39 Washington St Roslindale")[0]
    assert written_on.locality == "Roslindale"
    assert written_on.confidence > 0.9
