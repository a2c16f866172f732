"""The page of a street asset: what it is, how it is, what is open about it, how to say more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from uuid import UUID

from flask import current_app
from flask.typing import ResponseReturnValue

from accounts.access import EVERYONE, allow
from assets import queries
from assets.queries import Found
from core.db import reading
from core.errors import NotFoundError
from core.i18n import pick
from reports import queries as report_queries
from web.pages import blueprint, page, reader_language

#: Open reports that the page names.
_SHOWN = 10


@blueprint.get("/assets/<uuid:asset_id>")
@allow(EVERYONE)
def asset(asset_id: UUID) -> ResponseReturnValue:
    """An asset of the city's register."""
    with reading() as session:
        found = queries.one(session, asset_id)
        if found is None:
            raise NotFoundError
        locale = found.place.default_locale
        language = reader_language(locale)
        open_ids, past = queries.reports_of(session, asset_id, most=_SHOWN)
        reports = report_queries.several(session, open_ids)
        team = queries.teams(session, {found.team_id} if found.team_id is not None else ())
        kind_name = pick(found.kind.names, language, locale)
        return page(
            "asset.html",
            locale=locale,
            found=found,
            city=found.place.name(language),
            zone=found.place.time_zone,
            kind_name=kind_name,
            name=_name(found),
            team_name=next((pick(names, language, locale) for _, names in team.values()), None),
            attributes=_attributes(found, language),
            reports=[
                (reports[id_], pick(reports[id_].service.names, language, locale))
                for id_ in open_ids
                if id_ in reports
            ],
            past=past,
            tell_url=_tell_url(found, kind_name),
        )


def _name(found: Found) -> str | None:
    """What people call it, where the register knows."""
    name = found.attributes.get("name")
    return name if isinstance(name, str) and name else None


def _attributes(found: Found, language: str) -> list[tuple[str, str]]:
    """Names and values of what is known of it, in the reader's language."""
    locale = found.place.default_locale
    shown: list[tuple[str, str]] = []
    for definition in found.kind.attributes:
        value = found.attributes.get(definition.code)
        if value is None or definition.code == "name":
            continue
        names: Mapping[str, Mapping[str, str]] = {
            choice.key: choice.names for choice in definition.values
        }
        values = value if isinstance(value, list) else [value]
        words = ", ".join(
            pick(names[str(each)], language, locale) if str(each) in names else str(each)
            for each in values
        )
        shown.append((pick(definition.descriptions, language, locale) or definition.code, words))
    return shown


def _tell_url(found: Found, kind_name: str) -> str | None:
    """Where a problem with it is told: the city's own page, else a letter to the city."""
    contact: Mapping[str, Any] = found.place.contact
    if contact.get("url"):
        return str(contact["url"])
    if contact.get("email"):
        subject = quote(f"{kind_name} {found.code}")
        body = quote(f"{current_app.config['BASE_URL']}/assets/{found.id}")
        return f"mailto:{contact['email']}?subject={subject}&body={body}"
    return None
