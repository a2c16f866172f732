"""What a stranger may send: each is refused plainly or survived, none is a fault of ours.

The table grows with every fault found: a row, and what the caller is told.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from core.pagination import pack
from tests.house.city import HERE, City, clear, settle

ELSEWHERE = "https://elsewhere.example"
REPORT = {"service_code": "pothole", "lat": HERE.lat, "lon": HERE.lon, "description": "Trou."}


@pytest.fixture(scope="module")
def city(app: Flask) -> Iterator[City]:
    """One city for the whole table; the rows leave nothing behind that another could miss."""
    yield settle(app)
    clear(app)


@pytest.fixture
def client(app: Flask, city: City) -> FlaskClient:
    return app.test_client()


@dataclass(frozen=True, slots=True)
class Bad:
    """One call. `{report}`, `{token}` stand for a report and its tracking token.

    Attributes:
        call: method and path.
        status: what it is answered with.
        caller: who calls.
        names: what the problem must name.
    """

    call: str
    status: int
    sent: Mapping[str, Any] = field(default_factory=dict)
    caller: str = "nobody"
    names: str = ""


def report(**values: Any) -> dict[str, Any]:
    """A call's arguments: a good report but for these fields."""
    return {"json": {**REPORT, **values}}


def raw(body: bytes | str, media_type: str = "application/json", **headers: str) -> dict[str, Any]:
    return {"data": body, "content_type": media_type, "headers": headers}


def form(**fields: Any) -> dict[str, Any]:
    return {
        "data": {name: str(value) for name, value in REPORT.items()} | fields,
        "content_type": "multipart/form-data",
    }


DEEP = "[" * 20_000 + "]" * 20_000
REPORTS = "/api/v1/reports"

PAYLOADS = {
    # -- text that cannot be stored
    "NUL in the description": Bad(
        f"POST {REPORTS}", 422, report(description="a\0b"), names="descr"
    ),
    "half a surrogate pair": Bad(
        f"POST {REPORTS}",
        422,
        raw(json.dumps({**REPORT, "description": "\ud800"})),
        names="description",
    ),
    "NUL in the service": Bad(f"POST {REPORTS}", 422, report(service_code="a\0")),
    "NUL in the jurisdiction": Bad(f"POST {REPORTS}", 422, report(jurisdiction="a\0")),
    "NUL in an attribute": Bad(
        f"POST {REPORTS}", 422, report(service_code="lamp", attributes={"number": "a\0"})
    ),
    "NUL in an attribute's name": Bad(
        f"POST {REPORTS}", 422, report(service_code="lamp", attributes={"a\0": "1"})
    ),
    "surrogate in an attribute's name": Bad(
        f"POST {REPORTS}", 422, raw(json.dumps({**REPORT, "attributes": {"\udfff": "1"}}))
    ),
    "NUL in an e-mail address": Bad(
        f"POST {REPORTS}", 422, report(contact={"email": "a\0@b.example"})
    ),
    "NUL in a phone number": Bad(f"POST {REPORTS}", 422, report(contact={"phone": "0600\0"})),
    "a language with NUL": Bad(f"POST {REPORTS}", 422, report(locale="fr\0")),
    "escape characters": Bad(f"POST {REPORTS}", 422, report(description="\x1b[2J")),
    # -- numbers
    "latitude 95": Bad(f"POST {REPORTS}", 422, report(lat=95), names="lat"),
    "latitude NaN": Bad(
        f"POST {REPORTS}", 422, raw('{"service_code":"pothole","lat":NaN,"lon":3}')
    ),
    "longitude Infinity": Bad(
        f"POST {REPORTS}", 422, raw('{"service_code":"pothole","lat":3,"lon":-Infinity}')
    ),
    "latitude 1e999": Bad(
        f"POST {REPORTS}", 422, raw('{"service_code":"pothole","lat":1e999,"lon":3}')
    ),
    "a number of 5,000 digits": Bad(
        f"POST {REPORTS}", 400, raw('{"service_code":"pothole","lat":' + "9" * 5000 + "}")
    ),
    "a float of 400 digits": Bad(
        f"POST {REPORTS}", 422, raw('{"service_code":"pothole","lon":3,"lat":' + "9" * 400 + "}")
    ),
    "accuracy of minus one": Bad(f"POST {REPORTS}", 422, report(accuracy_m=-1)),
    "position at 0,0": Bad(f"POST {REPORTS}", 422, report(lat=0, lon=0)),
    "half a position": Bad(
        f"POST {REPORTS}", 422, {"json": {"service_code": "pothole", "lat": 43.6}}, names="lon"
    ),
    # -- times
    "tomorrow": Bad(
        f"POST {REPORTS}", 422, report(occurred_at="2999-01-01T00:00:00Z"), names="occurred_at"
    ),
    "year 1, east of Greenwich": Bad(
        f"POST {REPORTS}", 422, report(occurred_at="0001-01-01T00:00:00+14:00")
    ),
    "year 9999, west of Greenwich": Bad(
        f"POST {REPORTS}", 422, report(occurred_at="9999-12-31T23:59:59-14:00")
    ),
    "no time at all": Bad(f"POST {REPORTS}", 422, report(occurred_at="yesterday")),
    "a time that is a number": Bad(f"POST {REPORTS}", 422, report(occurred_at=12)),
    # -- kinds
    "a list for a text": Bad(f"POST {REPORTS}", 422, report(description=["a"])),
    "an object for a text": Bad(f"POST {REPORTS}", 422, report(service_code={"a": 1})),
    "a text for an object": Bad(f"POST {REPORTS}", 422, report(attributes="a")),
    "a list for the contact": Bad(f"POST {REPORTS}", 422, report(contact=[])),
    "an object for an attribute": Bad(
        f"POST {REPORTS}", 422, report(service_code="lamp", attributes={"number": {"a": 1}})
    ),
    "a list for a choice": Bad(
        f"POST {REPORTS}", 422, report(service_code="lamp", attributes={"state": [["off"]]})
    ),
    "an object for a choice": Bad(
        f"POST {REPORTS}", 422, report(service_code="lamp", attributes={"state": {"off": 1}})
    ),
    "a list for everything": Bad(f"POST {REPORTS}", 422, raw("[1]")),
    "null for everything": Bad(f"POST {REPORTS}", 422, raw("null")),
    "a text for everything": Bad(f"POST {REPORTS}", 422, raw('"report"')),
    "an unknown key": Bad(f"POST {REPORTS}", 422, report(colour="red"), names="colour"),
    "an unknown service": Bad(
        f"POST {REPORTS}", 422, report(service_code="nonsense"), names="service_code"
    ),
    "an id that is none": Bad(f"POST {REPORTS}", 422, report(id="17"), names="id"),
    "a hundred other reports": Bad(
        f"POST {REPORTS}", 422, report(not_same_as=["01890a5d-ac96-774b-bcce-b302099a8057"] * 100)
    ),
    "an asset that is none": Bad(
        f"POST {REPORTS}", 422, report(asset_id="01890a5d-ac96-774b-bcce-b302099a8057")
    ),
    "a description of 4,001 characters": Bad(
        f"POST {REPORTS}", 422, report(description="é" * 4001), names="description"
    ),
    "a key of 201 characters": Bad(
        f"POST {REPORTS}",
        422,
        report() | {"headers": {"Idempotency-Key": "k" * 201}},
        names="Idempotency-Key",
    ),
    "an empty key": Bad(
        f"POST {REPORTS}",
        422,
        report() | {"headers": {"Idempotency-Key": ""}},
        names="Idempotency-Key",
    ),
    "calling for somebody else as nobody": Bad(f"POST {REPORTS}", 403, report(on_behalf=True)),
    # -- bodies
    "no body": Bad(f"POST {REPORTS}", 400, raw("")),
    "no JSON": Bad(f"POST {REPORTS}", 400, raw("{")),
    "JSON 20,000 deep": Bad(f"POST {REPORTS}", 400, raw(DEEP)),
    "JSON in latin-1": Bad(f"POST {REPORTS}", 400, raw('{"description": "é"}'.encode("latin-1"))),
    "JSON of two megabytes": Bad(
        f"POST {REPORTS}", 413, raw(json.dumps({**REPORT, "description": "a" * 2_000_000}))
    ),
    "gzipped JSON": Bad(
        f"POST {REPORTS}",
        400,
        raw(gzip.compress(json.dumps(REPORT).encode()), **{"Content-Encoding": "gzip"}),
    ),
    "no media type": Bad(f"POST {REPORTS}", 415, {"data": b"{}"}),
    "XML": Bad(f"POST {REPORTS}", 415, raw("<report/>", "application/xml")),
    "a plain form": Bad(
        f"POST {REPORTS}", 415, raw("service_code=pothole", "application/x-www-form-urlencoded")
    ),
    "multipart without boundary": Bad(f"POST {REPORTS}", 422, raw("x", "multipart/form-data")),
    "multipart that never ends": Bad(
        f"POST {REPORTS}",
        422,
        raw(
            b'--x\r\nContent-Disposition: form-data; name="lat"\r\n\r\n43',
            "multipart/form-data; boundary=x",
        ),
    ),
    "multipart of 2,000 parts": Bad(
        f"POST {REPORTS}", 413, form(**{f"p{number}": "1" for number in range(2000)})
    ),
    "photos that are text": Bad(f"POST {REPORTS}", 422, form(photos="not a file"), names="photos"),
    "a photo that is text": Bad(
        f"POST {REPORTS}", 422, form(photos=(io.BytesIO(b"hello"), "a.jpg")), names="photos"
    ),
    "an empty photo": Bad(
        f"POST {REPORTS}", 422, form(photos=(io.BytesIO(b""), "a.jpg")), names="photos"
    ),
    "a PNG of nothing but its header": Bad(
        f"POST {REPORTS}",
        422,
        form(photos=(io.BytesIO(b"\x89PNG\r\n\x1a\n"), "a.png")),
        names="photos",
    ),
    "six photos": Bad(
        f"POST {REPORTS}",
        422,
        form(photos=[(io.BytesIO(b"x"), f"{each}.jpg") for each in range(6)]),
        names="photos",
    ),
    "attributes that are no JSON": Bad(
        f"POST {REPORTS}", 422, form(attributes="{"), names="attributes"
    ),
    "attributes 20,000 deep": Bad(
        f"POST {REPORTS}", 422, form(attributes=DEEP), names="attributes"
    ),
    "a form in latin-1": Bad(
        f"POST {REPORTS}",
        422,
        raw(
            b'--x\r\nContent-Disposition: form-data; name="service_code"\r\n\r\n'
            b"\xff\xfe\r\n--x--\r\n",
            "multipart/form-data; boundary=x",
        ),
    ),
    "a field of two megabytes": Bad(
        f"POST {REPORTS}",
        413,
        raw(
            b'--x\r\nContent-Disposition: form-data; name="description"\r\n\r\n'
            + b"a" * 2_000_000
            + b"\r\n--x--\r\n",
            "multipart/form-data; boundary=x",
        ),
    ),
    "JSON of two megabytes by another name": Bad(
        f"POST {REPORTS}", 413, raw('"' + "a" * 2_000_000 + '"', "application/vnd.report+json")
    ),
    "half a surrogate pair as a key": Bad(f"POST {REPORTS}", 422, raw(r'{"\ud800": 1}')),
    "half a surrogate pair as the service": Bad(
        f"POST {REPORTS}", 422, raw(json.dumps({**REPORT, "service_code": "\udc00"}))
    ),
}

LISTS = {
    "limit 0": Bad(f"GET {REPORTS}?limit=0", 422, names="limit"),
    "limit -1": Bad(f"GET {REPORTS}?limit=-1", 422, names="limit"),
    "limit of a billion": Bad(f"GET {REPORTS}?limit=1000000000", 422, names="limit"),
    "limit of 5,000 digits": Bad(f"GET {REPORTS}?limit=" + "9" * 5000, 422, names="limit"),
    "a cursor of chance": Bad(f"GET {REPORTS}?cursor=abc", 422, names="cursor"),
    "a cursor of words": Bad(f"GET {REPORTS}?cursor=WyJhIiwiYiJd", 422, names="cursor"),
    "a cursor of numbers": Bad(f"GET {REPORTS}?cursor=WzEsMl0", 422, names="cursor"),
    "a cursor of nulls": Bad(f"GET {REPORTS}?cursor=W251bGwsbnVsbF0", 422, names="cursor"),
    "a cursor of huge numbers": Bad(
        f"GET {REPORTS}?cursor=WzFlMzA4LDFlMzA4XQ", 422, names="cursor"
    ),
    "a cursor of NaN": Bad(f"GET {REPORTS}?cursor=W05hTixOYU5d", 422, names="cursor"),
    "a cursor in Greek": Bad(f"GET {REPORTS}?cursor=%CE%B1", 422, names="cursor"),
    "a cursor with NUL": Bad(f"GET {REPORTS}?cursor=%00", 422, names="cursor"),
    "a box of NaN": Bad(f"GET {REPORTS}?bbox=nan,nan,nan,nan", 422, names="bbox"),
    "a box without end": Bad(f"GET {REPORTS}?bbox=-inf,-inf,inf,inf", 422, names="bbox"),
    "a box upside down": Bad(f"GET {REPORTS}?bbox=3,44,4,43", 422, names="bbox"),
    "a box of three": Bad(f"GET {REPORTS}?bbox=3,44,4", 422, names="bbox"),
    "a box of 5,000 numbers": Bad(
        f"GET {REPORTS}?bbox=" + ",".join(["1"] * 5000), 422, names="bbox"
    ),
    "a circle about NaN": Bad(f"GET {REPORTS}?near=nan,nan&radius_m=5", 422, names="near"),
    "a circle of NaN": Bad(f"GET {REPORTS}?near=43,3&radius_m=nan", 422, names="radius_m"),
    "a circle of minus one": Bad(f"GET {REPORTS}?near=43,3&radius_m=-1", 422, names="radius_m"),
    "a circle about the pole": Bad(f"GET {REPORTS}?near=91,3&radius_m=5", 422, names="near"),
    "an unknown status": Bad(f"GET {REPORTS}?status=lost", 422, names="status"),
    "an unknown city": Bad(f"GET {REPORTS}?jurisdiction=atlantis", 422, names="jurisdiction"),
    "NUL in the service": Bad(f"GET {REPORTS}?service_code=%00", 422, names="service_code"),
    "NUL in the city": Bad(f"GET {REPORTS}?jurisdiction=%00", 422, names="jurisdiction"),
    "NUL in the search": Bad(f"GET {REPORTS}?q=%00", 422, caller="agent", names="q"),
    "NUL in the assignee": Bad(f"GET {REPORTS}?assignee=%00", 422, caller="agent"),
    "NUL in the team": Bad(f"GET {REPORTS}?team=%00", 422, caller="agent"),
    "year 0": Bad(f"GET {REPORTS}?since=0000-01-01T00:00:00Z", 422, names="since"),
    "a cursor of the first hours of year 1": Bad(
        f"GET {REPORTS}?cursor="
        + pack("0001-01-01T00:00:00+14:00", "01890a5d-ac96-774b-bcce-b302099a8057"),
        422,
        names="cursor",
    ),
    "the search of strangers": Bad(f"GET {REPORTS}?q=rue", 401),
    "similar to NaN": Bad(
        f"GET {REPORTS}/similar?service_code=pothole&lat=nan&lon=3", 422, names="lat"
    ),
    "similar to nothing": Bad(f"GET {REPORTS}/similar", 422, names="service_code"),
    "similar elsewhere": Bad(f"GET {REPORTS}/similar?service_code=pothole&lat=0&lon=0", 422),
    "catalogue at NaN": Bad("GET /api/v1/services?lat=nan&lon=nan", 422),
    "catalogue of NUL": Bad("GET /api/v1/services?jurisdiction=%00", 422),
    "a queue called NUL": Bad("GET /api/v1/queues/%00/reports", 404, caller="agent"),
    "a queue of an unknown city": Bad(
        "GET /api/v1/queues/voirie/reports?jurisdiction=%00", 422, caller="agent"
    ),
    "an unknown language": Bad("GET /api/v1/services?locale=%00", 422, names="locale"),
}

PATHS = {
    "nothing": Bad("GET /api/v1/nothing", 404),
    "NUL": Bad("GET /api/v1/%00", 404),
    "no page": Bad("GET /nothing", 404),
    "a page called NUL": Bad("GET /%00", 404),
    "signing in by chance": Bad("POST /sign-in/01890a5d-ac96-774b-bcce-b302099a8057/x", 410),
    "a service called NUL": Bad("GET /api/v1/services/%00", 404),
    "a service called /": Bad("GET /api/v1/services/%2F", 404),
    "a service in bad UTF-8": Bad("GET /api/v1/services/%ff", 404),
    "a report by number": Bad(f"GET {REPORTS}/17", 404),
    "a report that is not": Bad(f"GET {REPORTS}/01890a5d-ac96-774b-bcce-b302099a8057", 404),
    "a report with a wrong token": Bad(f"GET {REPORTS}/{{report}}?token=wrong", 404),
    "a token in Greek": Bad(f"GET {REPORTS}/{{report}}?token=%CE%B1", 404),
    "a token with NUL": Bad(f"GET {REPORTS}/{{report}}?token=%00", 422),
    "climbing out": Bad("GET /static/%2e%2e/%2e%2e/wsgi.py", 404),
    "climbing out by backslash": Bad("GET /static/..%5c..%5cwsgi.py", 404),
    "a photo that is not": Bad("GET /media/01890a5d-ac96-774b-bcce-b302099a8057/large.jpg", 404),
    "a photo of a strange size": Bad(
        "GET /media/01890a5d-ac96-774b-bcce-b302099a8057/%00.jpg", 404
    ),
    "a page of a city called NUL": Bad("GET /report/%00/1", 404),
    "a page of a huge number": Bad("GET /report/montpellier/99999999999999999999999", 404),
    "a page of a report that is not": Bad("GET /reports/01890a5d-ac96-774b-bcce-b302099a8057", 404),
    "a queue page called NUL": Bad("GET /staff/queues/%00", 404),
    "a tracking page with a wrong token": Bad("GET /r/{report}/wrong", 404),
    "a tracking page with NUL": Bad("GET /r/{report}/%00", 404),
    "an action that is none": Bad("POST /r/{report}/{token}/explode", 404),
    "confirming nothing": Bad("POST /confirm/01890a5d-ac96-774b-bcce-b302099a8057/%00", 404),
    "leaving nothing": Bad("POST /leave/01890a5d-ac96-774b-bcce-b302099a8057/x", 404),
}

WRITES = {
    "a status that is none": Bad(
        f"POST {REPORTS}/{{report}}/status", 422, {"json": {"status": "lost"}}, "manager", "status"
    ),
    "a status as a number": Bad(
        f"POST {REPORTS}/{{report}}/status", 422, {"json": {"status": 7}}, "manager", "status"
    ),
    "a note with NUL": Bad(
        f"POST {REPORTS}/{{report}}/comments", 422, {"json": {"note": "a\0"}}, "manager", "note"
    ),
    "a comment that says nothing": Bad(
        f"POST {REPORTS}/{{report}}/comments", 422, {"json": {}}, "manager"
    ),
    "a stale version": Bad(
        f"POST {REPORTS}/{{report}}/comments",
        412,
        {"json": {"note": "a"}, "headers": {"If-Match": '"99"'}},
        "manager",
    ),
    "a version of chance": Bad(
        f"POST {REPORTS}/{{report}}/comments",
        412,
        {"json": {"note": "a"}, "headers": {"If-Match": "garbage"}},
        "manager",
    ),
    "a version with something after it": Bad(
        f"POST {REPORTS}/{{report}}/comments",
        412,
        {"json": {"note": "a"}, "headers": {"If-Match": '"1"0'}},
        "manager",
    ),
    "no version in the header for it": Bad(
        f"POST {REPORTS}/{{report}}/comments",
        412,
        {"json": {"note": "a"}, "headers": {"If-Match": ""}},
        "manager",
    ),
    "a weak version": Bad(
        f"POST {REPORTS}/{{report}}/comments",
        412,
        {"json": {"note": "a"}, "headers": {"If-Match": 'W/"1"'}},
        "manager",
    ),
    "a team called NUL": Bad(
        f"POST {REPORTS}/{{report}}/assignment", 422, {"json": {"team": "\0"}}, "manager"
    ),
    "a team that is not": Bad(
        f"POST {REPORTS}/{{report}}/assignment", 422, {"json": {"team": "none"}}, "manager"
    ),
    "a person that is not": Bad(
        f"POST {REPORTS}/{{report}}/assignment",
        422,
        {"json": {"person": "01890a5d-ac96-774b-bcce-b302099a8057"}},
        "manager",
    ),
    "a duplicate of itself": Bad(
        f"POST {REPORTS}/{{report}}/duplicate-of", 409, {"json": {"report": "{report}"}}, "manager"
    ),
    "a duplicate of a huge number": Bad(
        f"POST {REPORTS}/{{report}}/duplicate-of", 422, {"json": {"report": 10**30}}, "manager"
    ),
    "a duplicate of NUL": Bad(
        f"POST {REPORTS}/{{report}}/duplicate-of", 422, {"json": {"report": "\0"}}, "manager"
    ),
    "a duplicate of a surrogate": Bad(
        f"POST {REPORTS}/{{report}}/duplicate-of", 422, raw(r'{"report": "\ud800"}'), "manager"
    ),
    "a service called NUL": Bad(
        f"POST {REPORTS}/{{report}}/service", 422, {"json": {"service_code": "\0"}}, "manager"
    ),
    "a place at NaN": Bad(
        f"POST {REPORTS}/{{report}}/place", 422, raw('{"lat": NaN, "lon": NaN}'), "manager"
    ),
    "photos that are none": Bad(
        f"POST {REPORTS}/{{report}}/photos",
        422,
        {"data": {}, "content_type": "multipart/form-data"},
        "manager",
        "photos",
    ),
    "words without a token": Bad(
        f"POST {REPORTS}/{{report}}/additions", 404, {"json": {"text": "a"}}
    ),
    "words with NUL": Bad(
        f"POST {REPORTS}/{{report}}/additions?token={{token}}",
        422,
        {"json": {"text": "\0"}},
        names="text",
    ),
    "words that are a list": Bad(
        f"POST {REPORTS}/{{report}}/additions?token={{token}}", 422, raw("[]")
    ),
    "an answer to nothing": Bad(
        f"POST {REPORTS}/{{report}}/answer?token={{token}}", 409, {"json": {"text": "a"}}
    ),
    "following with NUL": Bad(
        f"POST {REPORTS}/{{report}}/followers",
        422,
        {"json": {"email": "\0@a.example"}},
        names="email",
    ),
    "following as nobody": Bad(f"POST {REPORTS}/{{report}}/followers", 422, {"json": {}}),
    "leaving as nobody": Bad(f"DELETE {REPORTS}/{{report}}/followers", 401),
    "leaving by a wrong link": Bad(
        f"DELETE {REPORTS}/{{report}}/followers?follower={{report}}&token=x", 404
    ),
    "no such token": Bad("GET /api/v1/me", 401, {"headers": {"Authorization": "Bearer x"}}),
    "a token with NUL": Bad("GET /api/v1/me", 401, {"headers": {"Authorization": "Bearer a\0b"}}),
    "a token outside ASCII": Bad("GET /api/v1/me", 401, {"headers": {"Authorization": "Bearer é"}}),
    "a password": Bad("GET /api/v1/me", 401, {"headers": {"Authorization": "Basic eDp5"}}),
    "half a header": Bad("GET /api/v1/me", 401, {"headers": {"Authorization": "Bearer"}}),
    "a sign-in with NUL": Bad(
        "POST /api/v1/sessions", 422, {"json": {"email": "a\0@b.example", "password": "x"}}
    ),
    "a password of a megabyte": Bad(
        "POST /api/v1/sessions", 422, {"json": {"email": "a@b.example", "password": "x" * 900_000}}
    ),
    "a password of surrogates": Bad(
        "POST /api/v1/sessions", 422, raw(r'{"email": "a@b.example", "password": "\ud800"}')
    ),
    "a wrong password": Bad(
        "POST /api/v1/sessions", 401, {"json": {"email": "a@b.example", "password": "x"}}
    ),
    "a code in Arabic digits": Bad(
        "POST /api/v1/sessions", 401, {"json": {"email": "a@b.example", "code": "١٢٣٤٥٦"}}
    ),
}

METHODS = {
    "PUT on reports": Bad(f"PUT {REPORTS}", 405),
    "PATCH on a report": Bad(f"PATCH {REPORTS}/{{report}}", 405),
    "DELETE on services": Bad("DELETE /api/v1/services", 405),
    "TRACE": Bad(f"TRACE {REPORTS}", 405),
    "a method nobody knows": Bad(f"BREW {REPORTS}", 405),
    "POST to the front page": Bad("POST /", 405),
    "POST to the health": Bad("POST /healthz", 405),
}

TABLE = [
    pytest.param(bad, id=f"{kind}: {name}")
    for kind, rows in (
        ("report", PAYLOADS),
        ("list", LISTS),
        ("path", PATHS),
        ("write", WRITES),
        ("method", METHODS),
    )
    for name, bad in rows.items()
]


def send(client: FlaskClient, city: City, bad: Bad) -> TestResponse:
    """Make the call."""
    some = next(iter(city.reports))

    def filled(text: str) -> str:
        return text.replace("{report}", str(some)).replace("{token}", city.reports[some])

    method, _, url = bad.call.partition(" ")
    sent = dict(bad.sent)
    accept = {} if "/api/" in url else {"Accept": "text/html,*/*;q=0.8"}
    sent["headers"] = {**accept, **city.callers[bad.caller], **sent.get("headers", {})}
    if "json" in sent:
        sent["data"] = filled(json.dumps(sent.pop("json")))
        sent["content_type"] = "application/json"
    return client.open(filled(url), method=method, **sent)


@pytest.mark.parametrize("bad", TABLE)
def test_bad_input_is_refused_by_name(client: FlaskClient, city: City, bad: Bad) -> None:
    answer = send(client, city, bad)
    assert answer.status_code == bad.status, answer.get_data(as_text=True)[:500]
    if bad.status == 405:
        assert answer.headers["Allow"]
    if "/api/" in bad.call:
        assert answer.mimetype == "application/problem+json"
        problem = answer.get_json()
        assert problem["status"] == bad.status
        assert problem["code"]
        assert problem["detail"]
        if bad.names:
            assert any(bad.names in name for name in problem["errors"]), problem["errors"]
    elif not bad.call.startswith(("GET /static", "GET /media", "POST /healthz")):
        assert answer.mimetype == "text/html"
        assert "</html>" in answer.get_data(as_text=True)


@pytest.mark.parametrize("accept", ["", "text/plain", "image/*;q=nan", "*/*;q=0", "a/b/c,,;", "é"])
def test_json_is_what_there_is_whatever_a_program_accepts(client: FlaskClient, accept: str) -> None:
    answer = client.get("/api/v1/services", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.mimetype == "application/json"


@pytest.mark.parametrize("language", ["", "*", "xx", "fr;q=abc", ",,;=", "é", "fr-" + "x" * 5000])
def test_a_strange_language_is_answered_in_one_we_speak(client: FlaskClient, language: str) -> None:
    headers = {"Accept-Language": language}
    assert client.get("/api/v1/services", headers=headers).status_code == 200
    assert client.get("/", headers=headers).headers["Content-Language"] in ("fr", "en")


def test_an_id_in_capitals_is_the_same_id(client: FlaskClient, city: City) -> None:
    one = next(iter(city.reports))
    answer = client.get(f"{REPORTS}/{str(one).upper()}")
    assert answer.status_code == 200
    assert answer.get_json()["id"] == str(one)


@pytest.mark.parametrize("spelling", ["{{{}}}", "urn:uuid:{}", "{}%20", "%7B{}%7D"])
def test_other_spellings_of_an_id_name_nothing(
    client: FlaskClient, city: City, spelling: str
) -> None:
    one = next(iter(city.reports))
    assert client.get(f"{REPORTS}/{spelling.format(one)}").status_code == 404


def test_a_query_in_bad_utf8_finds_nothing_and_breaks_nothing(client: FlaskClient) -> None:
    answer = client.get("/api/v1/services?jurisdiction=%ff%fe")
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "filters",
    ["since=0001-01-01T00:00:00%2B14:00", "until=9999-12-31T23:59:59-14:00", "area=a:%00"],
)
def test_the_ends_of_time_and_areas_of_nowhere_are_only_filters(
    client: FlaskClient, filters: str
) -> None:
    assert client.get(f"{REPORTS}?{filters}").status_code == 200


def test_a_filter_said_twice_is_taken_once(client: FlaskClient) -> None:
    assert client.get(f"{REPORTS}?limit=1&limit=2").status_code == 200


@pytest.mark.parametrize("path", ["/", "/healthz", "/docs", "/api/v1/services", REPORTS])
def test_head_is_get_without_a_body(client: FlaskClient, path: str) -> None:
    answer = client.head(path)
    assert answer.status_code == 200
    assert answer.get_data() == b""


def test_a_page_elsewhere_may_ask_and_write_but_gets_no_credentials(client: FlaskClient) -> None:
    answer = client.options(
        REPORTS,
        headers={
            "Origin": ELSEWHERE,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type, idempotency-key, x-tracking-token",
        },
    )
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", ELSEWHERE)
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    assert {"content-type", "idempotency-key", "x-tracking-token"} <= set(allowed.split(", "))
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_pages_are_nobody_elses(client: FlaskClient) -> None:
    answer = client.get("/", headers={"Origin": ELSEWHERE})
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_an_error_can_be_read_from_a_page_elsewhere(client: FlaskClient) -> None:
    answer = client.get(f"{REPORTS}/17", headers={"Origin": ELSEWHERE})
    assert answer.status_code == 404
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", ELSEWHERE)
