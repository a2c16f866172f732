"""A routing rule as a value: its conditions, its actions, and how it is stored.

Pure: `reports.routing.grammar` reads rules from text, `reports.routing` decides by them.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

#: How urgent a word of the `priority` action is; 0 is what a report has without one.
PRIORITIES: Mapping[str, int] = {"low": -1, "normal": 0, "high": 1, "urgent": 2}

#: The code of the last rule, which every file ends with.
OTHERWISE = "otherwise"


class Subject(enum.StrEnum):
    """What a condition looks at."""

    SERVICE = "service"
    GROUP = "group"
    AREA = "area"
    ATTRIBUTE = "attribute"
    WORDS = "words"
    SOURCE = "source"
    OWNER = "owner"
    HOURS = "hours"
    SEASON = "season"
    DAY = "day"


class Comparison(enum.StrEnum):
    """How a condition compares."""

    IS = "is"
    AT_LEAST = "at_least"
    AT_MOST = "at_most"


#: The two values of a condition on working hours.
DURING, OUTSIDE = "during", "outside"

#: What a condition on days may name beside the weekdays.
HOLIDAYS = "holidays"
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

#: Months as a rule writes them, and their longest day.
MONTHS: Mapping[str, int] = {
    "jan": 31, "feb": 29, "mar": 31, "apr": 30, "may": 31, "jun": 30,
    "jul": 31, "aug": 31, "sep": 30, "oct": 31, "nov": 30, "dec": 31,
}  # fmt: skip


class Clock(enum.StrEnum):
    """Which hours count towards a due date."""

    CALENDAR = "calendar"
    WORKING = "working"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a word stands in the text; both count from one."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that must hold: any of `values` is enough.

    Attributes:
        values: of a season its first and last day as "MM-DD"; of working hours `during` or
            `outside`.
        key: the layer of an area condition, the code of an attribute condition, else empty.
        places: where each value stands, and first of all the key if there is one.
    """

    subject: Subject
    values: tuple[str, ...]
    key: str = ""
    comparison: Comparison = Comparison.IS
    negated: bool = False
    places: tuple[Place, ...] = field(default=(), compare=False, repr=False)

    def words(self) -> Iterator[tuple[str, Place]]:
        """Each value with its place."""
        places = self.places[1:] if self.key else self.places
        return zip(self.values, places, strict=True)


@dataclass(frozen=True, slots=True)
class DueIn:
    """A service level that a rule sets: an amount of hours or days on one of the clocks."""

    amount: float
    unit: str
    clock: Clock

    def as_service_level(self) -> dict[str, Any]:
        """The same in the words of a service's `service_level`."""
        if self.unit == "days" and self.clock is Clock.WORKING:
            return {"working_days": self.amount}
        hours = self.amount * 24 if self.unit == "days" else self.amount
        return {"hours": hours, "clock": self.clock.value}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: when all conditions hold, the actions apply. `otherwise` has no conditions.

    Attributes:
        priority: see `PRIORITIES`; None leaves it as it is.
        person: the e-mail address of the member of staff who gets it in hand, if any.
        copies: codes of teams and e-mail addresses that are told of it.
        text: the statement as a person wrote it, without surrounding comments.
        place: of its name.
    """

    code: str
    conditions: tuple[Condition, ...]
    team: str
    priority: int | None = None
    due: DueIn | None = None
    tags: tuple[str, ...] = ()
    person: str | None = None
    copies: tuple[str, ...] = ()
    line: int = 0
    text: str = ""
    place: Place = field(default=Place(0, 0), compare=False, repr=False)
    team_place: Place = field(default=Place(0, 0), compare=False, repr=False)
    person_place: Place = field(default=Place(0, 0), compare=False, repr=False)
    copy_places: tuple[Place, ...] = field(default=(), compare=False, repr=False)

    def as_data(self) -> dict[str, Any]:
        """The rule as JSON, to be stored; `from_data` reads it back."""
        return {
            "code": self.code,
            "conditions": [
                {
                    "subject": condition.subject.value,
                    "key": condition.key,
                    "comparison": condition.comparison.value,
                    "values": list(condition.values),
                    "negated": condition.negated,
                }
                for condition in self.conditions
            ],
            "team": self.team,
            "priority": self.priority,
            "due": (
                None
                if self.due is None
                else {
                    "amount": self.due.amount,
                    "unit": self.due.unit,
                    "clock": self.due.clock.value,
                }
            ),
            "tags": list(self.tags),
            "person": self.person,
            "copies": list(self.copies),
        }


def from_data(data: Mapping[str, Any], *, text: str = "", line: int = 0) -> Rule:
    """The rule that `Rule.as_data` wrote."""
    due = data.get("due")
    return Rule(
        code=data["code"],
        conditions=tuple(
            Condition(
                subject=Subject(item["subject"]),
                key=item["key"],
                comparison=Comparison(item["comparison"]),
                values=tuple(item["values"]),
                negated=item["negated"],
            )
            for item in data["conditions"]
        ),
        team=data["team"],
        priority=data["priority"],
        due=None if due is None else DueIn(due["amount"], due["unit"], Clock(due["clock"])),
        tags=tuple(data["tags"]),
        # Rules stored before these two actions existed lack them.
        person=data.get("person"),
        copies=tuple(data.get("copies", ())),
        line=line,
        text=text,
        place=Place(line, 1),
    )


#: An e-mail address in the text of a rule.
_ADDRESS = re.compile(r"[\w.+'-]+@[\w-]+(?:\.[\w-]+)+")


def without_addresses(text: str) -> str:
    """The text of a rule as it is kept with reports: who is behind an address can be forgotten."""
    return _ADDRESS.sub("(address)", text)
