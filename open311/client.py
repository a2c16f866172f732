"""Calls to another system that speaks GeoReport v2: what was asked, what it answered, what failed.

A call never raises for what the other side does: the result is an answer or a `Failure`, which
says whose fault it is and whether a request may have been taken all the same. Addresses stand in
city folders, so calls go through `core.outgoing`; never while a transaction is open.

Posting uses a connection of its own. On one that was kept open, a server that took a request and
hung up would be asked again by the HTTP layer, and have it twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from core.outgoing import (
    Allowance,
    Answer,
    Outgoing,
    OutgoingError,
    OutgoingRefusedError,
    OutgoingTLSError,
)
from open311 import answers
from open311.answers import ForeignRequest, ForeignService, ForeignUpdate, Unreadable
from open311.rules import Fault, fault_of_http
from open311.translating import moment

#: Slow systems answer a POST after having written to three others; reading has no such excuse.
TIMEOUT_S = 25.0
READING_TIMEOUT_S = 15.0

#: A thousand requests in XML.
MAX_BYTES = 4 * 1024 * 1024

#: Pages of one list that are read, and for how long: what is not read by then is not known.
MAX_PAGES = 50
PAGING_S = 30.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failure:
    """A call without a usable answer.

    Attributes:
        reason: a kind of failure for logs and rows; no words of the other side.
        said: their words, for a person.
        is_silence: nobody answered at all.
    """

    fault: Fault
    reason: str
    said: str | None = None
    retry_after_s: int | None = None
    is_silence: bool = False


@dataclass(frozen=True, slots=True)
class Address:
    """Where another system is and how it is spoken to.

    Attributes:
        url: without a slash at the end; resources are put after it.
        key_for_reading: whether it wants its key for reading, too.
        has_extensions: whether it is asked for what goes beyond the standard.
        zone: what its times mean that name no zone.
    """

    url: str
    jurisdiction_id: str | None
    key: str | None
    format: str
    zone: tzinfo
    key_for_reading: bool = False
    has_extensions: bool = False


class Remote:
    """One other system, for the length of a batch: close it afterwards."""

    def __init__(
        self,
        address: Address,
        allow: Allowance,
        *,
        timeout_s: float = TIMEOUT_S,
        reading_timeout_s: float = READING_TIMEOUT_S,
    ) -> None:
        self.address = address
        self._allow = allow
        self._timeout_s = timeout_s
        self._outgoing = self._new_outgoing(reading_timeout_s)

    def close(self) -> None:
        """Hang up."""
        self._outgoing.close()

    # Asking

    def post_request(
        self, fields: Sequence[tuple[str, str]], *, name: str
    ) -> ForeignRequest | Failure:
        """Hand a request over; what the other side calls it (an id, a token, or neither).

        Args:
            fields: parameters of the standard, without jurisdiction and key.
            name: the same at every repetition; servers that know `Idempotency-Key` store it once.
        """
        url = f"{self.address.url}/requests.{self.address.format}"
        sent = [*self._who(with_key=True), *fields]
        headers = {
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
            "Accept": _ACCEPTED[self.address.format],
            "Idempotency-Key": name,
        }
        with self._new_outgoing(self._timeout_s) as line:
            answer = self._call(line, "POST", url, urlencode(sent).encode(), headers)
        if isinstance(answer, Failure):
            return answer
        try:
            content = answers.read(answer.body)
            if answers.is_refusal(content):
                return Failure(Fault.PERSON, "refused", answers.faults(answer.body))
            found = answers.requests(content, self.address.zone)
        except Unreadable:
            # It said yes, and nobody knows what to.
            return Failure(Fault.LOST, "unreadable", answers.faults(answer.body))
        if len(found) != 1:
            return Failure(Fault.LOST, "unreadable", answers.faults(answer.body))
        return found[0]

    def requests(
        self, criteria: Sequence[tuple[str, str]], *, is_paged: bool = False
    ) -> list[ForeignRequest] | Failure:
        """The requests that fit: all of them, or a failure.

        Args:
            is_paged: ask for further pages until one brings nothing new.
        """
        return self._pages(
            "requests",
            criteria,
            lambda content: answers.requests(content, self.address.zone),
            lambda one: one.id,
            most=MAX_PAGES if is_paged else 1,
        )

    def request(self, request_id: str) -> ForeignRequest | Failure | None:
        """One request; None when it is not there."""
        found = self._read(
            self.url_of(
                f"requests/{quote(request_id, safe='')}",
                [("extensions", "true")] if self.address.has_extensions else (),
            ),
            lambda content: answers.requests(content, self.address.zone),
        )
        if isinstance(found, Failure):
            return None if found.reason in ("http 404", "http 410") else found
        return next((one for one in found if one.id in (request_id, None)), None)

    def token(self, token: str) -> str | Failure | None:
        """The id that a token has become; None while it has not."""
        found = self._read(
            self.url_of(f"tokens/{quote(token, safe='')}"),
            lambda content: answers.requests(content, self.address.zone),
        )
        if isinstance(found, Failure):
            # Many say 404 of a token until its request has an id.
            return None if found.reason in ("http 404", "http 410") else found
        return next((one.id for one in found if one.id is not None), None)

    def updates(self, since: datetime, until: datetime) -> list[ForeignUpdate] | Failure:
        """Steps of that window, by the extension of FixMyStreet and open311-adapter."""
        return self._pages(
            "servicerequestupdates",
            [("start_date", seconds(since)), ("end_date", seconds(until))],
            lambda content: answers.updates(content, self.address.zone),
            lambda one: one,
            most=MAX_PAGES,
        )

    def services(self) -> list[ForeignService] | Failure:
        """The catalogue."""
        return self._read(self.url_of("services"), answers.services)

    def get(self, url: str) -> Answer | Failure:
        """Whatever stands at an address; for trying out."""
        return self._call(self._outgoing, "GET", url, None, {"Accept": "*/*"})

    # Inside

    def _new_outgoing(self, timeout_s: float) -> Outgoing:
        return Outgoing(allow=self._allow, timeout_s=timeout_s, max_bytes=MAX_BYTES)

    def _who(self, *, with_key: bool) -> list[tuple[str, str]]:
        who = []
        if self.address.jurisdiction_id:
            who.append(("jurisdiction_id", self.address.jurisdiction_id))
        if with_key and self.address.key:
            who.append(("api_key", self.address.key))
        return who

    def url_of(self, resource: str, criteria: Sequence[tuple[str, str]] = ()) -> str:
        """The address of a resource, with what is said at every call and what is asked here."""
        url = f"{self.address.url}/{resource}.{self.address.format}"
        said = [*self._who(with_key=self.address.key_for_reading), *criteria]
        # Commas stay: servers that split lists before decoding are common.
        return f"{url}?{urlencode(said, safe=',:')}" if said else url

    def _pages(
        self,
        resource: str,
        criteria: Sequence[tuple[str, str]],
        reading: Callable[[Any], list[T]],
        name_of: Callable[[T], Hashable | None],
        *,
        most: int,
    ) -> list[T] | Failure:
        """All that a list holds, each once; a failure where some of it may be missing."""
        if self.address.has_extensions:
            criteria = [*criteria, ("extensions", "true")]
        stop_at = time.monotonic() + PAGING_S
        found: dict[Hashable, T] = {}
        for page in range(1, most + 1):
            asked = [*criteria, ("page", str(page))] if page > 1 else criteria
            some = self._read(self.url_of(resource, asked), reading)
            if isinstance(some, Failure):
                if page > 1 and some.fault is Fault.PERSON:
                    # It knows no pages, or says so past the last one.
                    break
                return some
            before = len(found)
            for one in some:
                name = name_of(one)
                if name is not None:
                    found.setdefault(name, one)
            if len(found) == before:
                break
            if most > 1 and (page == most or time.monotonic() > stop_at):
                return Failure(Fault.LOST, "too many pages")
        return list(found.values())

    def _read(self, url: str, reading: Callable[[Any], T]) -> T | Failure:
        answer = self._call(
            self._outgoing, "GET", url, None, {"Accept": _ACCEPTED[self.address.format]}
        )
        if isinstance(answer, Failure):
            return answer
        try:
            content = answers.read(answer.body)
            if answers.is_refusal(content):
                return Failure(Fault.PERSON, "refused", answers.faults(answer.body))
            return reading(content)
        except Unreadable:
            return Failure(Fault.LOST, "unreadable", answers.faults(answer.body))

    def _call(
        self,
        line: Outgoing,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> Answer | Failure:
        try:
            answer = line.request(method, url, body=body, headers=headers)
        except OutgoingRefusedError as error:
            return Failure(Fault.TRY_AGAIN, f"not called: {error}")
        except OutgoingTLSError:
            return Failure(Fault.TRY_AGAIN, "certificate", is_silence=True)
        except OutgoingError as error:
            # Who was not found or refused the line heard nothing; any other may have.
            is_unheard = str(error) in ("name", "refused")
            fault = Fault.TRY_AGAIN if is_unheard else Fault.LOST
            return Failure(fault, str(error), is_silence=True)
        fault_found = fault_of_http(answer.status)
        if fault_found is not None:
            said = answers.faults(answer.body)
            if 300 <= answer.status < 400:
                said = f"→ {answer.headers.get('location', '')}"[: answers.MAX_WORDS]
            return Failure(fault_found, f"http {answer.status}", said, answer.retry_after_s)
        if len(answer.body) >= MAX_BYTES:
            return Failure(Fault.LOST, "too long")
        return answer


def seconds(at: datetime) -> str:
    """An instant as the standard writes it: whole seconds, with a zone."""
    return moment(at) or ""


_ACCEPTED = {
    "json": "application/json, text/xml;q=0.5, application/xml;q=0.5",
    "xml": "text/xml, application/xml, application/json;q=0.5",
}
