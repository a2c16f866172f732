"""Normal forms of phone numbers, and which of them take a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.contact_rules import (
    ContactPoint,
    CountryNeededError,
    PhoneError,
    normal_phone,
    takes_texts,
)


@pytest.mark.parametrize(
    "text",
    [
        "06 12 34 56 78",
        "0612345678",
        "06.12.34.56.78",
        "(06) 12-34-56-78",
        "+33 6 12 34 56 78",
        "0033612345678",
        "+33 (0)6 12 34 56 78",
        "tel:+33-6-12-34-56-78",
        "\uff10\uff16 12 34 56 78",
        "\u0660\u0666 12 34 56 78",
        "06\u00a012\u202f34 56 78",
        "\u202e06 12 34 56 78",
    ],
)
def test_one_number_has_one_form_however_it_is_written(text: str) -> None:
    assert normal_phone(text, "FR") == "+33612345678"


@pytest.mark.parametrize(
    "text", ["", "06", "+", "téléphone", "+33", "1" * 41, "+999 123 456", "\x00", "😀", "12 34"]
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(PhoneError):
        normal_phone(text, "FR")


def test_a_national_number_needs_a_country() -> None:
    with pytest.raises(CountryNeededError):
        normal_phone("06 12 34 56 78", None)
    assert normal_phone("+33 6 12 34 56 78", None) == "+33612345678"
    assert normal_phone("617 555 0123", "US") == "+16175550123"


@given(st.text(max_size=60), st.sampled_from(["FR", "US", "BE", None]))
def test_whatever_is_typed_gives_a_stable_form_or_a_refusal(text: str, country: str | None) -> None:
    try:
        number = normal_phone(text, country)
    except PhoneError:
        return
    assert normal_phone(number, None) == number
    takes_texts(number)


@pytest.mark.parametrize(
    ("number", "is_taken"),
    [
        ("+33612345678", True),
        ("+33761234567", True),
        ("+16175550123", True),
        ("+33467123456", False),
        ("+33899123456", False),
        ("+33800123456", False),
        ("+339999", False),
    ],
)
def test_texts_go_only_to_numbers_that_can_take_them(number: str, is_taken: bool) -> None:
    assert takes_texts(number) is is_taken


def test_an_address_is_the_same_however_it_is_written() -> None:
    assert ContactPoint.email(" Rene\u0301@Exemple.FR ") == ContactPoint.email(
        "ren\u00e9@exemple.fr"
    )
