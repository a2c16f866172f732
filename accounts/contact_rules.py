"""Ways to reach somebody as they are compared and stored: addresses and numbers. Pure.

One place for all of Riverain, so that what somebody typed into a report, into a sign-in form and
into their account is the same contact. E-mail addresses stand in `accounts.rules`.
"""

from __future__ import annotations

import enum
import unicodedata
from dataclasses import dataclass
from datetime import timedelta

import phonenumbers
from phonenumbers import PhoneNumberType

from accounts.rules import normal_email

#: Somebody may have so many proofs of new contacts sent in an hour: each is a message to a
#: stranger, and by text costs the city money.
CONTACTS_PER_HOUR = 5

#: Whoever wants more is told to wait for so long.
CONTACTS_WINDOW = timedelta(hours=1)

#: The longest way to write a number that somebody could mean.
PHONE_MAX = 40

#: Kinds of number that take a text. The others would cost money and reach nobody, premium ones
#: above all.
_TEXTED = frozenset(
    {
        PhoneNumberType.MOBILE,
        PhoneNumberType.FIXED_LINE_OR_MOBILE,
        PhoneNumberType.PERSONAL_NUMBER,
        PhoneNumberType.VOIP,
    }
)


#: So many digits a number within a country may have (ITU-T E.164, 6.2; few have fewer than six).
_DIGITS = range(6, 16)


class ContactKind(enum.StrEnum):
    """A way to reach somebody that they can prove to be theirs."""

    EMAIL = "email"
    PHONE = "phone"


class PhoneError(ValueError):
    """The text is no phone number that can be called."""


class CountryNeededError(PhoneError):
    """A national number, and nothing says of which country."""


@dataclass(frozen=True, slots=True)
class ContactPoint:
    """One address or number in its normal form."""

    kind: ContactKind
    value: str

    @classmethod
    def email(cls, text: str) -> ContactPoint:
        """An e-mail address, brought to its normal form."""
        return cls(ContactKind.EMAIL, normal_email(text))

    @classmethod
    def phone(cls, number: str) -> ContactPoint:
        """A number that `normal_phone` gave."""
        return cls(ContactKind.PHONE, number)


def normal_phone(text: str, country: str | None) -> str:
    """The number in E.164; a national one is read as one of `country` (ISO 3166-1 alpha-2).

    Raises:
        CountryNeededError: it is a national one, and `country` is None.
        PhoneError: it is no possible number.
    """
    # Keyboards put narrow spaces and wide digits in.
    text = unicodedata.normalize("NFKC", text)
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException as error:
        is_national = (
            error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE
            and not text.lstrip().startswith("+")
            and sum(letter.isdigit() for letter in text) in _DIGITS
        )
        if is_national and country is None:
            raise CountryNeededError("Write the number with its country: +33…") from error
        raise PhoneError("This is not a phone number.") from error
    if not phonenumbers.is_possible_number(number):
        raise PhoneError("This is not a phone number.")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def takes_texts(number: str) -> bool:
    """Whether a text to that number (E.164) can arrive."""
    parsed = phonenumbers.parse(number, None)
    return phonenumbers.is_valid_number(parsed) and phonenumbers.number_type(parsed) in _TEXTED
