"""Names: what is taken, what everybody may see, what is the first name."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.naming import (
    NAME_MAX,
    NameFault,
    first_name,
    name_fault,
    normal_name,
    poses_as,
)

OFFICES = ["Ville de Montpellier", "City of Montpellier", "Équipe Voirie", "Paris"]


@pytest.mark.parametrize(
    "name",
    [
        "Camille Durand",
        "Camille",
        "Dr. Camille Durand",
        "Jean-Pierre d'Ormesson",
        "Seán O\u2019Brien",
        "Nguyễn Văn An",
        "Łukasz Żółć",
        "田中太郎",
        "김철수",
        "محمد",
        "می\u200cخواهم",
        "Владимир",
        "Ελένη",
        "Елена Smith",
        "मोहन",
        "Gal·la",
        "Durand, Camille",
        "Martin Luther King Jr.",
        "Louis 14",
    ],
)
def test_names_of_people_are_taken(name: str) -> None:
    assert name_fault(normal_name(name)) is None


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("Camille\u202edurand", NameFault.INVISIBLE),
        ("Camille\u2066Durand", NameFault.INVISIBLE),
        ("Cam\u200bille", NameFault.INVISIBLE),
        ("Cam\u200dille", NameFault.INVISIBLE),
        ("Cam\u00adille", NameFault.INVISIBLE),
        ("Camille\ufeff", NameFault.INVISIBLE),
        ("Camille\nDurand", NameFault.INVISIBLE),
        ("Camille\tDurand", NameFault.INVISIBLE),
        ("Camille\u2028Durand", NameFault.INVISIBLE),
        ("Camille\ue000", NameFault.INVISIBLE),
        ("Ville de Montp\u0435llier", NameFault.MIXED_ALPHABETS),
        ("\u0391lice", NameFault.MIXED_ALPHABETS),
        ("😀", NameFault.NOT_OF_A_NAME),
        ("Camille 😀", NameFault.NOT_OF_A_NAME),
        ("https://spam.example", NameFault.NOT_OF_A_NAME),
        ("a@b.example", NameFault.NOT_OF_A_NAME),
        ("<b>Camille</b>", NameFault.NOT_OF_A_NAME),
        ("Z\u0301\u0301\u0301\u0301\u0301algo", NameFault.NOT_OF_A_NAME),
        ("123", NameFault.NO_LETTERS),
        ("...", NameFault.NO_LETTERS),
        ("x" * (NAME_MAX + 1), NameFault.TOO_LONG),
    ],
)
def test_what_hides_or_is_no_name_is_refused(name: str, fault: NameFault) -> None:
    assert name_fault(normal_name(name)) is fault


def test_a_name_is_composed_and_its_spaces_are_single() -> None:
    assert normal_name("  Rene\u0301 \u00a0\u3000 Char ") == "Ren\u00e9 Char"


@given(st.text(max_size=200))
def test_the_normal_form_is_stable_and_never_an_error(text: str) -> None:
    name = normal_name(text)
    assert normal_name(name) == name
    if name_fault(name) is None:
        assert unicodedata.is_normalized("NFC", name)
        shown = first_name(name)
        assert shown is None or shown in name
    poses_as(name, OFFICES)


@pytest.mark.parametrize(
    "name",
    [
        "Ville de Montpellier",
        "ville DE MONTPELLIER",
        "Montpellier",
        "Mairie de Montpellier",
        "Montpellier officiel",
        "\u041c\u043entpellier",
        "M0ntpe11ier",
        "\uff2dontpellier",
        "Équipe voirie",
        "Voirie",
        "Mairie",
        "Admin",
        "Service",
        "PARIS",
        "Police de Paris",
    ],
)
def test_nobody_poses_as_an_office(name: str) -> None:
    assert poses_as(normal_name(name), OFFICES)


@pytest.mark.parametrize(
    "name", ["Camille Durand", "Camille Paris", "Paris Hilton", "Ville", "田中太郎", "Marie Maire"]
)
def test_people_are_not_taken_for_an_office(name: str) -> None:
    assert poses_as(name, OFFICES) is (name == "Ville")


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("Camille Durand", "Camille"),
        ("Camille", "Camille"),
        ("Dr. Camille Durand", "Camille"),
        ("Mme Camille DURAND", "Camille"),
        ("M. et Mme Durand", None),
        ("DURAND Camille", "Camille"),
        ("Durand, Camille", "Camille"),
        ("Durand, Dr. Camille", "Camille"),
        ("Jean-Pierre Dupont", "Jean-Pierre"),
        ("MARIE CURIE", "MARIE"),
        ("J. Durand", "J."),
        ("Mme Durand", None),
        ("Dr.", None),
        ("田中太郎", None),
        ("田中 太郎", "太郎"),
        ("김철수", None),
        ("Владимир Ленин", "Владимир"),
    ],
)
def test_the_first_name_is_never_the_family_name(name: str, first: str | None) -> None:
    assert first_name(name) == first
