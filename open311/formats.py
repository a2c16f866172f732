"""One document in two forms: JSON, and XML without attributes or namespaces. Pure.

A document is made of dicts, lists, texts, numbers, booleans and None. Both forms say the same,
field for field (the standard's "Spark convention"): a list is a container of items in XML, whose
name `ITEMS` knows, and an array in JSON, of one item too; the root is named in XML only; an empty
text is null in JSON and an empty element in XML.

Lists are written in pieces, so that a long one never stands in memory as a whole.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape

#: What each item of a container is called in XML.
ITEMS: Mapping[str, str] = {
    "services": "service",
    "attributes": "attribute",
    "values": "value",
    "service_requests": "request",
    "errors": "error",
    "endpoints": "endpoint",
    "formats": "format",
    "service_request_updates": "request_update",
    "notes": "note",
    "photos": "photo",
}

#: What XML 1.0 cannot hold (section 2.2). Stored text has none of it; an error may repeat what was
#: sent.
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")

#: What has to be written otherwise in XML.
_MARKUP = re.compile("[&<>\r]")

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)

_DECLARATION = '<?xml version="1.0" encoding="utf-8"?>\n'


class Format(enum.Enum):
    """A form of documents: its suffix in a path, its MIME type, its header."""

    XML = ("xml", "text/xml")
    JSON = ("json", "application/json")

    def __init__(self, suffix: str, mime: str) -> None:
        self.suffix = suffix
        self.mime = mime

    @property
    def content_type(self) -> str:
        """The header that the standard asks for."""
        return f"{self.mime}; charset=utf-8"


def of_suffix(suffix: str) -> Format | None:
    """The format that a path names by its end."""
    return next((each for each in Format if each.suffix == suffix.lower()), None)


def legal(text: str) -> str:
    """The text without what neither form can hold."""
    if text.isprintable():
        # Many times as fast as a search, and true of nearly every line.
        return text
    return _ILLEGAL.sub("", text) if _ILLEGAL.search(text) is not None else text


def words(text: str | None) -> str | None:
    """A text as a document holds it: legal, and None when it is empty."""
    return legal(text) or None if text else None


def written(form: Format, root: str, document: Any) -> str:
    """A whole document."""
    if form is Format.JSON:
        return _json(document)
    return f"{_DECLARATION}{_element(root, document)}"


def pieces(
    form: Format, root: str, batches: Iterable[Iterable[Mapping[str, Any]]]
) -> Iterator[str]:
    """A list, a piece for each batch of its items; the first piece comes with the first batch."""
    is_json = form is Format.JSON
    item = ITEMS[root]
    head = "[" if is_json else f"{_DECLARATION}<{root}>"
    for batch in batches:
        if is_json:
            # Of the array of a batch, what stands between its brackets.
            text = _json(list(batch))[1:-1]
            if text:
                yield head + text
                head = ","
        else:
            text = "".join(_element(item, each) for each in batch)
            if text:
                yield head + text
                head = ""
    if is_json:
        yield "[]" if head == "[" else "]"
    else:
        yield f"{head}</{root}>"


def _json(document: Any) -> str:
    return legal(_ENCODER.encode(document))


def _element(name: str, value: Any) -> str:
    if isinstance(value, str):
        return f"<{name}>{_text(value)}</{name}>" if value else f"<{name}/>"
    if value is None:
        return f"<{name}/>"
    if isinstance(value, Mapping):
        inner = "".join([_element(key, part) for key, part in value.items()])
    elif isinstance(value, (list, tuple)):
        item = ITEMS[name]
        inner = "".join([_element(item, part) for part in value])
        if not inner:
            return f"<{name}/>"
    else:
        # Numbers and booleans are written in JSON's own way.
        inner = json.dumps(value, allow_nan=False)
    return f"<{name}>{inner}</{name}>"


def _text(text: str) -> str:
    text = legal(text)
    if _MARKUP.search(text) is None:
        return text
    # A carriage return would be read as a line feed (XML 1.0, section 2.11).
    return escape(text, {"\r": "&#13;"})
