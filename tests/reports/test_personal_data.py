"""What the rule finds in a text, and what it must leave alone: streets, numbers, days."""

from __future__ import annotations

import csv
import gzip
import time
from itertools import pairwise
from pathlib import Path

import pytest

from reports.personal_data import Finding, Kind, findings

ROOT = Path(__file__).parents[2]

#: The text, the city's country, and what is found in it.
FOUND = [
    # Telephone numbers.
    ("Appelez-moi au 06 12 34 56 78.", "FR", [("phone", "06 12 34 56 78")]),
    ("Tel 0612345678 le soir", "FR", [("phone", "0612345678")]),
    ("joignable au +33 6 12 34 56 78", "US", [("phone", "+33 6 12 34 56 78")]),
    ("Call me at (617) 555-0123 please", "US", [("phone", "(617) 555-0123")]),
    ("his cell 617-635-4500", "US", [("phone", "617-635-4500")]),
    ("my number 617.635.4500", "FR", [("phone", "617.635.4500")]),
    ("Ring mich an: 030 901820", "DE", [("phone", "030 901820")]),
    # E-mail addresses.
    ("écrire à camille.durand@example.org", "FR", [("email", "camille.durand@example.org")]),
    ("Mail jo+city@mail.example.com.", "US", [("email", "jo+city@mail.example.com")]),
    # Licence plates.
    ("Voiture garée, AB-123-CD", "FR", [("plate", "AB-123-CD")]),
    ("une Clio ab-123-cd grise", "FR", [("plate", "ab-123-cd")]),
    ("Le camion GH 456 JK bloque", "FR", [("plate", "GH 456 JK")]),
    ("vieille 205 1234 AB 34 abandonnée", "FR", [("plate", "1234 AB 34")]),
    ("Gray sedan, license plate 1ABC234", "US", [("plate", "1ABC234")]),
    ("plates: NJ D6397 on Main", "US", [("plate", "NJ D6397")]),
    ("MA plate 4481920 parked for weeks", "US", [("plate", "4481920")]),
    ("immatriculée B MW 1234 depuis un mois", "FR", [("plate", "B MW 1234")]),
    # Names of people.
    ("C'est M. Dupont qui dépose ses ordures", "FR", [("name", "M. Dupont")]),
    ("Mme Le Goff jette tout par la fenêtre", "FR", [("name", "Mme Le Goff")]),
    (
        "Voir avec Monsieur Jean-Luc de la Tour, gardien",
        "FR",
        [("name", "Monsieur Jean-Luc de la Tour")],
    ),
    ("M. et Mme Martin se plaignent", "FR", [("name", "M. et Mme Martin")]),
    ("Mr. Smith leaves his trash out", "US", [("name", "Mr. Smith")]),
    ("ask MRS O'NEIL at number 4", "US", [("name", "MRS O'NEIL")]),
    ("Le docteur Benali se gare là", "FR", [("name", "docteur Benali")]),
    ("Dr. Patel parks there every day", "US", [("name", "Dr. Patel")]),
    ("mon voisin Karim Haddad brûle des pneus", "FR", [("name", "Karim Haddad")]),
    ("my landlord John Miller refuses", "US", [("name", "John Miller")]),
    ("Le gardien s'en moque, il s'appelle Roger Petit", "FR", [("name", "Roger Petit")]),
    ("My name is Ann Lee and I live here", "US", [("name", "Ann Lee")]),
    ("spoke with a man named Jim. He laughed", "US", [("name", "Jim")]),
    ("Trou dangereux.\nCordialement,\nHélène Faure", "FR", [("name", "Hélène Faure")]),
    ("Please fix it. Thanks, Mary Jones", "US", [("name", "Mary Jones")]),
    (
        "Mme Roux, 06 12 34 56 78, roux@example.org",
        "FR",
        [("name", "Mme Roux"), ("phone", "06 12 34 56 78"), ("email", "roux@example.org")],
    ),
]

#: What names nobody, or a street.
LEFT_ALONE = [
    ("", "FR"),
    ("Un trou rue Paul Valéry", "FR"),
    ("avenue du Docteur Pezet, devant le 12", "FR"),
    ("Lampadaire éteint place Jean Jaurès", "FR"),
    ("Trou au 3 rue du Dr Roux", "FR"),
    ("place de Monsieur Vincent", "FR"),
    ("l'école Mme de Sévigné", "FR"),
    ("square du Docteur Martin Luther King", "FR"),
    ("Pothole on Dr King Boulevard", "US"),
    ("Dr. Martin Luther King Jr. Blvd at Warren", "US"),
    ("12 Maple Dr Boston", "US"),
    ("Riverside Dr. In front of 560", "US"),
    ("75 MALCOLM X BLVD MISSION HILL MA 02120", "US"),
    ("the M Train stairs", "US"),
    ("à 200 m. Devant la poste", "FR"),
    ("Monsieur le Maire, c'est intolérable", "FR"),
    ("Madame la Présidente, bonjour", "FR"),
    ("Mr. Mayor please help", "US"),
    ("Thank you City Hall", "US"),
    ("Thanks Boston", "US"),
    ("Merci d'avance. Cordialement", "FR"),
    ("Neighbor Upstairs have Loud Music!", "US"),
    ("mon voisin du dessus", "FR"),
    ("le 12/05/2026 à 10:30", "FR"),
    ("since 2026-05-12 08:15:00", "US"),
    ("1310-1340 Boylston St", "US"),
    ("276–358 E 18th St, Brooklyn, NY 11229", "US"),
    ("dossier n° 2026000451234", "FR"),
    ("case 101000295613 was closed", "US"),
    ("réf. 0612345678", "FR"),
    ("43.610912, 3.877234", "FR"),
    ("42.360082,-71.058880", "US"),
    ("12 RUE 34 et 50 BIS 13", "FR"),
    ("plaque d'égout cassée au 12bis", "FR"),
    ("PLAQUE D'EGOUT CASSEE AU 12 BIS RUE FOCH", "FR"),
    ("steel plate at 125TH St and I95", "US"),
    ("without license plates between 218 street and 219 street", "US"),
    ("poteau A12, arrêt T4, ligne 16", "FR"),
    ("@mairie regardez", "FR"),
    ("2 sacs de 50 KG, 10 CM de haut", "FR"),
]


@pytest.mark.parametrize(("text", "country", "expected"), FOUND)
def test_what_points_to_a_person_is_found_where_it_stands(
    text: str, country: str, expected: list[tuple[str, str]]
) -> None:
    found = findings(text, country)
    assert [(each.kind.value, text[each.start : each.end]) for each in found] == expected


@pytest.mark.parametrize(("text", "country"), LEFT_ALONE)
def test_streets_numbers_and_days_are_left_alone(text: str, country: str) -> None:
    assert findings(text, country) == []


def test_findings_never_overlap() -> None:
    text = "plate AB-123-CD, plaque AB-123-CD, immatriculée AB-123-CD: M. Noir, M. Noir"
    found = findings(text, "FR")
    assert [each.kind for each in found] == [Kind.PLATE] * 3 + [Kind.NAME] * 2
    assert all(one.end <= two.start for one, two in pairwise(found))
    assert found[0] == Finding(Kind.PLATE, 6, 15)


def test_no_street_of_a_city_is_taken_for_a_person() -> None:
    with gzip.open(ROOT / "cities/montpellier/addresses.csv.gz", "rt", encoding="utf-8") as file:
        streets = {row["voie"] for row in csv.DictReader(file)}
    assert len(streets) > 2_000
    alarms = [
        form
        for street in sorted(streets)
        for form in (f"Trou au 12 {street}, devant la porte", street.upper())
        if findings(form, "FR")
    ]
    assert alarms == []


#: Citizens' own words, beside the project and not in it: see its README.
NYC = ROOT.parent / "shared/data/nyc_text/requests.csv.gz"


@pytest.mark.skipif(not NYC.exists(), reason="the texts of New York are not on this machine")
def test_few_real_texts_are_held() -> None:
    with gzip.open(NYC, "rt", encoding="utf-8") as file:
        texts = {row["Description"] for row in csv.DictReader(file)}
    held = {text for text in texts if findings(text, "US")}
    # Read one by one when this was written: each of the six does name somebody or a car.
    assert len(held) / len(texts) < 0.015


@pytest.mark.parametrize(
    "text",
    ["M. " * 1300, "a@" * 2000, "1 " * 2000, "AB-123-" * 500, "plate A1 " * 440, "Dr A-" * 800,
     "my neighbor A" * 300, "m" * 4000, "A" * 4000, "Mr " + "Aa-" * 1300, "06 12 " * 660],
)  # fmt: skip
def test_no_text_takes_long(text: str) -> None:
    started = time.perf_counter()
    findings(text, "FR")
    assert time.perf_counter() - started < 1.0
