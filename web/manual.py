"""`/docs`: the OpenAPI document as a page to read, rendered here, with nothing from elsewhere.

The document is made from the schemas that the server enforces; this module turns it into rows and
examples and adds no fact of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Flask, current_app
from flask.typing import ResponseReturnValue
from markupsafe import Markup, escape

from accounts.access import EVERYONE, allow
from web.pages import blueprint, page

_METHODS = ("get", "post", "put", "patch", "delete")
_WHO = re.compile(r"\n*\*\*Who may call:\*\* (?P<who>[^\n]+)")

#: Fields inside fields are listed down to here; deeper ones are found under their own object.
_DEEPEST = 2


@dataclass(frozen=True, slots=True)
class FieldRow:
    """One field of an object, its name with dots and brackets: `contact.email`, `items[].id`."""

    name: str
    kind: str
    is_required: bool
    meaning: str


@dataclass(frozen=True, slots=True)
class ParameterRow:
    """One parameter of a call. `place`: path, query or header."""

    name: str
    place: str
    kind: str
    is_required: bool
    meaning: str


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent or answered, in one media type."""

    media_type: str
    schema_name: str | None
    fields: Sequence[FieldRow]
    example: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """One possible answer."""

    status: str
    meaning: str
    bodies: Sequence[Body]


@dataclass(frozen=True, slots=True)
class Operation:
    """One call."""

    anchor: str
    method: str
    path: str
    summary: str
    description: str
    who: str
    parameters: Sequence[ParameterRow]
    bodies: Sequence[Body]
    answers: Sequence[Answer]
    curl: str


@dataclass(frozen=True, slots=True)
class Group:
    """Calls that belong together."""

    name: str
    description: str
    operations: Sequence[Operation]


def install(app: Flask) -> None:
    """Give the page its two ways of writing what the document says."""
    app.add_template_filter(marked, "marked")


@blueprint.get("/docs")
@allow(EVERYONE)
def manual() -> ResponseReturnValue:
    """The API, to read."""
    # The document does not change while the process lives, and reading it takes a while.
    groups = current_app.extensions.get("manual_groups")
    if groups is None:
        document = current_app.extensions["json_api"].spec.to_dict()
        groups = groups_of(document, current_app.config["BASE_URL"])
        current_app.extensions["manual_groups"] = groups
    return page("manual.html", groups=groups)


def marked(text: str) -> Markup:
    """Paragraphs, `code` and **bold** of a description, everything else escaped."""
    html = str(escape(text.strip()))
    html = re.sub(r"`([^`]+)`", r"<code>\1</code>", html)
    html = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", html)
    return Markup("".join(f"<p>{part}</p>" for part in re.split(r"\n\s*\n", html) if part))


def groups_of(document: Mapping[str, Any], base_url: str) -> list[Group]:
    """The calls of an OpenAPI document by tag, in the order of the document."""
    reader = _Reader(document, base_url)
    by_tag: dict[str, list[Operation]] = {tag["name"]: [] for tag in document.get("tags", [])}
    for path, item in document.get("paths", {}).items():
        for method in _METHODS:
            if method in item:
                operation = reader.operation(path, method, item)
                tag = (item[method].get("tags") or ["api"])[0]
                by_tag.setdefault(tag, []).append(operation)
    descriptions = {tag["name"]: tag.get("description", "") for tag in document.get("tags", [])}
    return [
        Group(name, descriptions.get(name, ""), operations)
        for name, operations in by_tag.items()
        if operations
    ]


class _Reader:
    """Reads one document; knows how to follow its references."""

    def __init__(self, document: Mapping[str, Any], base_url: str) -> None:
        self._document = document
        self._base_url = base_url

    def operation(self, path: str, method: str, item: Mapping[str, Any]) -> Operation:
        told = item[method]
        description = told.get("description", "")
        found = _WHO.search(description)
        parameters = [
            self.parameter(parameter)
            for parameter in [*item.get("parameters", []), *told.get("parameters", [])]
        ]
        bodies = self.bodies(self.resolved(told.get("requestBody", {})))
        who = found["who"] if found else ""
        return Operation(
            anchor=re.sub(r"[^a-z0-9]+", "-", f"{method} {path}".lower()).strip("-"),
            method=method.upper(),
            path=path,
            summary=told.get("summary", "").rstrip("."),
            description=_WHO.sub("", description).strip(),
            who=who,
            parameters=parameters,
            bodies=bodies,
            answers=[
                self.answer(status, self.resolved(answer))
                for status, answer in sorted(told.get("responses", {}).items())
            ],
            curl=self.curl(path, method, bodies, needs_token={} not in told.get("security", [{}])),
        )

    def parameter(self, given: Mapping[str, Any]) -> ParameterRow:
        parameter = self.resolved(given)
        schema = self.resolved(parameter.get("schema", {}))
        return ParameterRow(
            name=parameter["name"],
            place=parameter["in"],
            kind=self.kind(schema),
            is_required=bool(parameter.get("required")),
            meaning=_joined(parameter.get("description"), schema.get("description")),
        )

    def answer(self, status: str, answer: Mapping[str, Any]) -> Answer:
        return Answer(status, answer.get("description", ""), self.bodies(answer))

    def bodies(self, holder: Mapping[str, Any]) -> list[Body]:
        found = []
        for media_type, content in holder.get("content", {}).items():
            schema = content.get("schema", {})
            example = content.get("example")
            if example is None and media_type == "application/json":
                example = self.example(schema)
            text = None
            if example is not None:
                text = json.dumps(example, ensure_ascii=False, indent=2, default=str)
            found.append(Body(media_type, self.name_of(schema), list(self.fields(schema)), text))
        return found

    def fields(
        self, given: Mapping[str, Any], prefix: str = "", depth: int = 0
    ) -> Iterator[FieldRow]:
        schema = self.resolved(given)
        if schema.get("type") == "array":
            yield from self.fields(schema.get("items", {}), f"{prefix}[].".lstrip("."), depth)
            return
        required = set(schema.get("required", []))
        for name, part in schema.get("properties", {}).items():
            inner = self.resolved(part)
            yield FieldRow(
                prefix + name,
                self.kind(inner),
                name in required,
                _joined(part.get("description"), inner.get("description")),
            )
            if depth + 1 >= _DEEPEST:
                continue
            if inner.get("properties"):
                yield from self.fields(inner, f"{prefix}{name}.", depth + 1)
            elif self.resolved(inner.get("items", {})).get("properties"):
                yield from self.fields(inner["items"], f"{prefix}{name}[].", depth + 1)

    def kind(self, given: Mapping[str, Any]) -> str:
        """A schema in a few words: `text ≤ 4000`, `number −90…90`, `one of: a, b`."""
        schema = self.resolved(given)
        if "enum" in schema:
            return "one of: " + ", ".join(str(value) for value in schema["enum"] if value)
        kinds = schema.get("type", "")
        names = [kinds] if isinstance(kinds, str) else list(kinds)
        words = " or ".join(_KINDS.get(name, name) for name in names if name) or "anything"
        if schema.get("format"):
            words = _FORMATS.get(schema["format"], f"{words} ({schema['format']})")
        if "array" in names:
            inner = schema.get("items", {})
            words = f"list of {self.name_of(inner) or self.kind(inner)}"
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        if low is not None or high is not None:
            words += f" {_bound(low)}…{_bound(high)}"
        if schema.get("maxLength"):
            words += f" ≤ {schema['maxLength']}"
        if schema.get("maxItems"):
            words += f", at most {schema['maxItems']}"
        return words

    def example(self, given: Mapping[str, Any], depth: int = 0) -> Any:
        """A value that fits a schema, from the examples it carries where it carries any."""
        schema = self.resolved(given)
        for key in ("example", "default"):
            if schema.get(key) is not None:
                return schema[key]
        if schema.get("examples"):
            return schema["examples"][0]
        if schema.get("enum"):
            return next((value for value in schema["enum"] if value), None)
        kinds = schema.get("type", "object" if schema.get("properties") else "")
        kind = kinds if isinstance(kinds, str) else next((k for k in kinds if k != "null"), "")
        if kind == "object":
            if depth > _DEEPEST:
                return {}
            return {
                name: self.example(part, depth + 1)
                for name, part in schema.get("properties", {}).items()
                if not self.resolved(part).get("readOnly")
            }
        if kind == "array":
            return [self.example(schema.get("items", {}), depth + 1)]
        return _EXAMPLES.get(schema.get("format", ""), _EXAMPLES.get(kind))

    def name_of(self, schema: Mapping[str, Any]) -> str | None:
        reference = schema.get("$ref", "")
        return reference.rpartition("/")[2] or None

    def resolved(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """The object itself, where the document says it somewhere else or with `allOf`/`anyOf`."""
        schema = given
        for _ in range(10):
            if "$ref" in schema:
                found: Any = self._document
                for part in schema["$ref"].removeprefix("#/").split("/"):
                    found = found[part]
                schema = found
                continue
            choices = schema.get("allOf") or schema.get("anyOf") or schema.get("oneOf")
            first = next((one for one in choices or () if one.get("type") != "null"), None)
            if first is None:
                break
            schema = first
        return schema

    def curl(self, path: str, method: str, bodies: Sequence[Body], *, needs_token: bool) -> str:
        parts = ["curl" if method == "get" else f"curl -X {method.upper()}"]
        parts.append(f"'{self._base_url}{path}'")
        if needs_token:
            parts.append('-H "Authorization: Bearer $TOKEN"')
        body = next((body for body in bodies if body.media_type == "application/json"), None)
        if body is not None and body.example is not None:
            parts.append("-H 'Content-Type: application/json'")
            parts.append("-d @body.json")
        return " \\\n  ".join(parts)


_KINDS = {
    "string": "text",
    "integer": "whole number",
    "boolean": "true or false",
    "object": "object",
    "array": "list",
    "null": "null",
}

_FORMATS = {
    "uuid": "UUID",
    "date-time": "time (RFC 3339)",
    "date": "date",
    "email": "e-mail address",
    "uri": "URL",
    "url": "URL",
    "password": "password",
}

_EXAMPLES: Mapping[str, Any] = {
    "uuid": "019d0c7e-5a10-7c4e-9b1a-2f6d3c8e4a51",
    "date-time": "2026-03-11T09:00:00Z",
    "date": "2026-03-11",
    "email": "camille@example.org",
    "uri": "https://example.org/",
    "url": "https://example.org/",
    "string": "…",
    "integer": 1,
    "number": 1.0,
    "boolean": True,
}


def _joined(*texts: str | None) -> str:
    return next((text for text in texts if text), "")


def _bound(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:g}".replace("-", "−")
