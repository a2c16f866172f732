"""The words: every message in every language over every channel, complete and readable."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from accounts.notices import AccountChange
from assets.adoption.vocabulary import EndReason, Step
from core.i18n import LANGUAGES
from notifications import texting
from notifications.rules import TOLD
from notifications.vocabulary import Channel, Occasion, Role
from notifications.wording import (
    TEMPLATES,
    Facts,
    Row,
    clock_in,
    day_in,
    letter,
    push_note,
    short_text,
)

LINK = "https://riverain.montpellier.example/r/01890a5d-ac96-774b-bcce-b302099a8057/"
FULL = Facts(
    city="Ville de Montpellier",
    number=124,
    service="Nid-de-poule",
    address="1 place de la Comédie",
    requested_on="12 mars 2026",
    due_on="20 mars 2026",
    status="on_hold",
    team="Voirie centre",
    note="La rue est <privée>.\nVoyez le syndic.",
    parent_number=120,
    is_reporter=True,
    contact="signalements@ville.example",
    reopen_until="27 mars 2026",
    link=LINK + "AAAAAAAAAAAAAAAAAAAAAA?lang=fr",
    leave_url="https://riverain.montpellier.example/leave/x",
)
BARE = Facts(city="Ville", number=1, service="Autre", link="https://r.example/r/1/x")
JOINED = dataclasses.replace(BARE, parent_number=2)
SIGN_IN = Facts(city="Ville", code="123456", expires_at="14:05", link="https://r.example/s")
DIGEST = Facts(
    city="Ville",
    team="Voirie centre",
    since="12 mars 2026, 08:00",
    new_count=22,
    overdue_count=1,
    new_rows=[Row(number, "Tag", "ici", "20 mars 2026") for number in range(1, 21)],
    overdue_rows=[Row(99, "Trou <noir>", "", "")],
    link="https://r.example/q",
)

REPORTED = sorted(TOLD)
INVITATION = Facts(
    city="Ville",
    role="coordinator",
    team="Voirie centre",
    expires_at="20 mars 2026",
    link="https://r.example/i",
)

CHANGED = Facts(city="Ville", contact="signalements@ville.example", change="password")

BY_PLACE = {
    Occasion.SIGN_IN: SIGN_IN,
    Occasion.CONTACT_PROOF: dataclasses.replace(SIGN_IN, link=""),
    Occasion.CONTACT_CHANGE: Facts(city="Ville", contact="signalements@ville.example"),
    Occasion.ACCOUNT_CHANGED: CHANGED,
    Occasion.INVITATION: INVITATION,
    Occasion.DIGEST: DIGEST,
    Occasion.COPIED: dataclasses.replace(FULL, is_reporter=False, leave_url=""),
}

VOLUNTEER = Facts(
    city="Ville",
    asset="Borne d’incendie H-102 « Hector »",
    asset_name="Hector",
    until="20 mars 2026",
    link="https://r.example/a",
    contact="benevoles@ville.example",
    service="Borne d’incendie sous la neige",
    address="12 rue de la Loge",
    other_link="https://r.example/b",
)

#: Everything that can have happened, as the events say it.
TURNS = {
    Occasion.ADOPTED: ("",),
    Occasion.ADOPTION_DUE: tuple(step.value for step in Step if step is not Step.LAPSE),
    Occasion.ADOPTION_ENDED: (EndReason.LAPSED.value, EndReason.BY_STAFF.value),
    Occasion.ADOPTION_NAMED: ("approved", "refused"),
    Occasion.ADOPTION_OFFERED: ("",),
    Occasion.HANDOVER: ("",),
    Occasion.HANDOVER_ANSWERED: ("accepted", "refused", "expired"),
    Occasion.CARE_NEEDED: ("",),
    Occasion.HELP_ASKED: ("at", "near"),
    Occasion.VOLUNTEER_MESSAGE: ("Réunion mardi",),
    Occasion.CAMPAIGN: ("Il va neiger",),
    Occasion.CAMPAIGN_FOLLOW_UP: ("Il va neiger",),
    Occasion.CAMPAIGN_HELD: ("too_many", "area_gone", "kind_gone"),
    Occasion.CORRECTION_DECIDED: ("accepted", "rejected"),
    Occasion.ASSET_NEWS: ("removed", "returned", "moved"),
}


def facts_for(occasion: Occasion) -> list[Facts]:
    if occasion is Occasion.ACCOUNT_CHANGED:
        return [dataclasses.replace(CHANGED, change=change.value) for change in AccountChange]
    if occasion in TURNS:
        return [
            dataclasses.replace(VOLUNTEER, turn=turn, note=note)
            for turn in TURNS[occasion]
            for note in ("", "Les enfants lisent aussi.")
        ]
    if occasion in BY_PLACE:
        return [BY_PLACE[occasion]]
    return [
        dataclasses.replace(facts, is_reporter=role is Role.REPORTER, status=status)
        for facts in (FULL, BARE if occasion is not Occasion.MERGED else JOINED)
        for role in TOLD[occasion]
        for status in ("on_hold", "in_progress", "closed", "assigned")
    ]


def sound(text: str) -> None:
    """Nothing unrendered, undefined, doubled or empty."""
    assert text.strip()
    assert not re.search(r"\{\{|\}\}|\{%|%\}|None|Undefined|\(\)|  [^ ]*[a-z]\.  ", text), text
    assert " ." not in text
    assert " ," not in text


@pytest.mark.parametrize("locale", LANGUAGES)
@pytest.mark.parametrize("occasion", list(Occasion))
def test_every_letter_is_written_in_every_language(occasion: Occasion, locale: str) -> None:
    for facts in facts_for(occasion):
        told = letter(occasion, locale, facts, with_html=True)
        assert told.html is not None
        sound(told.subject)
        sound(told.text)
        assert "\n" not in told.subject
        assert "\n\n\n" not in told.text
        assert facts.link in told.text
        assert facts.link.replace("&", "&amp;") in told.html
        assert told.html.startswith("<!doctype html>")
        assert f'<html lang="{locale}">' in told.html
        # Nothing is fetched when a letter is opened: no picture, no font, no counter.
        assert not re.search(r"<(img|link|script|iframe)|url\(|@import|src=", told.html)
        assert "<privée>" not in told.html
        if facts.number is not None:
            assert str(facts.number) in told.subject
            assert facts.service in told.text


@pytest.mark.parametrize("locale", LANGUAGES)
def test_several_assets_are_listed_each_with_its_link(locale: str) -> None:
    own = [
        ("Borne <1>", "https://r.example/clear/1/a?lang=fr&x"),
        ("Borne 2", "https://r.example/2"),
    ]
    facts = dataclasses.replace(VOLUNTEER, asset="", turn="Il va neiger", own_assets=own)
    told = letter(Occasion.CAMPAIGN_FOLLOW_UP, locale, facts, with_html=True)
    assert told.html is not None
    assert "  - Borne <1>\n    https://r.example/clear/1/a?lang=fr&x\n  - Borne 2\n" in told.text
    assert "Borne &lt;1&gt;</a>" in told.html
    assert 'href="https://r.example/clear/1/a?lang=fr&amp;x"' in told.html
    sound(told.text)


@pytest.mark.parametrize("locale", LANGUAGES)
@pytest.mark.parametrize("occasion", REPORTED)
def test_every_text_fits_two_parts_and_every_push_says_something(
    occasion: Occasion, locale: str
) -> None:
    channels = {channel for offered in TOLD[occasion].values() for channel in offered}
    for facts in facts_for(occasion):
        if Channel.SMS in channels:
            text = short_text(occasion, locale, facts)
            if facts is not BARE and not facts.note:
                sound(text)
            assert facts.link in text
            assert texting.parts_of(texting.folded(text)) <= 2
        if Channel.PUSH in channels and (facts.note or occasion is not Occasion.NOTE):
            note = push_note(occasion, locale, facts)
            assert "124" in note.title or "1" in note.title
            sound(note.text)
            assert len(note.text) < 180


@pytest.mark.parametrize("locale", LANGUAGES)
@pytest.mark.parametrize(
    "occasion",
    [
        Occasion.SIGN_IN,
        Occasion.CONTACT_PROOF,
        Occasion.CONTACT_CHANGE,
        Occasion.ACCOUNT_CHANGED,
    ],
)
def test_every_text_about_an_account_fits_one_part(occasion: Occasion, locale: str) -> None:
    city = "Ville de Montpellier"
    for facts in facts_for(occasion):
        text = short_text(occasion, locale, dataclasses.replace(facts, city=city))
        sound(text)
        assert text.startswith(city)
        assert texting.parts_of(texting.folded(text)) == 1


@pytest.mark.parametrize("locale", LANGUAGES)
@pytest.mark.parametrize("occasion", sorted(TURNS))
def test_every_text_to_a_volunteer_fits_two_parts_and_names_the_asset(
    occasion: Occasion, locale: str
) -> None:
    for facts in facts_for(occasion):
        text = short_text(occasion, locale, facts)
        sound(text)
        assert facts.link in text
        assert texting.parts_of(texting.folded(text)) <= 2
        told = letter(occasion, locale, facts, with_html=False)
        assert facts.asset in told.text
        assert facts.note in told.text


def test_both_languages_have_the_same_files_and_blocks() -> None:
    def blocks(locale: str) -> dict[str, set[str]]:
        return {
            path.name: set(re.findall(r"\{% block (\w+) %\}", path.read_text()))
            for path in (TEMPLATES / locale).iterdir()
        }

    assert blocks("fr") == blocks("en")


def test_a_letter_reads_well_in_french() -> None:
    facts = dataclasses.replace(FULL, note="Rebouché ce matin.", parent_number=None)
    told = letter(Occasion.RESOLVED, "fr", facts, with_html=False)
    assert told.subject == "Signalement n° 124 : c’est réglé"
    assert told.text == (
        "Bonjour,\n\n"
        "Bonne nouvelle : le problème que vous avez signalé est réglé.\n\n"
        "Message de l’équipe :\n"
        "  Rebouché ce matin.\n\n"
        "  Signalement n° 124 : Nid-de-poule\n"
        "  Lieu : 1 place de la Comédie\n"
        "  Signalé le : 12 mars 2026\n\n"
        "Ce n’est pas réglé ? Dites-le-nous par le lien ci-dessous avant le 27 mars 2026 : nous "
        "rouvrirons le signalement. Et merci : c’est grâce à vous que la ville l’a su.\n\n"
        "Suivre mon signalement :\n"
        f"{FULL.link}\n\n"
        "-- \n"
        "Ville de Montpellier\n"
        "Vous recevez ce message parce que vous avez signalé ce problème.\n"
        "Ne plus recevoir de messages à ce sujet :\n"
        "https://riverain.montpellier.example/leave/x\n"
    )


@pytest.mark.parametrize(
    ("locale", "before", "said"),
    [
        ("fr", "rejected", "La ville examine de nouveau le signalement que vous avez envoyé"),
        ("fr", "resolved", "Le problème que vous avez signalé n’est pas réglé"),
        ("en", "rejected", "The city is looking again at the report that you sent"),
        ("en", "closed", "The problem you reported is not fixed"),
    ],
)
def test_reopening_says_what_it_undoes(locale: str, before: str, said: str) -> None:
    facts = dataclasses.replace(FULL, status_before=before)
    text = letter(Occasion.REOPENED, locale, facts, with_html=False).text
    assert said in text
    assert "\n\n\n" not in text


def test_a_text_reads_well_in_english() -> None:
    facts = dataclasses.replace(FULL, service="Pothole", link="https://r.example/r/1")
    assert short_text(Occasion.RECEIVED, "en", facts) == (
        "Ville de Montpellier: report no. 124 received (Pothole). Follow it: https://r.example/r/1"
    )


def test_a_digest_lists_what_is_new_and_what_is_late() -> None:
    told = letter(Occasion.DIGEST, "fr", DIGEST, with_html=True)
    assert told.subject == "Voirie centre : 22 nouveaux signalements, 1 en retard"
    assert "  - n° 1 · Tag · ici · pour le 20 mars 2026\n" in told.text
    assert "  … et 2 autres\n" in told.text
    assert "  - n° 99 · Trou <noir>\n" in told.text
    assert told.html is not None
    assert "Trou &lt;noir&gt;" in told.html


def test_dates_are_in_the_readers_form() -> None:
    day = date(2026, 3, 12)
    assert day_in("fr", "FR", day) == "12 mars 2026"
    assert day_in("en", "FR", day) == "12 March 2026"
    assert day_in("en", "US", day) == "March 12, 2026"
    instant = datetime(2026, 3, 12, 13, 5, tzinfo=UTC)
    assert clock_in("fr", "FR", ZoneInfo("Europe/Paris"), instant) == "14:05"


@pytest.mark.parametrize(
    ("text", "folded", "parts"),
    [
        ("", "", 0),
        ("a" * 160, "a" * 160, 1),
        ("a" * 161, "a" * 161, 2),
        ("é" * 160, "é" * 160, 1),
        ("€" * 80, "€" * 80, 1),
        ("€" * 81, "€" * 81, 2),
        ("Reçu : « l’œuf » n° 3…", 'Recu : " l\'oeuf " no 3...', 1),
        ("être à Nîmes, août", "etre à Nimes, aout", 1),
        ("ж" * 70, "ж" * 70, 1),
        ("ж" * 71, "ж" * 71, 2),
        ("😀" * 35, "😀" * 35, 1),
        ("😀" * 36, "😀" * 36, 2),
    ],
)
def test_texts_are_folded_and_counted(text: str, folded: str, parts: int) -> None:
    assert texting.folded(text) == folded
    assert texting.parts_of(folded) == parts


@pytest.mark.parametrize("letter_", ["a", "ж", "€", "😀"])
def test_a_text_that_is_too_long_is_cut(letter_: str) -> None:
    cut = texting.fitted(letter_ * 1000)
    assert texting.parts_of(cut) == 3
    assert cut.endswith(f"{letter_}...")
