"""How a reporter can be reached: an e-mail address, a phone number, a name, a language. Pure.

Their normal forms are those of accounts (`accounts.rules`, `accounts.contact_rules`), so that what
was typed into a report is found again by whoever proves it.
"""

from __future__ import annotations

from dataclasses import dataclass


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
