"""The questions a service asks, and whether the answers fit them. Pure.

A definition is Open311's: a code, a datatype, required or not, values to choose from. Answers come
as JSON values, or all as strings from forms; both are accepted and stored in one form.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

#: Longest answer to a question of datatype `string`, and of datatype `text`.
MAX_STRING = 500
MAX_TEXT = 4000

#: As `core.api.STORABLE`: what the database and XML can hold.
_UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


class Datatype(enum.StrEnum):
    """Open311's datatypes of an attribute."""

    STRING = "string"
    NUMBER = "number"
    DATETIME = "datetime"
    TEXT = "text"
    SINGLE = "singlevaluelist"
    MULTIPLE = "multivaluelist"


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a list: its key and its names by locale."""

    key: str
    names: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AttributeDefinition:
    """One question of a service definition."""

    code: str
    datatype: Datatype
    is_required: bool
    order: int
    descriptions: Mapping[str, str]
    values: tuple[Choice, ...]
    is_variable: bool = True

    def choices(self) -> frozenset[str]:
        """Keys of the values to choose from."""
        return frozenset(choice.key for choice in self.values)


@dataclass(frozen=True, slots=True)
class Checked:
    """Answers in the form they are stored in, and what is wrong: code → messages."""

    values: Mapping[str, Any]
    errors: Mapping[str, Sequence[str]]


def definitions_of(stored: Iterable[Mapping[str, Any]]) -> tuple[AttributeDefinition, ...]:
    """The definitions as `Service.attributes` stores them, in order."""
    definitions = [
        AttributeDefinition(
            code=item["code"],
            datatype=Datatype(item["datatype"]),
            is_required=bool(item.get("required", False)),
            order=int(item.get("order", number)),
            descriptions=item.get("descriptions", {}),
            values=tuple(
                Choice(value["key"], value.get("names", {})) for value in item.get("values", ())
            ),
            is_variable=bool(item.get("variable", True)),
        )
        for number, item in enumerate(stored, start=1)
    ]
    return tuple(sorted(definitions, key=lambda definition: definition.order))


def check(definitions: Sequence[AttributeDefinition], answers: Mapping[str, Any]) -> Checked:
    """Hold answers against the questions. An empty answer counts as none."""
    known = {definition.code: definition for definition in definitions}
    errors: dict[str, list[str]] = {
        str(code): ["The service asks no such question."] for code in answers if code not in known
    }
    values: dict[str, Any] = {}
    for definition in definitions:
        answer = answers.get(definition.code)
        if _is_empty(answer):
            if definition.is_required and definition.is_variable:
                errors[definition.code] = ["The service needs an answer to this."]
            continue
        try:
            values[definition.code] = _READERS[definition.datatype](definition, answer)
        except ValueError as error:
            errors[definition.code] = [str(error)]
    return Checked(values, errors)


def _is_empty(answer: Any) -> bool:
    return answer is None or answer in ("", []) or (isinstance(answer, str) and not answer.strip())


def _words(answer: Any, longest: int) -> str:
    if isinstance(answer, bool) or not isinstance(answer, (str, int, float)):
        raise ValueError("It must be text.")
    text = str(answer)
    if len(text) > longest:
        raise ValueError(f"It must not be longer than {longest} characters.")
    if _UNSTORABLE.search(text):
        raise ValueError("Control characters and broken Unicode cannot be stored.")
    return text


def _string(_definition: AttributeDefinition, answer: Any) -> str:
    return _words(answer, MAX_STRING)


def _text(_definition: AttributeDefinition, answer: Any) -> str:
    return _words(answer, MAX_TEXT)


def _number(_definition: AttributeDefinition, answer: Any) -> int | float:
    if isinstance(answer, bool) or not isinstance(answer, (int, float, str)):
        raise ValueError("It must be a number.")
    try:
        number = float(answer)
    except (ValueError, OverflowError):
        raise ValueError("It must be a number.") from None
    if not math.isfinite(number) or abs(number) > 1e15:
        raise ValueError("It must be a number that is finite and below 10^15.")
    return int(number) if number.is_integer() else number


def _datetime(_definition: AttributeDefinition, answer: Any) -> str:
    if not isinstance(answer, str):
        raise ValueError("It must be a date and time as in 2026-03-29T14:05:00+02:00.")
    try:
        moment = datetime.fromisoformat(answer.strip())
    except ValueError:
        raise ValueError("It must be a date and time as in 2026-03-29T14:05:00+02:00.") from None
    return moment.isoformat()


def _one(definition: AttributeDefinition, answer: Any) -> str:
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    if not isinstance(answer, str) or answer not in definition.choices():
        raise ValueError(f"It must be one of: {_listed(definition)}.")
    return answer


def _several(definition: AttributeDefinition, answer: Any) -> list[str]:
    chosen = answer if isinstance(answer, list) else [answer]
    keys = definition.choices()
    if not all(isinstance(key, str) and key in keys for key in chosen):
        raise ValueError(f"Each must be one of: {_listed(definition)}.")
    return list(dict.fromkeys(chosen))


def _listed(definition: AttributeDefinition) -> str:
    return ", ".join(choice.key for choice in definition.values)


_READERS = {
    Datatype.STRING: _string,
    Datatype.NUMBER: _number,
    Datatype.DATETIME: _datetime,
    Datatype.TEXT: _text,
    Datatype.SINGLE: _one,
    Datatype.MULTIPLE: _several,
}
