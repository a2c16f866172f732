"""How a reporter can be reached: an e-mail address, a phone number, a name, a language. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import phonenumbers


class PhoneError(ValueError):
    """The text is no phone number that can be called."""


@dataclass(frozen=True, slots=True)
class Contact:
    """What somebody said of themselves. Nothing here is verified."""

    email: str | None = None
    phone: str | None = None
    name: str | None = None
    locale: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it tells neither who somebody is nor how to reach them."""
        return self.email is None and self.phone is None and self.name is None

    def fingerprint(self) -> list[str | None]:
        """The parts that make two contacts the same."""
        return [self.email, self.phone, self.name]


def normal_phone(text: str, country: str) -> str:
    """The number in E.164; a national one is read as one of `country` (ISO 3166-1 alpha-2).

    Raises:
        PhoneError: it is no possible number.
    """
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException as error:
        raise PhoneError("This is not a phone number.") from error
    if not phonenumbers.is_possible_number(number):
        raise PhoneError("This is not a phone number.")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def normal_email(text: str) -> str:
    """The address as it is compared and stored: trimmed, in lower case."""
    return text.strip().lower()
