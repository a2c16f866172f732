"""Reading what other systems answer, as it comes: JSON or XML, wrapped, exact or nearly. Pure.

The standard says how an answer looks; servers in the field do otherwise. A list is a list whether
it comes bare, under a name, twice under a name, or as XML with any root. Ids may be numbers,
booleans may be words, positions may be texts, times may lack a zone. What cannot be understood is
`Unreadable`, never a guess: whether a request was taken depends on it.
"""

from __future__ import annotations

import email.utils
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any
from xml.etree import ElementTree as ET

from core.text import clean
from geo.measures import Point

#: Names under which a list of things is found, at any depth of wrapping.
REQUEST = ("service_requests", "requests", "request", "service_request")
UPDATE = (
    "service_request_updates",
    "request_updates",
    "request_update",
    "service_request_update",
    "updates",
    "update",
)
SERVICE = ("services", "service")
FAULT = ("errors", "error")

#: Wrappings that frameworks put around an answer.
_WRAPPERS = ("response", "result", "results", "data", "items", "open311", "body", "content")

#: Nested deeper than this, it is no Open311 answer.
_DEEPEST = 6

#: As much of somebody else's words as a person is shown.
MAX_WORDS = 1000

_DOCTYPE = re.compile(rb"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_TRUE = frozenset({"true", "t", "yes", "y", "1", "on"})
_FALSE = frozenset({"false", "f", "no", "n", "0", "off"})


class Unreadable(ValueError):
    """This is no answer of an Open311 server: a page for people, half a document, nothing."""


@dataclass(frozen=True, slots=True)
class ForeignRequest:
    """A request as another system tells it; whatever is missing there is None here.

    Attributes:
        extended_status: of mySociety's extension, which knows more than open and closed.
    """

    id: str | None
    token: str | None
    status: str | None
    notes: str | None
    description: str | None
    service_code: str | None
    point: Point | None
    requested_at: datetime | None
    updated_at: datetime | None
    notice: str | None
    extended_status: str | None = None


@dataclass(frozen=True, slots=True)
class ForeignUpdate:
    """One step that another system tells of a request."""

    id: str | None
    request_id: str | None
    status: str | None
    updated_at: datetime | None
    description: str | None
    media_url: str | None


@dataclass(frozen=True, slots=True)
class ForeignService:
    """An entry of another system's catalogue."""

    code: str
    name: str | None
    kind: str | None
    has_metadata: bool | None


def read(body: bytes) -> Any:
    """The content of an answer: lists, mappings and texts, whichever format it came in.

    The body decides, not its declared type: XML under `.json` and JSON as `text/html` are common.

    Raises:
        Unreadable: it is neither JSON nor XML, or XML that declares entities.
    """
    content = body.removeprefix(b"\xef\xbb\xbf").strip()
    if not content:
        raise Unreadable("empty")
    if content[:1] == b"<":
        return _read_xml(content)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Unreadable("neither JSON nor XML") from error


def requests(content: Any, zone: tzinfo = UTC) -> list[ForeignRequest]:
    """The requests of an answer, in its order.

    Raises:
        Unreadable: there is no list of them, not even an empty one.
    """
    return [_request(item, zone) for item in _items(content, REQUEST)]


def updates(content: Any, zone: tzinfo = UTC) -> list[ForeignUpdate]:
    """The updates of an answer, in its order; raises as `requests` does."""
    return [
        ForeignUpdate(
            id=text(item.get("update_id")),
            request_id=text(item.get("service_request_id")),
            status=text(item.get("status")),
            updated_at=moment(item.get("updated_datetime"), zone),
            description=words(item.get("description")),
            media_url=text(item.get("media_url")),
        )
        for item in _items(content, UPDATE)
    ]


def services(content: Any) -> list[ForeignService]:
    """The catalogue of an answer, without entries that have no code; raises as `requests` does."""
    found = []
    for item in _items(content, SERVICE):
        code = text(item.get("service_code"))
        if code is not None:
            kind = text(item.get("type"))
            found.append(
                ForeignService(
                    code,
                    words(item.get("service_name")),
                    kind and kind.lower(),
                    boolean(item.get("metadata")),
                )
            )
    return found


def faults(body: bytes) -> str | None:
    """What a refusal says, as one line for a person; None when it says nothing legible."""
    try:
        content = read(body)
        said = [_fault(item) for item in _items(content, FAULT)]
    except Unreadable:
        return _plain_text(body)
    return "; ".join(line for line in said if line)[:MAX_WORDS] or None


def is_refusal(content: Any) -> bool:
    """Whether a document is a list of errors, whatever the status it came with."""
    try:
        items = _items(content, FAULT)
    except Unreadable:
        return False
    return bool(items) and all(
        "code" in item
        and "description" in item
        and not {"service_request_id", "token", "service_code"} & set(item)
        for item in items
    )


# -- single values --------------------------------------------------------------------------------


def text(value: Any) -> str | None:
    """An id or a word as text: numbers without a fraction, None for nothing."""
    if isinstance(value, Mapping):
        value = value.get("#text", value.get("$"))
    if isinstance(value, list):
        value = value[0] if len(value) == 1 else None
    if isinstance(value, bool) or value is None:
        return None if value is None else str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        return None
    return clean(value).strip() or None


def words(value: Any) -> str | None:
    """Words of another system as we may keep them: legal, not endless."""
    found = text(value)
    return found and found[: 4 * MAX_WORDS]


def boolean(value: Any) -> bool | None:
    """A truth that may be written as a word or a number; None for anything else."""
    if isinstance(value, bool):
        return value
    word = (text(value) or "").lower()
    return True if word in _TRUE else False if word in _FALSE else None


def moment(value: Any, zone: tzinfo = UTC) -> datetime | None:
    """The instant that a date and time says, in UTC; None when it says none.

    Args:
        zone: what a time without a zone means.
    """
    found = text(value)
    if found is None:
        return None
    for reading in (_iso, _of_mail, _since_1970):
        try:
            at = reading(found)
        except (ValueError, OverflowError, TypeError):
            continue
        try:
            return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
        except (ValueError, OverflowError):
            return None
    return None


def point(lat: Any, lon: Any) -> Point | None:
    """A position from two numbers or texts; 0, 0 is how some systems say that they know none."""
    try:
        found = Point(float(text(lat) or ""), float(text(lon) or ""))
    except (ValueError, TypeError):
        return None
    return None if found == Point(0.0, 0.0) else found


# -- inside ---------------------------------------------------------------------------------------


def _request(item: Mapping[str, Any], zone: tzinfo) -> ForeignRequest:
    extended = item.get("extended_attributes")
    return ForeignRequest(
        id=text(item.get("service_request_id")),
        token=text(item.get("token")),
        status=text(item.get("status")),
        notes=words(item.get("status_notes")),
        description=words(item.get("description")),
        service_code=text(item.get("service_code")),
        point=point(item.get("lat"), item.get("long", item.get("lon"))),
        requested_at=moment(item.get("requested_datetime"), zone),
        updated_at=moment(item.get("updated_datetime"), zone),
        notice=words(item.get("service_notice")),
        extended_status=text(extended.get("status")) if isinstance(extended, Mapping) else None,
    )


def _fault(item: Mapping[str, Any]) -> str | None:
    code, said = text(item.get("code")), words(item.get("description") or item.get("message"))
    return f"{code}: {said}" if code and said else said or code


def _plain_text(body: bytes) -> str | None:
    """What a page for people says, without its markup."""
    page = body.decode("utf-8", "replace")
    page = re.sub(r"(?is)<(script|style|head)\b.*?</\1>", " ", page)
    said = re.sub(r"\s+", " ", clean(re.sub(r"<[^>]*>", " ", page))).strip()
    return said[:MAX_WORDS] or None


def _items(content: Any, names: Sequence[str]) -> list[Mapping[str, Any]]:
    found = _find(content, names, 0)
    if found is None:
        raise Unreadable("no list of that kind")
    return found


def _find(content: Any, names: Sequence[str], depth: int) -> list[Mapping[str, Any]] | None:
    """The list of mappings in a document, under whichever of these names, or bare."""
    if depth > _DEEPEST:
        return None
    if isinstance(content, list):
        return [
            inner
            for item in content
            if isinstance(item, Mapping)
            for inner in _unwrapped(item, names, depth)
        ]
    if not isinstance(content, Mapping):
        return [] if content is None and depth else None
    for name in (*names, *_WRAPPERS):
        if name in content and isinstance(content[name], Mapping | list | None):
            found = _find(content[name], names, depth + 1)
            if found is not None:
                return found
    if _is_thing(content):
        return [content]
    if len(content) == 1:
        # A root of their own.
        ((_, inner),) = content.items()
        return _find(inner, names, depth + 1) if isinstance(inner, Mapping | list) else None
    return None


def _unwrapped(
    item: Mapping[str, Any], names: Sequence[str], depth: int
) -> Iterator[Mapping[str, Any]]:
    """Items of a list may each come under their name again: `[{"request": {…}}]`."""
    if len(item) == 1:
        ((name, inner),) = item.items()
        if name in names and isinstance(inner, Mapping | list):
            yield from _find(inner, names, depth + 1) or ()
            return
    yield item


def _is_thing(content: Mapping[str, Any]) -> bool:
    return any(
        name in content
        for name in ("service_request_id", "token", "service_code", "update_id", "description")
    )


def _read_xml(content: bytes) -> Any:
    if _DOCTYPE.search(content):
        # A page for people, or entities that could blow up; Open311 has neither.
        raise Unreadable("a page or a document type")
    try:
        root = ET.fromstring(content)
    except ET.ParseError as error:
        raise Unreadable("broken XML") from error
    name = _name(root)
    if name in ("html", "rss", "feed", "svg"):
        raise Unreadable("a page")
    return {name: _value(root)}


def _value(element: ET.Element, depth: int = 0) -> Any:
    """An element as JSON would have it: children of one name that repeats are a list."""
    children = list(element)
    if not children:
        return (element.text or "").strip() or None
    if depth > 2 * _DEEPEST:
        return None
    found: dict[str, list[Any]] = {}
    for child in children:
        found.setdefault(_name(child), []).append(_value(child, depth + 1))
    return {name: each[0] if len(each) == 1 else each for name, each in found.items()}


def _name(element: ET.Element) -> str:
    return str(element.tag).rpartition("}")[2].lower()


def _iso(found: str) -> datetime:
    # A form that was not escaped turns the plus of a zone into a space.
    return datetime.fromisoformat(re.sub(r"(:\d\d) (\d\d:?\d\d)$", r"\1+\2", found))


def _of_mail(found: str) -> datetime:
    return email.utils.parsedate_to_datetime(found)


def _since_1970(found: str) -> datetime:
    if not re.fullmatch(r"\d{9,13}", found):
        raise ValueError("no instant")
    return datetime.fromtimestamp(int(found) / (1000 if len(found) > 11 else 1), UTC)
