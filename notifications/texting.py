"""Fitting words into text messages: their alphabets and the parts they are billed by. Pure.

A text in the alphabet of GSM 03.38 holds 160 characters, or 153 in each part of a longer one; any
other character turns the whole text into UCS-2 with 70, or 67 (3GPP TS 23.038, 23.040).
"""

from __future__ import annotations

import unicodedata

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)

#: Of the extension table; each takes two places.
_DOUBLE = frozenset("^{}\\[~]|€\f")

#: What French and English print and the alphabet lacks, as one writes it by hand.
_FOLDED = str.maketrans(
    {
        "\u2019": "'",
        "\u2018": "'",
        "\u201c": '"',
        "\u201d": '"',
        "«": '"',
        "»": '"',
        "\u2013": "-",
        "—": "-",
        "…": "...",
        "œ": "oe",
        "Œ": "OE",
        "\u00a0": " ",
        "\u202f": " ",
        "\u2011": "-",
        "°": "o",
        "ç": "c",
        "·": ".",
        "\t": " ",
        "`": "'",
    }
)

#: Three parts are the most anyone should be sent.
MAX_PARTS = 3


def folded(text: str) -> str:
    """The text in the GSM alphabet where that is a matter of accents and typography.

    Letters of other scripts stay: their reader needs them, at the price of shorter parts.
    """
    text = unicodedata.normalize("NFC", text).translate(_FOLDED)
    if _is_gsm(text):
        return text
    letters: list[str] = []
    for letter in text:
        if letter in _BASIC or letter in _DOUBLE:
            letters.append(letter)
            continue
        plain = unicodedata.normalize("NFD", letter)[0]
        letters.append(plain if plain in _BASIC else letter)
    return "".join(letters)


def parts_of(text: str) -> int:
    """In how many parts the text is sent and billed."""
    if not text:
        return 0
    if _is_gsm(text):
        places = sum(2 if letter in _DOUBLE else 1 for letter in text)
        single, several = 160, 153
    else:
        places = len(text.encode("utf-16-be")) // 2
        single, several = 70, 67
    return 1 if places <= single else -(-places // several)


def fitted(text: str, parts: int = MAX_PARTS) -> str:
    """The text folded, and cut at its end with three dots if it needs more than that many parts."""
    text = folded(text)
    if parts_of(text) <= parts:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if parts_of(text[:middle].rstrip() + "...") <= parts:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "..."


def _is_gsm(text: str) -> bool:
    return all(letter in _BASIC or letter in _DOUBLE for letter in text)
