"""Parameter sets of somebody who means harm, or whose program is broken: drawn by a seed.

`calls(seed, count)` gives the same calls for the same seed. `sound(answer)` says what is wrong with
an answer to one of them: the server may refuse in the standard's words, and nothing else.
"""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode
from xml.etree import ElementTree as ET

#: Names that the server knows, or could take for one.
NAMES = (
    "api_key",
    "jurisdiction_id",
    "service_code",
    "service_request_id",
    "lat",
    "long",
    "radius",
    "bbox",
    "address_string",
    "address_id",
    "email",
    "phone",
    "first_name",
    "last_name",
    "description",
    "media_url",
    "device_id",
    "account_id",
    "status",
    "start_date",
    "end_date",
    "updated_after",
    "updated_before",
    "page",
    "page_size",
    "extensions",
    "update_id",
    "updated_datetime",
    "attribute[line]",
    "attribute[many][]",
    "attribute[one]",
    "attribute[count]",
    "attribute[seen]",
    "attribute[",
    "attribute[]",
    "attribute[[]]",
    "attribute[\0]",
    "locale",
    "callback",
    "format",
    "constructor",
    "__proto__",
    "\0",
    "%",
    "",
)

VALUES = (
    "",
    " ",
    "\0",
    "a\0b",
    "\x0b\x1b\x7f",
    "\ud800",
    "\ufffe\uffff",
    "é",
    "🕳️" * 50,
    "\u202e\u200b",
    "null",
    "undefined",
    "NaN",
    "inf",
    "-Infinity",
    "1e309",
    "-0",
    "0",
    "1",
    "-1",
    "99999999999999999999999999",
    "9" * 400,
    "0x10",
    "1_000",
    "١٢٣",
    "43.6086",
    "3.8797",
    "91",
    "-181",
    "43,6086",
    "true",
    "TRUE",
    "maybe",
    "open",
    "closed",
    "open,closed,,",
    "OPEN",
    ",",
    "," * 2000,
    "a," * 1500,
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00+99:99",
    "2026-01-01T25:00:00Z",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-14:00",
    "2026-02-30",
    "2026-01-01",
    "0000-00-00",
    "yesterday",
    "-180,-90,180,90",
    "180,0,-180,0",
    "0,0,0,0",
    "1,2,3,4,5",
    "nan,nan,nan,nan",
    "' OR 1=1 --",
    "'; DROP TABLE services; --",
    "<script>alert(1)</script>",
    "]]><!ENTITY x SYSTEM 'file:///etc/passwd'>",
    "../../etc/passwd",
    "..%2f..%2f",
    "%00",
    "%",
    "%ff%fe",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "=cmd|' /C calc'!A0",
    "a@b.example",
    "@",
    "+33612345678",
    "x" * 4000,
    "x" * 4001,
    "x" * 70_000,
    "\r\nSet-Cookie: a=b",
    "line\r\nline\rline\nline",
    "00000000-0000-0000-0000-000000000000",
    "01890000-0000-7000-8000-000000000000",
    "1001",
    "#1001",
    "18446744073709551616",
    "rvk_x",
    "rvs_x",
    "nid-de-poule",
    "questions",
    "encombrants",
    "montpellier",
    "run",
)

#: The first asks nothing.
SERVICES = ("trottoir-degrade", "questions", "logement", "encombrants")

PATHS = (
    "requests",
    "requests",
    "requests",
    "services",
    "services/questions",
    "services/{value}",
    "requests/{value}",
    "tokens/{value}",
    "servicerequestupdates",
    "discovery",
    "{value}",
    "requests/{value}/{value}",
)

SUFFIXES = (".json", ".json", ".xml", ".xml", "", ".csv", ".yaml", ".html", ".", "..json", ".JSON")
BASES = ("/open311/v2/", "/open311/v2/", "/open311/montpellier/v2/", "/open311/{value}/v2/")
METHODS = ("GET", "GET", "GET", "POST", "POST", "POST", "HEAD", "PUT", "DELETE", "PATCH", "BREW")
TYPES = (
    "application/x-www-form-urlencoded",
    "application/x-www-form-urlencoded; charset=utf-8",
    "application/x-www-form-urlencoded; charset=latin-1",
    "application/json",
    "text/xml",
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "multipart/form-data; boundary=x",
    "nonsense",
    "",
)
ACCEPTS = ("*/*", "application/json", "text/xml", "text/html", "nonsense", "", "a/b;q=x,,,")


@dataclass(frozen=True, slots=True)
class Call:
    """One call, ready to be sent."""

    method: str
    url: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def calls(seed: int, count: int, key: str) -> Iterator[Call]:
    """So many calls, most of them signed with a key that is good."""
    chance = random.Random(seed)
    for _ in range(count):
        yield _call(chance, key)


def _call(chance: random.Random, key: str) -> Call:
    def value() -> str:
        return quote(chance.choice(VALUES)[:300], safe="", errors="surrogatepass")

    if chance.random() < 0.2:
        return _nearly_good(chance, key)
    method = chance.choice(METHODS)
    path = chance.choice(BASES) + chance.choice(PATHS) + chance.choice(SUFFIXES)
    path = path.replace("{value}", value() or "x")
    # Few of them so long that no web server reads on.
    longest = 100_000 if chance.random() < 0.03 else 300
    query = [(name, text) for name, text in _pairs(chance, 6) if len(text) <= longest]
    headers = {"Accept": chance.choice(ACCEPTS)}
    body = b""
    if method not in ("GET", "HEAD"):
        form = _pairs(chance, 8)
        if chance.random() < 0.8:
            form.append(("api_key", key))
        if chance.random() < 0.5:
            form += [("lat", "43.6086"), ("long", "3.8797")]
        if chance.random() < 0.5:
            form.append(("service_code", chance.choice(SERVICES)))
        headers["Content-Type"] = chance.choice(TYPES) if chance.random() < 0.4 else TYPES[0]
        body = _body(chance, form, headers["Content-Type"])
    if chance.random() < 0.1:
        headers["Authorization"] = chance.choice(("Bearer", "Bearer x", "Basic eDp5", "x" * 3000))
    if chance.random() < 0.1:
        headers["Idempotency-Key"] = chance.choice(("k", "x" * 300, "\xe9"))
    if chance.random() < 0.1:
        headers["If-None-Match"] = chance.choice(("*", "W/", '"', 'W/"x"'))
    text = urlencode(query, errors="surrogatepass")
    if chance.random() < 0.05:
        text += "&%ff=%fe&=&&&%"
    return Call(method, f"{path}?{text}", body, headers)


def _nearly_good(chance: random.Random, key: str) -> Call:
    """One that is taken, or whose words alone are in the way."""
    form = [("api_key", key), ("lat", "43.6086"), ("long", "3.8797"), ("service_code", SERVICES[0])]
    form += [
        (name, chance.choice(VALUES))
        for name in ("description", "address_string", "phone", "last_name", "media_url", "x")
        if chance.random() < 0.5
    ]
    suffix = chance.choice((".json", ".xml"))
    headers = {"Content-Type": TYPES[0]}
    body = urlencode(form, errors="surrogatepass").encode()
    return Call("POST", f"/open311/montpellier/v2/requests{suffix}", body, headers)


def _pairs(chance: random.Random, most: int) -> list[tuple[str, str]]:
    return [(chance.choice(NAMES), chance.choice(VALUES)) for _ in range(chance.randint(0, most))]


def _body(chance: random.Random, form: Sequence[tuple[str, str]], content_type: str) -> bytes:
    kind = chance.random()
    if "boundary=x" in content_type:
        parts = "".join(
            f'--x\r\nContent-Disposition: form-data; name="{name}"'
            f"{'; filename=a.jpg' if name == 'media_url' else ''}\r\n\r\n{text}\r\n"
            for name, text in form
        )
        whole = (parts + "--x--\r\n").encode("utf-8", "surrogatepass")
        return whole if kind < 0.7 else whole[: len(whole) // 2]
    if content_type == "application/json":
        return b"[" * 5000 if kind < 0.3 else b'{"lat": NaN}'
    if kind < 0.05:
        return bytes(range(256)) * 4
    if kind < 0.08:
        return b"&".join(b"a=%d" % number for number in range(2000))
    return urlencode(form, errors="surrogatepass").encode()


def sound(status: int, content_type: str, body: bytes, method: str) -> str | None:
    """What is wrong with an answer; None for one that the standard knows."""
    if status not in (200, 304, 400, 403, 404):
        return f"status {status}"
    if method == "HEAD" or status == 304:
        return None
    try:
        text = body.decode()
        if content_type == "application/json; charset=utf-8":
            return _fault_of(status, json.loads(text))
        if content_type == "text/xml; charset=utf-8":
            root = ET.fromstring(body)
            if status == 200:
                return None
            found = [{part.tag: part.text for part in error} for error in root]
            return _fault_of(status, found) if root.tag == "errors" else f"root {root.tag}"
        if content_type == "text/csv; charset=utf-8" and status == 200:
            widths = {len(row) for row in csv.reader(io.StringIO(text, newline=""))}
            return None if widths == {14} else f"widths {widths}"
    except (ValueError, ET.ParseError) as error:
        return f"unreadable: {error}"
    return f"content type {content_type}"


def _fault_of(status: int, document: object) -> str | None:
    if status == 200:
        return None
    if not isinstance(document, list) or not document:
        return "no list of errors"
    for error in document:
        if set(error) != {"code", "description"} or not error["description"]:
            return f"no error: {error}"
    return None
