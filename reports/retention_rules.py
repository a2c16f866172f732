"""How long what people sent with a report is kept, and which answers name nobody. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.vocabulary import Status

#: Statuses of reports that are over; a duplicate is over with the report that it repeats.
FINAL_STATUSES = (Status.CLOSED, Status.REJECTED)

#: So long after it was taken out of sight a redacted photo is deleted: a mistake can be put right.
REDACTED_PHOTO_DAYS = 30

#: Answers of these kinds are chosen, counted or dated; the others are free text.
_HARMLESS = frozenset({"number", "datetime", "singlevaluelist", "multivaluelist"})


@dataclass(frozen=True, slots=True)
class Terms:
    """Days after a report is over.

    Attributes:
        contacts_days: then its people are forgotten.
        photos_days: then its photos are deleted.
    """

    contacts_days: int
    photos_days: int

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Terms:
        """The terms of a service, where it says nothing the default."""
        return cls(
            int(stored.get("contacts_days", DEFAULT.contacts_days)),
            int(stored.get("photos_days", DEFAULT.photos_days)),
        )


#: Where neither the city nor the service says anything: a year to come back to a case, two years in
#: which a photo can show how often the same spot broke.
DEFAULT = Terms(contacts_days=365, photos_days=730)


def kept_answers(
    answers: Mapping[str, Any], definitions: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The answers that stay when people are forgotten: chosen, counted and dated ones.

    Free text goes, and so does what no question asks any more: nobody knows what it says.
    """
    harmless = {each["code"] for each in definitions if each.get("datatype") in _HARMLESS}
    return {code: value for code, value in answers.items() if code in harmless}
