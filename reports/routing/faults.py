"""What is wrong with routing rules, or worth a second look: codes with values, and their place.

`reports.routing.grammar`, `.names` and `.overlapping` find it; `reports.routing.fault_wording` says
it in the reader's language.

Pure: nothing is said here, and nothing is looked for.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from reports.routing.rules import Place, Rule, Subject

#: A fault repeats so many characters of the word that it is about.
LONGEST_WORD = 60


class FaultCode(enum.StrEnum):
    """What may be wrong; stable, for programs are told it too."""

    # Of the text alone.
    STRANGE_BEGINNING = "strange_beginning"
    STRANGE_CHARACTER = "strange_character"
    UNEXPECTED_WORD = "unexpected_word"
    UNEXPECTED_END = "unexpected_end"
    NO_OTHERWISE = "no_otherwise"
    AFTER_OTHERWISE = "after_otherwise"
    REPEATED_NAME = "repeated_name"
    REPEATED_ACTION = "repeated_action"
    NO_TEAM = "no_team"
    STRANGE_PRIORITY = "strange_priority"
    STRANGE_TIME = "strange_time"
    STRANGE_MONTH = "strange_month"
    STRANGE_DATE = "strange_date"
    STRANGE_DAY = "strange_day"
    # Of names that the city does not have.
    UNKNOWN_TEAM = "unknown_team"
    UNKNOWN_PERSON = "unknown_person"
    UNKNOWN_COPY = "unknown_copy"
    UNKNOWN_SERVICE = "unknown_service"
    UNKNOWN_GROUP = "unknown_group"
    UNKNOWN_SOURCE = "unknown_source"
    UNKNOWN_LAYER = "unknown_layer"
    UNKNOWN_AREA = "unknown_area"
    UNKNOWN_ATTRIBUTE = "unknown_attribute"
    UNSHARED_ATTRIBUTE = "unshared_attribute"
    UNKNOWN_VALUE = "unknown_value"
    NOT_A_NUMBER = "not_a_number"
    NO_WORD = "no_word"
    # Of rules that are right and may not do what was meant.
    CONTRADICTS = "contradicts"
    NEVER_APPLIES = "never_applies"
    OVERLAPS = "overlaps"


@dataclass(frozen=True, slots=True)
class Expected:
    """What might stand there: terminals of the grammar, and words of the language of rules."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Earlier:
    """Rules that stand before: the code and line of each."""

    rules: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Shared:
    """What two rules both ask for: subjects, the key of each if it has one, and values."""

    parts: tuple[tuple[Subject, str, tuple[str, ...]], ...]


Value = int | str | tuple[str, ...] | Expected | Earlier | Shared


@dataclass(frozen=True, slots=True)
class RuleFault:
    """What is wrong, where, and at which word.

    Attributes:
        word: as it stands there; of a very long one the beginning, and "…".
        values: what the words for this code name beside the word itself.
    """

    line: int
    column: int
    word: str
    code: FaultCode
    values: Mapping[str, Value] = field(default_factory=dict)


def fault_at(place: Place, word: str, code: FaultCode, /, **values: Value) -> RuleFault:
    """What is wrong with the word at that place."""
    if len(word) > LONGEST_WORD:
        word = word[: LONGEST_WORD - 1] + "…"
    return RuleFault(place.line, place.column, word, code, values)


def fault_of(rule: Rule, code: FaultCode, /, **values: Value) -> RuleFault:
    """What is wrong with a rule as a whole: it is told at its name."""
    return fault_at(rule.place, rule.code, code, **values)
