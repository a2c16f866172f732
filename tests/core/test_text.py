"""Text that every output can carry, and text that every search finds."""

from __future__ import annotations

import unicodedata
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.text import clean, fold


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Rue de l'Aiguillerie", "rue de l aiguillerie"),
        ("Rue de l\u2019Aiguillerie", "rue de l aiguillerie"),
        ("  Émile-ZOLA, 31 ", "emile zola 31"),
        ("Sacré-Cœur", "sacre coeur"),
        ("Groß", "gross"),
        ("İstanbul", "istanbul"),
        ("50 % n° 3", "50 n 3"),
        ("a_b", "a b"),
        ("…", ""),
        ("ﬁne Ångström", "fine angstrom"),
    ],
)
def test_folded_text_has_neither_case_nor_accents_nor_punctuation(text: str, folded: str) -> None:
    assert fold(text) == folded


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text())
def test_composed_and_decomposed_letters_fold_alike(text: str) -> None:
    assert fold(unicodedata.normalize("NFD", text)) == fold(unicodedata.normalize("NFC", text))


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\x00b\x07c", "abc"),
        ("un\r\ndeux\rtrois\nquatre\tcinq", "un\ndeux\ntrois\nquatre\tcinq"),
        ("a\x85b\u2028c", "a\nb\nc"),
        ("e\u0301te\u0301", "été"),
        ("\ud800x\ufffe\uffff", "x"),
        ("\x7f\x9b31m", "31m"),
        ("👍🏽 ça va", "👍🏽 ça va"),
    ],
)
def test_clean_text_keeps_words_and_drops_controls(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@given(st.text(alphabet=st.characters()))
def test_clean_text_makes_well_formed_xml_and_stays_clean(text: str) -> None:
    cleaned = clean(text)
    assert clean(cleaned) == cleaned
    element = ET.Element("d")
    element.text = cleaned
    assert (ET.fromstring(ET.tostring(element)).text or "") == cleaned
    assert "\x00" not in cleaned
