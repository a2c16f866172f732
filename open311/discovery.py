"""Service discovery: which endpoints there are, whom to ask, and when services last changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo import jurisdictions
from geo.jurisdictions import JurisdictionRef
from geo.models import Jurisdiction
from open311.formats import Format
from open311.places import Endpoint
from open311.translating import moment

SPECIFICATION = "http://wiki.open311.org/GeoReport_v2"


@dataclass(frozen=True, slots=True)
class Discovery:
    """The document, and what tells one version of it from another."""

    document: dict[str, Any]
    version: str


def discovery(session: Session, endpoint: Endpoint) -> Discovery:
    """What is served here: the one jurisdiction of the endpoint, or every one."""
    places = [
        place
        for place in jurisdictions.all_of_them(session)
        if endpoint.jurisdiction in (None, place.code)
    ]
    changed = _changed(session, places)
    document = {
        "changeset": moment(max(changed.values(), default=None)),
        "contact": "; ".join(_contact(place) for place in places) or None,
        "key_service": _key_service(places),
        "endpoints": [
            {
                "specification": SPECIFICATION,
                "url": endpoint.url_of(place.code),
                "changeset": moment(changed[place.id]),
                "type": "production",
                "formats": [form.mime for form in Format],
            }
            for place in places
        ],
    }
    version = "-".join(f"{place.code}.{place.version}" for place in places)
    return Discovery(document, version)


def _changed(session: Session, places: Sequence[JurisdictionRef]) -> dict[int, datetime]:
    """When the catalogue of each last changed."""
    rows = session.execute(
        sa.select(Jurisdiction.id, Jurisdiction.updated_at).where(
            Jurisdiction.id.in_([place.id for place in places])
        )
    )
    return {row.id: row.updated_at for row in rows}


def _contact(place: JurisdictionRef) -> str:
    """Whom to ask, in one line: name, e-mail address, phone, page."""
    contact = place.contact
    names = contact.get("name")
    name = place.name(place.default_locale)
    if isinstance(names, dict):
        name = names.get(place.default_locale) or name
    elif isinstance(names, str):
        name = names
    known = [str(contact[part]) for part in ("email", "phone", "url") if contact.get(part)]
    return f"{name}: {', '.join(known)}" if known else name


def _key_service(places: Sequence[JurisdictionRef]) -> str:
    asked = [str(place.contact["email"]) for place in places if place.contact.get("email")]
    whom = f" ({', '.join(dict.fromkeys(asked))})" if asked else ""
    return (
        f"Ask the city{whom} for a key. It goes into the parameter api_key, or into the header"
        " Authorization: Bearer."
    )
