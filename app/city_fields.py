"""Kinds of value in the YAML files of a city folder, and what is said of one that is wrong.

The files themselves, key by key, stand in `app.city_schemas`.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from datetime import date, time
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from app.city_files import is_known_crs

#: Codes appear in addresses, exports and routing rules.
CODE = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}")

#: Languages that every name must be given in; set by `city.yaml` while its neighbours are read.
LOCALES: ContextVar[tuple[str, ...]] = ContextVar("locales", default=())

#: The code of a language.
LOCALE = re.compile(r"[a-z]{2,3}(-[A-Z]{2})?")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_PERIOD = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(([01]\d|2[0-3]):([0-5]\d)|24:00)")


class Text(fields.String):
    """Words for people: not empty, no control characters."""

    def __init__(self, *, longest: int = 200, **options: Any) -> None:
        super().__init__(**options)
        self.longest = longest

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, *args, **kwargs)
        if text is None or not text.strip():
            raise ma.ValidationError("is empty")
        if _CONTROL.search(text):
            raise ma.ValidationError("holds a control character")
        if len(text) > self.longest:
            raise ma.ValidationError(f"is longer than {self.longest} characters")
        return text.strip()


class Code(fields.String):
    """A code: lower-case letters, digits, hyphens and underscores."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        if isinstance(value, int):
            raise ma.ValidationError("is a number: put it in quotes")
        text = super()._deserialize(value, *args, **kwargs) or ""
        if not CODE.fullmatch(text):
            raise ma.ValidationError(
                f"“{text}” is not a code: lower-case letters, digits, - and _ only"
            )
        return text


class Translated(fields.Field[dict[str, Any]]):
    """A mapping of locales to words, with every language of the city."""

    def __init__(self, inner: fields.Field[Any] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.inner = inner or Text()

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            example = ", ".join(f"{locale}: …" for locale in LOCALES.get() or ("fr", "en"))
            raise ma.ValidationError(f"must be given by language: {{{example}}}")
        errors: dict[str, Any] = {}
        words: dict[str, Any] = {}
        for locale, text in value.items():
            if not LOCALE.fullmatch(str(locale)):
                comma = ": words with a comma need quotes" if " " in str(locale) else ""
                errors[locale] = [f"is not a language code such as fr or en{comma}"]
                continue
            try:
                words[locale] = self.inner.deserialize(text, locale, value)
            except ma.ValidationError as error:
                errors[locale] = error.messages
        missing = [locale for locale in LOCALES.get() if locale not in value]
        if missing:
            errors["_schema"] = [f"the {locale} translation is missing" for locale in missing]
        if errors:
            raise ma.ValidationError(errors)
        return words


class Coded(fields.Field[dict[str, Any]]):
    """A mapping whose keys are names given by the city, and whose values are all of one kind."""

    def __init__(self, inner: fields.Field[Any], *, free_keys: bool = False, **options: Any):
        super().__init__(**options)
        self.inner = inner
        self.free_keys = free_keys

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ma.ValidationError("must be a mapping of “key: value” lines")
        errors: dict[Any, Any] = {}
        found: dict[str, Any] = {}
        for key, item in value.items():
            try:
                (Text(longest=100) if self.free_keys else Code()).deserialize(key)
                found[key] = self.inner.deserialize(item, key, value)
            except ma.ValidationError as error:
                errors[key] = error.messages
        if errors:
            raise ma.ValidationError(errors)
        return found


class Clock(fields.String):
    """A time of day, such as "17:00"; quoted, since YAML could take it for a number."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, *args, **kwargs) or ""
        try:
            if len(text) != 5:
                raise ValueError
            time.fromisoformat(text)
        except ValueError:
            raise ma.ValidationError(f"“{text}” is not a time such as 17:00") from None
        return text


class MonthDay(fields.String):
    """A day of every year, such as "11-15"; quoted, since YAML could take it for a number."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, *args, **kwargs) or ""
        try:
            # A leap year, so that 02-29 is a day.
            date.fromisoformat(f"2024-{text}")
        except ValueError:
            raise ma.ValidationError(f"“{text}” is not a day such as 11-15") from None
        return text


class Period(fields.String):
    """Working hours, such as "08:00-12:00"."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, *args, **kwargs) or ""
        if not _PERIOD.fullmatch(text):
            raise ma.ValidationError(f"“{text}” is not a period such as 08:00-12:00")
        start, end = text.split("-")
        if start >= end:
            raise ma.ValidationError(f"“{text}” ends before it begins")
        return [start, end]


class Crs(fields.String):
    """A reference system by name, such as EPSG:2154."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        if isinstance(value, int):
            raise ma.ValidationError(f"write EPSG:{value}")
        text = super()._deserialize(value, *args, **kwargs) or ""
        if not is_known_crs(text):
            raise ma.ValidationError(f"“{text}” is no reference system that PROJ knows")
        return text


class Schema(ma.Schema):
    """Unknown keys are faults."""

    class Meta:
        unknown = ma.RAISE


def number(low: float, high: float, **options: Any) -> fields.Float:
    """A number within bounds."""
    return fields.Float(validate=validate.Range(min=low, max=high), **options)


def whole(low: int, high: int, **options: Any) -> fields.Integer:
    """A whole number within bounds."""
    return fields.Integer(strict=True, validate=validate.Range(min=low, max=high), **options)


def one_of(*values: str, **options: Any) -> fields.String:
    """One of these words."""
    shown = ", ".join(values)
    chosen = validate.OneOf(values, error=f"“{{input}}” is not one of {shown}")
    return fields.String(validate=chosen, **options)
