"""What can be wrong with a call, as Open311 says it: a list of codes and descriptions. Pure.

404 for what is not there, 403 for a missing or wrong key, 400 for everything else. Whoever reads a
call collects every fault before refusing, so that a client need not find them one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from core.errors import DomainError
from open311.formats import legal

#: Statuses that are said as they are; everything else that a caller did is 400.
_KEPT = frozenset({403, 404, 429})

#: Codes of our own errors that mean "there is no such thing".
_MISSING = frozenset({"unknown_service", "unknown_jurisdiction", "not_found"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong."""

    code: int
    description: str

    def document(self) -> dict[str, Any]:
        """As it is written."""
        return {"code": self.code, "description": legal(self.description)[:1000]}


class Refusal(Exception):
    """A call that cannot be carried out, with everything that is wrong with it."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(fault.description for fault in self.faults))

    @property
    def status(self) -> int:
        """The status of the answer: of several kinds of faults 403 goes before 404 before 400."""
        codes = {fault.code for fault in self.faults}
        return next((code for code in (403, 404) if code in codes), 400)


def missing(description: str) -> Fault:
    """There is no such thing."""
    return Fault(404, description)


def wrong(description: str) -> Fault:
    """It cannot be understood, or is not allowed."""
    return Fault(400, description)


def status_for(status: int) -> int:
    """The status that Open311 has for one of ours."""
    if status == HTTPStatus.UNAUTHORIZED:
        return 403
    if status in _KEPT or status >= 500:
        return status
    return 400


def of_error(error: DomainError) -> tuple[Fault, ...]:
    """What is wrong, from an error of our own rules; each field that is at fault by its name."""
    code = 404 if error.code in _MISSING else status_for(error.status)
    listed = error.extra.get("errors")
    if isinstance(listed, dict):
        return tuple(Fault(code, said) for said in _said(listed))
    where = _name(error.field or "")
    return (Fault(code, f"{where}: {error.detail}" if where else error.detail),)


def _said(errors: dict[str, Sequence[str]]) -> list[str]:
    return [
        f"{_name(field)}: {message}" for field, messages in errors.items() for message in messages
    ]


#: Our names of fields, as the standard calls them.
_NAMES = {
    "jurisdiction": "jurisdiction_id",
    "lon": "long",
    "address": "address_string",
    "contact.email": "email",
    "contact.phone": "phone",
    "contact.name": "last_name",
}


def _name(field: str) -> str:
    photos, dot, number = field.partition(".")
    if photos == "photos":
        return f"media, file {int(number) + 1}" if dot else "media"
    return _NAMES.get(field, field)
