"""The page of a street asset: what it is and was, who looks after it, what is open about it.

Its forms, to adopt it, call for care and correct the register, are `web.asset_forms`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from uuid import UUID

from flask import current_app, request, url_for
from flask.typing import ResponseReturnValue

from accounts.access import EVERYONE, allow, current_actor
from assets import queries
from assets.adoption import queries as adoptions
from assets.care import queries as care
from assets.corrections.schemas import MAX_NOTE
from assets.queries import Found
from core.db import reading
from core.errors import NotFoundError
from core.i18n import pick
from core.pagination import BadCursorError
from reports import queries as report_queries
from web.pages import blueprint, page, reader_language
from web.wording import wording

#: Open reports that the page names; and past ones and versions of one page.
_SHOWN = 10

#: What was done for it lately.
_CARED = 5

#: What a form of the page may have come to, as `?done=` says it.
DONE = frozenset({"adopted", "waiting", "left", "called", "proposed", "confirmed"})


@blueprint.get("/assets/<uuid:asset_id>")
@allow(EVERYONE)
def asset(asset_id: UUID) -> ResponseReturnValue:
    """An asset of the city's register: how it is, who looks after it, what one may do."""
    done = request.args.get("done")
    return show(asset_id, done=done if done in DONE else None)


def show(
    asset_id: UUID, *, done: str | None = None, fault: str | None = None, status: int = 200
) -> ResponseReturnValue:
    """The page of an asset, with what came of a form of it.

    Args:
        fault: the code of what was wrong.

    Raises:
        NotFoundError: there is no such asset, or no such page of its history.
    """
    actor = current_actor()
    with reading() as session:
        found = queries.one(session, asset_id)
        if found is None:
            raise NotFoundError
        locale = found.place.default_locale
        language = reader_language(locale)
        open_ids, past_count = queries.reports_of(session, asset_id, most=_SHOWN)
        try:
            past = queries.past_reports(
                session, asset_id, cursor=request.args.get("past"), limit=_SHOWN
            )
        except BadCursorError:
            raise NotFoundError from None
        versions = queries.versions(session, asset_id, before=_before(), limit=_SHOWN + 1)
        reports = report_queries.several(session, [*open_ids, *past.items])
        team = queries.teams(session, {found.team_id} if found.team_id is not None else ())
        adoption = adoptions.public(session, asset_id)
        assert adoption is not None
        is_mine, wait = False, None
        if actor.person_id is not None:
            is_mine, wait = adoptions.standing(session, asset_id, actor.person_id)
        is_full = len(adoption.adopters) >= adoption.capacity
        may_adopt = adoption.is_adoptable and found.state.is_there
        nearest = adoptions.nearest_free(session, asset_id) if may_adopt and is_full else []
        cared = care.of_asset(session, asset_id, cursor=None, limit=_CARED).items
        kind_name = pick(found.kind.names, language, locale)

        def line(id_: UUID) -> tuple[Any, str]:
            report = reports[id_]
            return report, pick(report.service.names, language, locale)

        known_fault = None
        if fault is not None:
            known_fault = next(
                (
                    key
                    for key in (f"asset.fault.{fault}", f"adopting.fault.{fault}")
                    if wording(language).has(key)
                ),
                "adopting.fault.other",
            )
        return page(
            "asset.html",
            status=status,
            locale=locale,
            is_private=actor.person_id is not None,
            found=found,
            city=found.place.name(language),
            zone=found.place.time_zone,
            kind_name=kind_name,
            name=_name(found),
            team_name=next((pick(names, language, locale) for _, names in team.values()), None),
            attributes=_attributes(found, language),
            correctable=_correctable(found, language),
            reports=[line(id_) for id_ in open_ids if id_ in reports],
            past=past_count,
            past_reports=[line(id_) for id_ in past.items if id_ in reports],
            past_next=past.next,
            versions=versions[:_SHOWN],
            versions_next=versions[_SHOWN - 1].version if len(versions) > _SHOWN else None,
            adoption=adoption,
            may_adopt=may_adopt,
            is_full=is_full,
            is_mine=is_mine,
            wait=wait,
            nearest=nearest,
            cared=[
                (pick(care.action_name(found.kind, each.care.action), language), each.care.at)
                for each in cared
            ],
            done=done,
            fault=known_fault,
            tell_url=_tell_url(found, kind_name),
            here=url_for("web.asset", asset_id=asset_id),
            max_note=MAX_NOTE,
        )


def _before() -> int | None:
    """The version from which the page of the history goes back."""
    asked = request.args.get("history")
    if asked is None:
        return None
    if not asked.isascii() or not asked.isdecimal() or not 0 < int(asked[:10]) < 1 << 31:
        raise NotFoundError
    return int(asked[:10])


def _correctable(found: Found, language: str) -> list[tuple[str, str]]:
    """Codes and names of the attributes that one may say to be others."""
    locale = found.place.default_locale
    return [
        (definition.code, pick(definition.descriptions, language, locale) or definition.code)
        for definition in found.kind.attributes
    ]


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
