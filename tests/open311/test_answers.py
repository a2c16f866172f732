"""Reading other systems: whatever shape an answer has, it says the same, or is no answer."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.measures import Point
from open311 import answers
from open311.answers import Unreadable

#: The same request, told in the ways that are met in the field.
SHAPES = [
    b'[{"service_request_id": "12", "status": "open"}]',
    b'[{"service_request_id": 12, "status": "open"}]',
    b'[{"service_request_id": 12.0, "status": "open"}]',
    b'{"service_request_id": 12, "status": "open"}',
    b'{"requests": [{"service_request_id": "12", "status": "open"}]}',
    b'{"service_requests": [{"request": {"service_request_id": "12", "status": "open"}}]}',
    b'{"service_requests": {"request": {"service_request_id": 12, "status": "open"}}}',
    b'{"response": {"data": {"requests": [{"service_request_id": 12, "status": "open"}]}}}',
    b'\xef\xbb\xbf [{"service_request_id": "12", "status": " open "}]\n',
    (
        b"<service_requests><request><service_request_id>12</service_request_id>"
        b"<status>open</status></request></service_requests>"
    ),
    (
        b'<?xml version="1.0" encoding="utf-8"?>\n<requests type="array">\n<request>'
        b"<service_request_id> 12 </service_request_id><status>open</status></request></requests>"
    ),
    (
        b'<a:requests xmlns:a="urn:x"><a:request><a:service_request_id>12</a:service_request_id>'
        b"<a:status>open</a:status></a:request></a:requests>"
    ),
    b"<request><service_request_id>12</service_request_id><status>open</status></request>",
]


@pytest.mark.parametrize("body", SHAPES)
def test_a_request_is_read_from_whatever_it_is_wrapped_in(body: bytes) -> None:
    [found] = answers.requests(answers.read(body))
    assert (found.id, found.status) == ("12", "open")


@pytest.mark.parametrize(
    "body",
    [b"[]", b'{"requests": []}', b"<service_requests/>", b"<requests> </requests>"],
)
def test_an_empty_list_is_a_list(body: bytes) -> None:
    assert answers.requests(answers.read(body)) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"OK",
        b"<!DOCTYPE html><html><body>Bad gateway</body></html>",
        b"<html><body>Sign in</body></html>",
        b'[{"service_request_id": "12"',
        b"<requests><request>",
        b'<!DOCTYPE a [<!ENTITY b "cc">]><requests>&b;</requests>',
        b"{}",
        b'{"message": "Hello"}',
        b'"12"',
        b"null",
        b"12",
    ],
)
def test_what_is_no_answer_is_not_guessed_at(body: bytes) -> None:
    with pytest.raises(Unreadable):
        answers.requests(answers.read(body))


def test_several_requests_in_xml_are_several() -> None:
    body = b"<r><request><token>a</token></request><request><token>b</token></request></r>"
    assert [one.token for one in answers.requests(answers.read(body))] == ["a", "b"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (True, True),
        ("true", True),
        ("True", True),
        (1, True),
        ("1", True),
        ("yes", True),
        (False, False),
        ("false", False),
        ("0", False),
        ("", None),
        (None, None),
        ("perhaps", None),
    ],
)
def test_truths_are_read_as_words_too(written: object, meant: bool | None) -> None:
    assert answers.boolean(written) is meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-03-11T10:00:00Z", datetime(2026, 3, 11, 10, tzinfo=UTC)),
        ("2026-03-11T10:00:00+01:00", datetime(2026, 3, 11, 9, tzinfo=UTC)),
        ("2026-03-11T10:00:00 01:00", datetime(2026, 3, 11, 9, tzinfo=UTC)),
        ("2026-03-11T10:00:00.250-0500", datetime(2026, 3, 11, 15, 0, 0, 250000, tzinfo=UTC)),
        ("2026-03-11T10:00:00", datetime(2026, 3, 11, 9, tzinfo=UTC)),
        ("2026-03-11 10:00:00", datetime(2026, 3, 11, 9, tzinfo=UTC)),
        ("Wed, 11 Mar 2026 10:00:00 GMT", datetime(2026, 3, 11, 10, tzinfo=UTC)),
        (1773223200, datetime(2026, 3, 11, 10, tzinfo=UTC)),
        ("1773223200000", datetime(2026, 3, 11, 10, tzinfo=UTC)),
        ("yesterday", None),
        ("", None),
        (None, None),
        ("0001-01-01T00:00:00+14:00", None),
    ],
)
def test_times_are_read_in_many_forms(written: object, meant: datetime | None) -> None:
    assert answers.moment(written, ZoneInfo("Europe/Paris")) == meant


def test_positions_may_be_texts_and_nowhere_is_none() -> None:
    assert answers.point("43.6", "3.88") == Point(43.6, 3.88)
    assert answers.point(0, 0) is None
    assert answers.point("north", None) is None
    assert answers.point(430, 3) is None


def test_a_refusal_is_told_in_its_own_words() -> None:
    body = b'[{"code": 400, "description": "service_code was not provided"}]'
    assert answers.is_refusal(answers.read(body))
    assert answers.faults(body) == "400: service_code was not provided"
    xml = b"<errors><error><code>403</code><description>No key</description></error></errors>"
    assert answers.faults(xml) == "403: No key"
    page = b"<html><head><title>x</title></head><body><h1>Not found</h1></body></html>"
    assert answers.faults(page) == "Not found"
    assert not answers.is_refusal(answers.read(b'[{"service_request_id": 1}]'))


def test_a_catalogue_is_read_with_kinds_and_string_booleans() -> None:
    body = (
        b"<services><service><service_code>1</service_code><service_name>A</service_name>"
        b"<metadata>true</metadata><type>Batch</type></service><service><service_code>2"
        b"</service_code></service></services>"
    )
    first, second = answers.services(answers.read(body))
    assert (first.code, first.kind, first.has_metadata) == ("1", "batch", True)
    assert (second.code, second.kind, second.has_metadata) == ("2", None, None)


@given(st.binary(max_size=400) | st.text(max_size=400).map(str.encode))
def test_no_bytes_do_harm(body: bytes) -> None:
    answers.faults(body)
    try:
        content = answers.read(body)
        answers.is_refusal(content)
        answers.requests(content)
        answers.updates(content)
        answers.services(content)
    except Unreadable:
        pass


def test_deep_nesting_is_no_answer() -> None:
    with pytest.raises(Unreadable):
        answers.requests(answers.read(b"[" * 100_000))
    with pytest.raises(Unreadable):
        answers.requests(answers.read(b"<a>" * 100_000 + b"</a>" * 100_000))
