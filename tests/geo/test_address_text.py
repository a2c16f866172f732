"""How people write addresses, on both sides of the Atlantic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.address_text import house_number, parse, street_and_number, street_key


@pytest.mark.parametrize(
    ("text", "number", "suffix", "street"),
    [
        ("12 bis rue de l'Aiguillerie, Montpellier", 12, "bis", "Rue de l’Aiguillerie"),
        ("12bis, rue de l'Aiguillerie", 12, "bis", "rue de l'Aiguillerie"),
        ("31 Rue Émile Zola", 31, "", "rue emile zola"),
        ("12, Av. du Pont Juvénal", 12, "", "Avenue du Pont Juvenal"),
        ("Rue Émile Zola 31", 31, "", "rue emile zola"),
        ("Rue Émile Zola, 31, 34000 Montpellier", 31, "", "rue emile zola"),
        ("rue Émile Zola n° 31 ter", 31, "ter", "rue emile zola"),
        ("N°5 bd du Jeu-de-Paume", 5, "", "Boulevard du Jeu de Paume"),
        ("31-33 rue Foch", 31, "", "Rue Foch"),
        ("7B rue Foch", 7, "B", "Rue Foch"),
        ("39 Lorraine St", 39, "", "Lorraine Street"),
        ("3 A Street", 3, "", "A St"),
        ("12 rue du 8 mai 1945", 12, "", "Rue du 8 Mai 1945"),
        ("place du 8 mai 1945, 12", 12, "", "Place du 8 Mai 1945"),
        ("Place de la Comédie", None, "", "place comedie"),
        ("39th Street", None, "", "39th St"),
    ],
)
def test_an_address_is_taken_apart(text: str, number: int | None, suffix: str, street: str) -> None:
    asked = parse(text)
    assert (asked.number, asked.suffix) == (number, suffix)
    assert " ".join(asked.street_words) == street_key(street)


def test_what_stands_behind_the_comma_is_the_town() -> None:
    asked = parse("5 rue Foch, 34000 Montpellier, France")
    assert asked.postcode == "34000"
    assert asked.place_words == ("montpellier", "france")
    assert parse("5 rue Foch 34000 Montpellier").postcode == "34000"
    assert parse("34000 Montpellier").number is None


def test_a_number_may_belong_to_the_name() -> None:
    assert not parse("8 mai 1945").number_is_sure
    assert not parse("Place du 8 mai 1945").number_is_sure
    assert parse("12 rue Foch").number_is_sure


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Av. du Pont Juvénal", "avenue pont juvenal"),
        ("Bd. Renouvier", "BOULEVARD RENOUVIER"),
        ("Rue St-Guilhem", "rue saint guilhem"),
        ("Lorraine St", "Lorraine Street"),
        ("Imp. Ste Anne", "Impasse Sainte-Anne"),
        ("Place du Huit Mai 1945", "pl. du 8 mai 1945"),
        ("Rd-Pt Benjamin Franklin", "Rd Pt Benjamin Franklin"),
        ("Rond-Point du Grand M", "rond point grand m"),
        ("Washington Ave N", "Washington Avenue North"),
        ("Rue du Gal Leclerc", "rue du Général Leclerc"),
    ],
)
def test_two_ways_to_write_a_street_have_one_key(one: str, other: str) -> None:
    assert street_key(one) == street_key(other)


def test_different_streets_have_different_keys() -> None:
    streets = ["Rue Foch", "Avenue Foch", "Place Foch", "Rue Zola", "Les", "Cour des Miracles"]
    assert len({street_key(street) for street in streets}) == len(streets)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("118", (118, "")),
        ("2bis", (2, "bis")),
        ("12 TER", (12, "ter")),
        ("7b", (7, "B")),
        ("39-41", (39, "")),
        ("0", (None, "")),
        ("", (None, "")),
        ("s/n", (None, "")),
    ],
)
def test_house_numbers_of_files(text: str, expected: tuple[int | None, str]) -> None:
    assert house_number(text) == expected


@given(st.text(max_size=200))
def test_whatever_is_written_is_taken_apart(text: str) -> None:
    asked = parse(text)
    assert asked.number is None or 0 <= asked.number <= 9999
    house_number(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("12 bis rue de l'Aiguillerie, 34000 Montpellier", "12bis, R. de l’Aiguillerie"),
        ("39 Lorraine St  Roslindale  MA  02131", "39 Lorraine Street Roslindale MA"),
        ("INTERSECTION of Groveland St & River St  Mattapan", "River St & Groveland St Mattapan"),
    ],
)
def test_one_place_written_twice_has_one_key(one: str, other: str) -> None:
    assert street_and_number(one) == street_and_number(other)
    assert street_and_number(one)[0] is not None


def test_neighbours_share_the_street_and_not_the_number() -> None:
    (street, number), (other_street, other_number) = (
        street_and_number("12 rue Foch, Montpellier"),
        street_and_number("14 rue Foch, Montpellier"),
    )
    assert (street, number, other_number) == (other_street, "12", "14")
    assert street_and_number("") == (None, None)
