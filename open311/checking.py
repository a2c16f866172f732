"""What another system's endpoint supports, found out by asking: for `flask open311 check`.

Only reads; nothing is ever posted. Each finding is one line for an operator, and at the end stands
what the city folder would say of this endpoint.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from core.outgoing import Allowance
from open311 import answers
from open311.answers import ForeignRequest, ForeignService, Unreadable
from open311.client import Address, Failure, Remote, seconds

#: Requests of so many days are looked at.
_DAYS = timedelta(days=30)

_ZONED = re.compile(rb"T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)")
_TIMED = re.compile(rb"T\d\d:\d\d")


class Mark(enum.Enum):
    """How a finding stands."""

    YES = "yes"
    NO = "no"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried."""

    mark: Mark
    what: str
    said: str = ""


@dataclass(slots=True)
class _Seen:
    """What is known so far, for the questions that build on it."""

    format: str = "json"
    forms: list[str] = field(default_factory=list)
    services: Sequence[ForeignService] = ()
    requests: Sequence[ForeignRequest] = ()
    list: str = "ids"
    has_updates: bool = False
    has_extensions: bool = False
    is_read_without_zone: bool = False


def endpoint_of(url: str) -> str:
    """The address of the endpoint itself, of whichever address of it somebody has at hand."""
    return re.sub(r"/(?:(?:discovery|services|requests)\.(?:json|xml))?(?:\?.*)?$", "", url)


def check(
    address: Address, allow: Allowance, *, now: datetime, timeout_s: float = 15.0
) -> Iterator[Finding]:
    """Try everything that the client uses; each finding as it is known."""
    seen = _Seen()
    lines = {
        form: Remote(replace(address, format=form), allow, reading_timeout_s=timeout_s)
        for form in ("json", "xml")
    }
    try:
        yield from _discovery(lines["json"])
        yield from _services(lines, seen)
        if not seen.services:
            return
        line = lines[seen.format]
        yield from _definition(line, seen)
        yield from _requests(lines, seen, now)
        if seen.requests:
            yield from _following(line, seen, now)
        yield from _faults(line)
        yield from _updates(line, seen, now)
        yield Finding(Mark.NOTE, "in teams.yaml", _advice(address, seen))
    finally:
        for line in lines.values():
            line.close()


def _discovery(line: Remote) -> Iterator[Finding]:
    """Beside the endpoint, or at the root of it."""
    base = line.address.url
    for url in (f"{base}/discovery", f"{base.rpartition('/')[0]}/discovery"):
        for form in ("json", "xml"):
            answer = line.get(f"{url}.{form}")
            if isinstance(answer, Failure):
                if answer.is_silence or answer.reason.startswith("not called"):
                    yield Finding(Mark.NO, "discovery", answer.reason)
                    return
                continue
            try:
                content = answers.read(answer.body)
            except Unreadable:
                continue
            yield Finding(Mark.YES, "discovery", f"{url}.{form}{_endpoints(content)}")
            return
    yield Finding(Mark.NO, "discovery", "none beside the endpoint; it is not needed")


def _endpoints(content: Any) -> str:
    """How many endpoints it names, however it is wrapped."""
    while isinstance(content, dict) and "endpoints" not in content and len(content) == 1:
        (content,) = content.values()
    listed = content.get("endpoints") if isinstance(content, dict) else None
    if isinstance(listed, dict):
        listed = listed.get("endpoint", listed)
    count = len(listed) if isinstance(listed, list) else 1 if listed else 0
    return f", {count} endpoint{'s' if count != 1 else ''}" if count else ""


def _services(lines: dict[str, Remote], seen: _Seen) -> Iterator[Finding]:
    for form in ("xml", "json"):
        what, line = f"services in {form.upper()}", lines[form]
        answer = line.get(line.url_of("services"))
        if isinstance(answer, Failure):
            yield Finding(Mark.NO, what, _why(answer))
            continue
        try:
            found = answers.services(answers.read(answer.body))
        except Unreadable as error:
            yield Finding(Mark.NO, what, str(error))
            continue
        if answer.body.lstrip().startswith(b"<") != (form == "xml"):
            other = "JSON" if form == "xml" else "XML"
            yield Finding(Mark.NO, what, f"comes as {other}, whatever is asked for")
            continue
        kinds = sorted({service.kind or "without a type" for service in found})
        yield Finding(Mark.YES, what, f"{len(found)}: {', '.join(kinds) or 'none'}")
        seen.services, seen.format = found, form
        seen.forms.append(form)
    special = [s for s in seen.services if s.kind in ("batch", "blackbox")]
    for service in special[:5]:
        said = "answers with a token" if service.kind == "batch" else "cannot be followed"
        yield Finding(Mark.NOTE, f"service {service.code}", f"{service.kind}: {said}")


def _definition(line: Remote, seen: _Seen) -> Iterator[Finding]:
    asked = next((service for service in seen.services if service.has_metadata), None)
    if asked is None:
        yield Finding(Mark.NOTE, "service definitions", "no service asks for attributes")
        return
    answer = line.get(line.url_of(f"services/{asked.code}"))
    if isinstance(answer, Failure):
        yield Finding(Mark.NO, f"definition of {asked.code}", _why(answer))
        return
    try:
        required = _required(answers.read(answer.body))
    except Unreadable as error:
        yield Finding(Mark.NO, f"definition of {asked.code}", str(error))
        return
    said = f"required: {', '.join(required)}" if required else "nothing is required"
    yield Finding(Mark.YES, f"definition of {asked.code}", said)


def _required(content: Any) -> list[str]:
    """Codes of attributes that a request must have, at whichever depth they are listed."""
    if isinstance(content, list):
        return [code for item in content for code in _required(item)]
    if not isinstance(content, dict):
        return []
    if "datatype" in content and "code" in content:
        is_required = answers.boolean(content.get("required"))
        return [answers.text(content["code"]) or "?"] if is_required else []
    return [code for item in content.values() for code in _required(item)]


def _requests(lines: dict[str, Remote], seen: _Seen, now: datetime) -> Iterator[Finding]:
    window = [("start_date", seconds(now - _DAYS)), ("end_date", seconds(now))]
    for form in seen.forms:
        found = lines[form].requests(window)
        if isinstance(found, Failure):
            yield Finding(Mark.NO, f"requests of 30 days in {form.upper()}", _why(found))
            continue
        yield Finding(Mark.YES, f"requests of 30 days in {form.upper()}", str(len(found)))
        if form == seen.format:
            seen.requests = found
    if not seen.requests:
        seen.list = "none"
        yield Finding(Mark.NOTE, "following requests", "no request is shown to try it with")
        return
    raw = lines[seen.format].get(lines[seen.format].url_of("requests", window))
    if not isinstance(raw, Failure) and _TIMED.search(raw.body) and not _ZONED.search(raw.body):
        seen.is_read_without_zone = True
        yield Finding(Mark.NO, "times with a zone", "they have none: say which it is")
    dated = sum(one.updated_at is not None for one in seen.requests)
    mark = Mark.YES if dated == len(seen.requests) else Mark.NO
    yield Finding(mark, "updated_datetime", f"{dated} of {len(seen.requests)} have one")
    words = sorted({one.status for one in seen.requests if one.status is not None})
    yield Finding(Mark.NOTE, "statuses", ", ".join(words) or "none")


def _following(line: Remote, seen: _Seen, now: datetime) -> Iterator[Finding]:
    ids = [one.id for one in seen.requests if one.id is not None][:2]
    if not ids:
        seen.list = "none"
        yield Finding(Mark.NO, "service_request_id", "requests have none: they cannot be followed")
        return
    several = line.requests([("service_request_id", ",".join(ids))])
    told = set() if isinstance(several, Failure) else {one.id for one in several}
    is_batched = told == set(ids)
    yield Finding(
        Mark.YES if is_batched else Mark.NO,
        "service_request_id=1,2",
        "several at once" if is_batched else "not several at once",
    )
    single = line.request(ids[0])
    is_single = not isinstance(single, Failure) and single is not None
    yield Finding(Mark.YES if is_single else Mark.NO, "requests/{id}", "one by one")
    soon = [("updated_after", seconds(now + timedelta(days=1)))]
    later = line.requests(soon)
    has_changes = not isinstance(later, Failure) and not later
    yield Finding(
        Mark.YES if has_changes else Mark.NO,
        "updated_after",
        "an extension: what changed since" if has_changes else "is not looked at",
    )
    extended = line.requests([("service_request_id", ids[0]), ("extensions", "true")])
    seen.has_extensions = not isinstance(extended, Failure) and any(
        one.extended_status is not None for one in extended
    )
    yield Finding(
        Mark.YES if seen.has_extensions else Mark.NO,
        "extensions=true",
        "statuses beyond open and closed" if seen.has_extensions else "no further statuses",
    )
    seen.list = "ids" if is_batched else "single" if is_single else "none"


def _faults(line: Remote) -> Iterator[Finding]:
    failure = line.get(line.url_of("requests/there-is-no-such-request"))
    if isinstance(failure, Failure):
        said = f"{failure.reason}: {failure.said or 'no words'}"
        yield Finding(Mark.YES if failure.reason == "http 404" else Mark.NO, "errors", said[:200])
    else:
        yield Finding(Mark.NO, "errors", "an unknown request is answered with success")


def _updates(line: Remote, seen: _Seen, now: datetime) -> Iterator[Finding]:
    found = line.updates(now - timedelta(days=1), now)
    seen.has_updates = not isinstance(found, Failure)
    yield Finding(
        Mark.YES if seen.has_updates else Mark.NO,
        "servicerequestupdates",
        _why(found) if isinstance(found, Failure) else f"an extension: {len(found)} of a day",
    )


def _advice(address: Address, seen: _Seen) -> str:
    """The lines of a city folder that suit this endpoint."""
    lines = ["downstream:", "  NAME:", f"    url: {address.url}"]
    if address.jurisdiction_id:
        lines.append(f"    jurisdiction_id: {address.jurisdiction_id}")
    lines.append("    key: NAME-IN-OPEN311_KEYS")
    if seen.format != "json":
        lines.append(f"    format: {seen.format}")
    if seen.list != "ids":
        lines.append(f"    list: {seen.list}")
    if seen.has_updates:
        lines.append("    updates: true")
    if seen.has_extensions:
        lines.append("    extensions: true")
    if seen.is_read_without_zone:
        lines.append("    time_zone: WHICH-ONE")
    if address.key_for_reading:
        lines.append("    key_for_reading: true")
    return "\n".join(lines)


def _why(failure: Failure) -> str:
    return f"{failure.reason}{': ' + failure.said if failure.said else ''}"[:200]
