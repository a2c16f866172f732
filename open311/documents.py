"""A service request as GeoReport v2 writes it, from a row that `open311.reading` read.

Everything that everybody may see, and nothing else: no contact, no name, no internal word. With
`extensions=true` also the answers to the service's questions, what happened, and every photo; an
answer in free words is left out where it may point to somebody, or where the service hides where
its reports are or has them read before they are public.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from core.i18n import pick
from core.links import photo_url
from geo import jurisdictions
from geo.jurisdictions import JurisdictionRef
from geo.measures import Point
from open311 import reading
from open311.formats import words
from open311.services import name_of
from open311.translating import (
    State,
    description_of,
    duplicate_notes,
    extended_state_of,
    moment,
    source_of,
    state_of,
)
from reports.attributes import AttributeDefinition, Datatype
from reports.catalogue import Catalogue, ServiceEntry, catalogue_of
from reports.personal_data import findings
from reports.rules import public_address, public_point
from reports.vocabulary import HistoryKind, Status

_FREE_WORDS = frozenset({Datatype.STRING, Datatype.TEXT})


@dataclass(frozen=True, slots=True)
class _Kind:
    """A service, and how its requests are written in a language."""

    service: ServiceEntry
    place: JurisdictionRef
    locale: str
    name: str

    def position(self, row: Any) -> tuple[float | None, float | None]:
        """Latitude and longitude as everybody sees them."""
        if row.lat is None:
            return None, None
        if self.service.public_precision == "exact":
            return round(row.lat, 6), round(row.lon, 6)
        shown = public_point(Point(row.lat, row.lon), self.service.public_precision)
        return round(shown.lat, 6), round(shown.lon, 6)

    def address(self, row: Any) -> str | None:
        """The address as everybody sees it."""
        return words(public_address(row.address, self.service.public_precision))

    def address_id(self, row: Any) -> str | None:
        """The id of that address; of a place that is shown as a block only, none."""
        return row.address_id if self.service.public_precision == "exact" else None


@dataclass(slots=True)
class Writer:
    """Writes requests of any jurisdiction, in one language or each city's own.

    Attributes:
        locale: what the reader asked for; None for each city's own language.
    """

    base_url: str
    locale: str | None
    is_extended: bool = False
    _catalogues: dict[int, Catalogue] = field(default_factory=dict)
    _kinds: dict[int, _Kind] = field(default_factory=dict)

    def learn(self, session: Session, rows: Sequence[Any]) -> None:
        """Look up what rows are written with; afterwards the database is not asked again."""
        for row in rows:
            found = self._catalogues.get(row.jurisdiction_id)
            if found is None or row.service_id not in found.by_id:
                self._catalogues[row.jurisdiction_id] = _catalogue(session, row)

    def requests(self, rows: Sequence[Any]) -> list[dict[str, Any]]:
        """The documents of rows that were learned of, without what is never shown."""
        return [self.request(row) for row in rows if self._is_shown(row)]

    def table(self, rows: Sequence[Any]) -> list[list[str | None]]:
        """The same as rows of GeoReport Bulk."""
        return [self.bulk(row) for row in rows if self._is_shown(row)]

    def _is_shown(self, row: Any) -> bool:
        return reading.is_shown(self._catalogues[row.jurisdiction_id].by_id[row.service_id])

    def request(self, row: Any) -> dict[str, Any]:
        """One `request`."""
        kind = self._kind(row)
        lat, lon = kind.position(row)
        document = {
            "service_request_id": str(row.id),
            "status": state_of(row.status).value,
            "status_notes": self._notes(row, kind),
            "service_name": kind.name,
            "service_code": kind.service.code,
            "description": words(row.description),
            "agency_responsible": _agency(row, kind),
            "service_notice": None,
            "requested_datetime": moment(row.requested_at),
            "updated_datetime": moment(changed_at(row)),
            "expected_datetime": moment(row.due_at),
            "address": kind.address(row),
            "address_id": words(kind.address_id(row)),
            "zipcode": words(row.postcode),
            "lat": lat,
            "long": lon,
            "media_url": row.photo_id and photo_url(self.base_url, row.photo_id),
        }
        if self.is_extended:
            document |= self._extensions(row, kind)
        return document

    def bulk(self, row: Any) -> list[str | None]:
        """One row of GeoReport Bulk, in the order of `BULK`; numbers as text."""
        kind = self._kind(row)
        lat, lon = kind.position(row)
        updated = moment(changed_at(row))
        return [
            str(row.id),
            moment(row.requested_at),
            updated,
            updated if state_of(row.status) is State.CLOSED else None,
            description_of(row.status),
            self._notes(row, kind),
            source_of(row.source),
            kind.name,
            None,
            words(row.description),
            _agency(row, kind),
            kind.address(row),
            None if lat is None else f"{lat:.6f}",
            None if lon is None else f"{lon:.6f}",
        ]

    def _kind(self, row: Any) -> _Kind:
        """What the rows of one service have in common; looked up once."""
        found = self._kinds.get(row.service_id)
        if found is None:
            catalogue = self._catalogues[row.jurisdiction_id]
            service, place = catalogue.by_id[row.service_id], catalogue.place
            locale = self.locale or place.default_locale
            found = _Kind(service, place, locale, name_of(service, place, locale))
            self._kinds[row.service_id] = found
        return found

    def _notes(self, row: Any, kind: _Kind) -> str | None:
        if row.status == Status.DUPLICATE:
            return duplicate_notes(row.parent_number, kind.locale, kind.place.default_locale)
        return words(row.note)

    def _extensions(self, row: Any, kind: _Kind) -> dict[str, Any]:
        place, service, locale = kind.place, kind.service, kind.locale
        return {
            "attributes": list(_answers(row.attributes or {}, place, service, locale)),
            "notes": list(_steps(row.steps or ())),
            "extended_attributes": {
                "jurisdiction_id": place.code,
                "number": row.number,
                "status": extended_state_of(row.status),
                "group": words(pick(service.group_names, locale, place.default_locale)),
                "photos": [
                    {
                        "media_url": photo_url(self.base_url, photo_id),
                        "thumbnail_url": photo_url(self.base_url, photo_id, "thumb"),
                        "width": width,
                        "height": height,
                        "created_at": _instant(created_at),
                    }
                    for photo_id, width, height, created_at in row.photos or ()
                ],
            },
        }


#: The columns of GeoReport Bulk, in its order.
BULK = (
    "service_request_id",
    "requested_datetime",
    "updated_datetime",
    "closed_date",
    "status_description",
    "status_notes",
    "source",
    "service_name",
    "service_subtype",
    "description",
    "agency_responsible",
    "address",
    "lat",
    "long",
)


def _catalogue(session: Session, row: Any) -> Catalogue:
    """The catalogue that has the service of a row."""
    found = catalogue_of(session, row.jurisdiction_id)
    if row.service_id not in found.by_id:
        # A service that was added within the last second.
        jurisdictions.forget()
        found = catalogue_of(session, row.jurisdiction_id)
    return found


def changed_at(row: Any) -> datetime:
    """`updated_datetime`: of a closed request, by the standard, the day it was closed."""
    at: datetime = row.updated_at
    if row.status in (Status.RESOLVED, Status.CLOSED):
        at = row.resolved_at or row.closed_at or at
    elif row.status == Status.REJECTED:
        at = row.closed_at or at
    return at


def _agency(row: Any, kind: _Kind) -> str | None:
    if row.team_agency is not None:
        return words(row.team_agency)
    if row.team_names is None:
        return None
    return words(pick(row.team_names, kind.locale, kind.place.default_locale))


def _instant(text: str) -> str | None:
    """An instant that came as JSON."""
    return moment(datetime.fromisoformat(text))


def _steps(steps: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """What happened, oldest first: each change of status, and what was said to everybody."""
    for at, kind, status, said in steps:
        if status is None and said is None:
            continue
        is_first = kind == HistoryKind.STATUS and status == Status.RECEIVED
        yield {
            "datetime": _instant(at),
            "description": words(said) or (description_of(status) if status else None),
            "type": "submitted" if is_first else extended_state_of(status) if status else "comment",
        }


def _answers(
    answers: dict[str, Any], place: JurisdictionRef, service: ServiceEntry, locale: str
) -> Iterator[dict[str, Any]]:
    """The answers, in the order of the questions; of several choices each by itself."""
    for question in service.attributes:
        answer = answers.get(question.code)
        if answer is None:
            continue
        for each in answer if isinstance(answer, list) else [answer]:
            value, key = _answer(question, each, place, locale)
            if question.datatype in _FREE_WORDS and not _may_be_shown(each, place, service):
                value = None
            yield {
                "label": words(pick(question.descriptions, locale, place.default_locale)),
                "name": question.code,
                "value": value,
                "code": key,
            }


def _answer(
    question: AttributeDefinition, answer: Any, place: JurisdictionRef, locale: str
) -> tuple[str | None, str | None]:
    """The answer in words, and the key of a choice."""
    choice = next((each for each in question.values if each.key == answer), None)
    if choice is None:
        return words(str(answer)), None
    return pick(choice.names, locale, place.default_locale) or choice.key, choice.key


def _may_be_shown(answer: Any, place: JurisdictionRef, service: ServiceEntry) -> bool:
    if service.public_precision != "exact" or service.moderation != "none":
        return False
    return not findings(str(answer), place.country)
