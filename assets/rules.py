"""What a kind of asset says: its season, how it is adopted, what is done for it. Pure.

The city folder says these things as plain values; here they become types with defaults, and the
questions that are asked of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from assets.vocabulary import AssetState

#: Of an adoption, where the kind does not say.
CAPACITY = 1
TERM_DAYS = 365
LIMIT_PER_VOLUNTEER = 5
REMINDER_DAYS = (30, 7)
NUDGES = 3
NUDGE_DAYS = 7


@dataclass(frozen=True, slots=True)
class AdoptionRules:
    """How assets of a kind are adopted.

    Attributes:
        capacity: how many adopters one asset has at most.
        term_days: an adoption ends after so many days unless it is renewed.
        limit_per_volunteer: how many assets of the kind one person may hold.
        reminder_days: so many days before the end of the term the adopter is reminded.
        nudges: after so many unanswered ones an adoption lapses.
        nudge_days: between two nudges.
    """

    capacity: int = CAPACITY
    term_days: int = TERM_DAYS
    limit_per_volunteer: int = LIMIT_PER_VOLUNTEER
    reminder_days: tuple[int, ...] = REMINDER_DAYS
    nudges: int = NUDGES
    nudge_days: int = NUDGE_DAYS

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> AdoptionRules:
        """The rules as a kind stores them; what it leaves out has its default."""
        values = dict(stored)
        if "reminder_days" in values:
            values["reminder_days"] = tuple(sorted(values["reminder_days"], reverse=True))
        return cls(**values)


@dataclass(frozen=True, slots=True)
class CareAction:
    """Something that is done for an asset, such as clearing snow.

    Attributes:
        unit: locale → what its quantity counts (litres, bags); empty: it has none.
        is_problem: it says that something is wrong, not that something was done.
    """

    code: str
    names: Mapping[str, str]
    unit: Mapping[str, str] = field(default_factory=dict)
    is_problem: bool = False


@dataclass(frozen=True, slots=True)
class Season:
    """The days of the year in which a kind needs its people; it may run across New Year.

    Attributes:
        start, end: `(month, day)`, both included.
    """

    start: tuple[int, int]
    end: tuple[int, int]

    @classmethod
    def of(cls, stored: Mapping[str, str] | None) -> Season | None:
        """The season of `{"from": "11-15", "to": "03-31"}`; None: the whole year."""
        if not stored:
            return None
        return cls(_month_day(stored["from"]), _month_day(stored["to"]))

    def holds(self, day: date) -> bool:
        """Whether the day lies in it."""
        here = (day.month, day.day)
        if self.start <= self.end:
            return self.start <= here <= self.end
        return here >= self.start or here <= self.end


@dataclass(frozen=True, slots=True)
class CareRules:
    """What is done for assets of a kind, and how often it should be.

    Attributes:
        every_days: in season, one that was not cared for in so many days is neglected; None:
            nobody counts.
    """

    actions: tuple[CareAction, ...] = ()
    every_days: int | None = None

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> CareRules:
        """The rules as a kind stores them."""
        return cls(
            actions=tuple(
                CareAction(
                    code=action["code"],
                    names=action["names"],
                    unit=action.get("unit", {}),
                    is_problem=action.get("is_problem", False),
                )
                for action in stored.get("actions", ())
            ),
            every_days=stored.get("every_days"),
        )

    def action(self, code: str) -> CareAction | None:
        """The action of that code."""
        return next((action for action in self.actions if action.code == code), None)


@dataclass(frozen=True, slots=True)
class CorrectionRules:
    """How a proposal to correct the register becomes true.

    Attributes:
        confirmations: accepted by so many people beside its proposer; None: by staff alone.
    """

    confirmations: int | None = None


def has_room(state: AssetState, *, is_adoptable: bool, adopters: int, capacity: int) -> bool:
    """Whether somebody may adopt it now."""
    return is_adoptable and state.is_there and adopters < capacity


def is_loss_suspicious(known: int, gone: int, *, most: float, few: int) -> bool:
    """Whether an import takes out so much that its file is more likely broken than true.

    Args:
        most: the share that may go without asking.
        few: so many may always go: of ten fountains one is ten per cent.
    """
    return gone > max(few, known * most) or (known > 0 and gone == known)


def merged_attributes(
    old: Mapping[str, Any], new: Mapping[str, Any], said: Iterable[str]
) -> dict[str, Any]:
    """The attributes after somebody said something of those named in `said`; the others stay."""
    kept = {code: value for code, value in old.items() if code not in set(said)}
    return {**kept, **new}


def _month_day(text: str) -> tuple[int, int]:
    month, _, day = text.partition("-")
    # A leap year, so that 02-29 is a day.
    date(2024, int(month), int(day))
    return int(month), int(day)
