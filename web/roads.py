"""The page of the roads that phones felt: what is known, area by area, and what is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue

from accounts.access import EVERYONE, allow
from core.db import reading
from core.errors import NotFoundError
from core.i18n import pick
from geo import jurisdictions
from geo.errors import UnknownJurisdictionError
from sensing.acting import cases
from sensing.policy import RoadPolicy
from sensing.seeing import coverage, queries
from sensing.seeing.coverage import Covered
from sensing.seeing.queries import Filters
from sensing.seeing.rules import WINDOW_DAYS
from web.pages import blueprint, page, reader_language

#: Defects that the page names, surest first; the API has all of them.
_SHOWN, _LOOKED_AT = 12, 1_000


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of areas, as the page shows it."""

    name: str
    areas: list[tuple[str, Covered]]


@blueprint.get("/roads")
@allow(EVERYONE)
def roads() -> ResponseReturnValue:
    """Leads to the page of the city that is meant, or names the cities."""
    with reading() as session:
        places = list(jurisdictions.all_of_them(session))
        default = current_app.config["DEFAULT_JURISDICTION"]
        chosen = next((place for place in places if place.code == default), None)
        if chosen is None and len(places) == 1:
            chosen = places[0]
    if chosen is None:
        return page("roads_cities.html", places=places)
    lang = request.args.get("lang")
    return redirect(url_for("web.roads_of_city", jurisdiction=chosen.code, lang=lang))


@blueprint.get("/roads/<jurisdiction>")
@allow(EVERYONE)
def roads_of_city(jurisdiction: str) -> ResponseReturnValue:
    """What phones know of a city's roads, and where nobody drove."""
    with reading() as session:
        try:
            place = jurisdictions.by_code(session, jurisdiction)
        except UnknownJurisdictionError as error:
            raise NotFoundError from error
        known = coverage.of_city(session, place)
        found = queries.defects(session, Filters((place,)), cursor=None, limit=_LOOKED_AT).items
        found = sorted(found, key=lambda row: (-row.belief, -row.severity, row.id))
        of_defects = cases.of_defects(session, [row.id for row in found[:_SHOWN]])
        language = reader_language(place.default_locale)
        return page(
            "roads.html",
            locale=place.default_locale,
            place=place,
            city=place.name(language),
            known=known,
            layers=_layers(known, language),
            defects=[(row, of_defects.get(row.id)) for row in found[:_SHOWN]],
            count=len(found),
            is_acting=RoadPolicy.of(place.policy) is not None,
            window_days=WINDOW_DAYS,
            base_url=current_app.config["BASE_URL"],
        )


def _layers(known: coverage.CityCoverage, language: str) -> list[Layer]:
    """The areas of each layer, by name: the order of a list, not of merit."""
    place = known.place
    names: dict[str, Any] = place.policy.get("layers") or {}
    layers: dict[str, list[tuple[str, Covered]]] = {}
    for each in known.areas:
        if each.area is not None:
            name = pick(each.area.names, language, place.default_locale) or each.area.code
            layers.setdefault(each.area.layer, []).append((name, each))
    return [
        Layer(
            pick(names.get(layer, {}), language, place.default_locale) or layer,
            sorted(areas, key=lambda named: named[0].casefold()),
        )
        for layer, areas in layers.items()
    ]
