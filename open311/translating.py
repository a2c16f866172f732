"""Riverain's words and Open311's, in both directions: statuses, sources, times, notices. Pure.

Open311 knows two statuses, `open` and `closed`; FixMyStreet and its neighbours speak of more
(mySociety's extension "additional states"). Both are written and read here and nowhere else.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from core.i18n import pick
from reports.vocabulary import OPEN_STATUSES, Source, Status

#: What a client that speaks of no zone means is not said anywhere; we take it for UTC.
_ZONELESS = UTC


class State(enum.StrEnum):
    """Open311's status of a service request."""

    OPEN = "open"
    CLOSED = "closed"


#: Statuses of each state. A duplicate is closed: its words say which request goes on.
STATUSES: Mapping[State, tuple[Status, ...]] = {
    State.OPEN: OPEN_STATUSES,
    State.CLOSED: tuple(status for status in Status if status not in OPEN_STATUSES),
}


def state_of(status: str) -> State:
    """Open311's word for a status of ours."""
    return State.OPEN if Status(status).is_open else State.CLOSED


#: mySociety's additional states: what FixMyStreet shows to the citizen.
_EXTENDED: Mapping[Status, str] = {
    Status.RECEIVED: "open",
    Status.TRIAGED: "open",
    Status.ASSIGNED: "action_scheduled",
    Status.IN_PROGRESS: "in_progress",
    Status.ON_HOLD: "investigating",
    Status.RESOLVED: "fixed",
    Status.CLOSED: "closed",
    Status.REJECTED: "no_further_action",
    Status.DUPLICATE: "duplicate",
    Status.REOPENED: "open",
}


def extended_state_of(status: str) -> str:
    """The word of mySociety's extension for a status of ours."""
    return _EXTENDED[Status(status)]


#: Words of others, small and with single underscores, by what they mean here. `duplicate` is told
#: in words only: it takes a report to be the same as, which no such message names.
_MEANT: Mapping[str, Status] = {
    "open": Status.IN_PROGRESS,
    "opened": Status.IN_PROGRESS,
    "confirmed": Status.IN_PROGRESS,
    "investigating": Status.IN_PROGRESS,
    "in_progress": Status.IN_PROGRESS,
    "inprogress": Status.IN_PROGRESS,
    "processing": Status.IN_PROGRESS,
    "acknowledged": Status.ASSIGNED,
    "assigned": Status.ASSIGNED,
    "planned": Status.ASSIGNED,
    "action_scheduled": Status.ASSIGNED,
    "hold": Status.ON_HOLD,
    "on_hold": Status.ON_HOLD,
    "closed": Status.RESOLVED,
    "fixed": Status.RESOLVED,
    "resolved": Status.RESOLVED,
    "completed": Status.RESOLVED,
    "done": Status.RESOLVED,
    "rejected": Status.REJECTED,
    "no_further_action": Status.REJECTED,
    "unable_to_fix": Status.REJECTED,
    "not_responsible": Status.REJECTED,
    "not_councils_responsibility": Status.REJECTED,
    "reopen": Status.REOPENED,
    "reopened": Status.REOPENED,
}


def status_meant(word: str | None) -> Status | None:
    """What another system means by its status; None for a word that nobody knows, or none."""
    return _MEANT.get(_plain(word or ""))


def state_meant(word: str | None) -> State | None:
    """Whether another system means open or closed; None for a word that nobody knows."""
    plain = _plain(word or "")
    if plain == "duplicate":
        return State.CLOSED
    meant = _MEANT.get(plain)
    return None if meant is None else state_of(meant)


def _plain(word: str) -> str:
    return re.sub(r"[\W_]+", "_", word.strip().lower()).strip("_")


#: GeoReport Bulk's examples of how a request came in; "terms may vary by system".
_SOURCES: Mapping[Source, str] = {
    Source.APP: "Mobile App",
    Source.WEB: "Website",
    Source.PHONE: "Phone",
    Source.COUNTER: "Counter",
    Source.EMAIL: "Email",
    Source.OPEN311: "Open311",
    Source.SENSOR: "Sensor",
    Source.STAFF: "Staff",
    Source.IMPORT: "Import",
}


def source_of(source: str) -> str:
    """How a request came in, in the words of GeoReport Bulk."""
    return _SOURCES[Source(source)]


#: GeoReport Bulk's examples of a status in one word.
_DESCRIPTIONS: Mapping[Status, str] = {
    Status.RECEIVED: "Open",
    Status.TRIAGED: "Open",
    Status.ASSIGNED: "Assigned",
    Status.IN_PROGRESS: "Processing",
    Status.ON_HOLD: "Hold",
    Status.RESOLVED: "Closed",
    Status.CLOSED: "Closed",
    Status.REJECTED: "Rejected",
    Status.DUPLICATE: "Duplicate",
    Status.REOPENED: "Reopened",
}


def description_of(status: str) -> str:
    """The single-word indicator of GeoReport Bulk."""
    return _DESCRIPTIONS[Status(status)]


def moment(at: datetime | None) -> str | None:
    """An instant in the W3C's form, in whole seconds and UTC: `2026-03-29T12:05:00Z`."""
    if at is None:
        return None
    # isoformat and not strftime, which writes years before 1000 without their zeros.
    text = at.isoformat(timespec="seconds")
    if not text.endswith("+00:00"):
        text = at.astimezone(UTC).isoformat(timespec="seconds")
    return text[:-6] + "Z"


#: A W3C date and time; a form that was not escaped turns the plus of a zone into a space.
_W3C = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s*(Z|z|[+\- ]\d\d:?\d\d)?)?"
)


def read_moment(text: str) -> datetime:
    """The instant that a W3C date and time says, in UTC; without a zone it is taken for UTC.

    Raises:
        ValueError: it says none.
    """
    found = _W3C.fullmatch(text.strip())
    if found is None:
        raise ValueError("it is no date and time in W3C form")
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    micro = int((fraction or "0")[:6].ljust(6, "0"))
    written = (
        f"{year}-{month}-{day}T{hour or '00'}:{minute or '00'}:{second or '00'}"
        f".{micro:06d}{_zone(zone)}"
    )
    try:
        return datetime.fromisoformat(written).astimezone(_ZONELESS)
    except OverflowError as error:
        raise ValueError("no calendar reaches that far") from error


def _zone(zone: str | None) -> str:
    if zone is None or zone in "Zz":
        return "+00:00"
    digits = zone[1:].replace(":", "")
    return f"{'+' if zone[0] == ' ' else zone[0]}{digits[:2]}:{digits[2:]}"


class Notice(enum.Enum):
    """What somebody is told who has just sent a request."""

    REVIEW = "review"
    BATCH = "batch"
    BLACKBOX = "blackbox"


_NOTICES: Mapping[Notice, Mapping[str, str]] = {
    Notice.REVIEW: {
        "fr": "Votre signalement est pris en charge. Il ne sera public qu’après relecture.",
        "en": "Your report is being handled. The public sees it after somebody has read it.",
    },
    Notice.BATCH: {
        "fr": "Votre demande est enregistrée. Le jeton donne son numéro.",
        "en": "Your request is recorded. The token leads to its id.",
    },
    Notice.BLACKBOX: {
        "fr": "Votre demande est transmise. Elle reste confidentielle et n’a pas de suivi public.",
        "en": "Your request was passed on. It stays confidential and cannot be followed here.",
    },
}

_DUPLICATE_OF: Mapping[str, str] = {
    "fr": "Signalement déjà connu, suivi sous le numéro {}.",
    "en": "Duplicate of request {}.",
}

_DUPLICATE: Mapping[str, str] = {
    "fr": "Signalement déjà connu.",
    "en": "Duplicate request.",
}


def notice(kind: Notice, locale: str, default: str) -> str:
    """A `service_notice` in somebody's language."""
    return pick(_NOTICES[kind], locale, default)


def duplicate_notes(number: int | None, locale: str, default: str) -> str:
    """The `status_notes` of a duplicate; None where the public does not see what it repeats."""
    if number is None:
        return pick(_DUPLICATE, locale, default)
    return pick(_DUPLICATE_OF, locale, default).format(number)
