"""A city's forecasts: recomputed at night in two statements, kept in memory, looked up by report.

A forecast is of a service, and more narrowly of it in an area, in a season, or in both, where
there are cases enough; the narrower leans on the wider (`reports.forecast.survival`). Nothing is
said of a service with few cases.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.db import Executor
from core.kept import Kept
from geo.jurisdictions import JurisdictionRef
from reports.forecast.survival import EDGES_H, Curve, Tally, curve_of
from reports.models import ClosingForecast
from reports.vocabulary import Status

#: How far back is looked: two of each season, and not how the city worked long ago.
LOOKED_BACK = timedelta(days=730)

#: With fewer cases, or fewer closed, nothing is said; a narrower cell needs more.
FEWEST_CASES, FEWEST_CLOSED, FEWEST_IN_A_CELL = 30, 15, 60

#: A service's trust in the whole city, and an area's or season's in its service, in cases. Areas
#: told little in the data there is (docs/accuracy.md), so they have to show a lot.
TRUST_IN_CITY, TRUST_IN_SERVICE = 5.0, 100.0

SEASONS = ("winter", "spring", "summer", "autumn")


@dataclass(frozen=True, slots=True)
class Forecast:
    """How long reports of a kind take, in hours; None where that was never seen to happen.

    Attributes:
        low_h, high_h: four in five lie between them.
        four_in_five_h: four in five are closed within it.
    """

    service_id: int
    area_id: int | None
    season: str | None
    cases: int
    closed: int
    low_h: float | None
    median_h: float | None
    four_in_five_h: float | None
    high_h: float | None


#: The forecasts of a city by service, area and season.
Forecasts = Mapping[tuple[int, int | None, str | None], Forecast]

_kept: Kept[Forecasts] = Kept()


def season_of(place: JurisdictionRef, at: datetime) -> str:
    """The meteorological season of an instant, by the city's own calendar."""
    return SEASONS[at.astimezone(place.time_zone).month % 12 // 3]


def foresee(
    session: Executor,
    place: JurisdictionRef,
    service_id: int,
    *,
    areas: Iterable[int] = (),
    at: datetime,
) -> Forecast | None:
    """The narrowest forecast for a report of `at`; None where too little is known.

    Of several areas, the one with the fewest cases is the nearest.
    """
    known = _forecasts_of(session, place)
    season = season_of(place, at)
    local = list(areas)
    for wanted in (season, None):
        found = [known[key] for area in local if (key := (service_id, area, wanted)) in known]
        if found:
            return min(found, key=lambda each: (each.cases, each.area_id))
    return known.get((service_id, None, season)) or known.get((service_id, None, None))


def recompute(session: Session, place: JurisdictionRef, *, now: datetime) -> bool:
    """Compute a city's forecasts anew, in the caller's transaction; whether any changed."""
    season = season_of(place, now)
    fresh = _cells(
        _tallies(session, place, now, by_area=False),
        _tallies(session, place, now, by_area=True),
        season,
    )
    before = _stored(session, place.id)
    after = {(each.service_id, each.area_id, each.season): each for each in fresh}
    if before == after:
        return False
    session.execute(
        sa.delete(ClosingForecast)
        .where(ClosingForecast.jurisdiction_id == place.id)
        .execution_options(synchronize_session=False)
    )
    if fresh:
        session.execute(
            sa.insert(ClosingForecast),
            [
                {
                    "jurisdiction_id": place.id,
                    "computed_at": now,
                    **{name: getattr(each, name) for name in Forecast.__slots__},
                }
                for each in fresh
            ],
        )
    return True


def forget() -> None:
    """Drop what is kept in memory; for tests, whose database goes back in time."""
    _kept.forget()


def _forecasts_of(session: Executor, place: JurisdictionRef) -> Forecasts:
    """What is stored, read again when the city's version moves: `recompute`'s caller moves it."""
    return _kept.get(place.id, place, lambda: _stored(session, place.id))


def _stored(session: Executor, jurisdiction_id: int) -> Forecasts:
    columns = ClosingForecast.__table__.c
    rows = session.execute(
        sa.select(*(columns[name] for name in Forecast.__slots__)).where(
            columns.jurisdiction_id == jurisdiction_id
        )
    )
    found = [Forecast(*row) for row in rows]
    return {(each.service_id, each.area_id, each.season): each for each in found}


# -- computing ------------------------------------------------------------------------------------

#: A report that was joined to another says nothing of its own; one that was withdrawn or declined
#: was waiting until then.
_TALLY = """
WITH ended AS (
    SELECT service_id, {areas} AS area_ids, requested_at, resolved_at IS NOT NULL AS is_closed,
           extract(epoch FROM least(coalesce(resolved_at, closed_at, :now), :now) - requested_at)
               / 3600 AS hours
      FROM service_requests
     WHERE jurisdiction_id = :jurisdiction_id AND requested_at >= :since AND requested_at < :now
       AND status <> '{duplicate}'
)
SELECT service_id, area_id,
       extract(month FROM requested_at AT TIME ZONE :zone)::int % 12 / 3 AS season,
       width_bucket(greatest(hours, 0)::float8, CAST(:edges AS float8[])) - 1 AS stretch,
       is_closed, count(*)
  FROM ended, unnest(area_ids) AS area_id
 GROUP BY 1, 2, 3, 4, 5
"""

_Tallies = Mapping[tuple[int, int | None, str], Tally]


def _tallies(session: Session, place: JurisdictionRef, now: datetime, *, by_area: bool) -> _Tallies:
    areas = "areas" if by_area else "ARRAY[NULL]::int[]"
    found: defaultdict[tuple[int, int | None, str], Tally] = defaultdict(Tally)
    rows = session.execute(
        sa.text(_TALLY.format(areas=areas, duplicate=Status.DUPLICATE.value)),
        {
            "jurisdiction_id": place.id,
            "now": now,
            "since": now - LOOKED_BACK,
            "zone": place.time_zone.key,
            "edges": list(EDGES_H),
        },
    )
    for service_id, area_id, season, stretch, is_closed, count in rows:
        # What lasted longer than the grid stands in its last stretch.
        within = min(stretch, len(EDGES_H) - 2)
        found[service_id, area_id, SEASONS[season]].add(
            within, is_closed=is_closed, cases=float(count)
        )
    return found


def _cells(whole: _Tallies, by_area: _Tallies, season: str) -> list[Forecast]:
    """Every cell of which something can be said: each service, and more narrowly."""
    city = curve_of(Tally().add_all(whole.values()))
    services: defaultdict[int, dict[str, Tally]] = defaultdict(dict)
    for (service_id, _, name), tally in whole.items():
        services[service_id][name] = tally
    local: defaultdict[tuple[int, int], dict[str, Tally]] = defaultdict(dict)
    for (service_id, area_id, name), tally in by_area.items():
        if area_id is not None:
            local[service_id, area_id][name] = tally
    found: list[Forecast] = []
    curves: dict[int, Curve] = {}
    for service_id, by_season in services.items():
        cell = _Cell(service_id, None, by_season)
        if not _tells(cell.whole, FEWEST_CASES):
            continue
        curves[service_id] = curve_of(cell.whole, city, TRUST_IN_CITY)
        found += cell.forecasts(curves[service_id], season)
    for (service_id, area_id), by_season in local.items():
        cell = _Cell(service_id, area_id, by_season)
        if service_id in curves and _tells(cell.whole, FEWEST_IN_A_CELL):
            curve = curve_of(cell.whole, curves[service_id], TRUST_IN_SERVICE)
            found += cell.forecasts(curve, season)
    return found


def _tells(tally: Tally, fewest: int) -> bool:
    return tally.cases >= fewest and tally.closings >= FEWEST_CLOSED


@dataclass(frozen=True, slots=True)
class _Cell:
    """A service, in an area or everywhere, with its cases by season."""

    service_id: int
    area_id: int | None
    by_season: Mapping[str, Tally]

    @property
    def whole(self) -> Tally:
        return Tally().add_all(self.by_season.values())

    def forecasts(self, curve: Curve, season: str) -> Sequence[Forecast]:
        """Of the whole year, and of this season where it has cases enough and others besides."""
        found = [self._forecast(self.whole, curve, None)]
        own = self.by_season.get(season)
        if own is not None and len(self.by_season) > 1 and _tells(own, FEWEST_IN_A_CELL):
            found.append(self._forecast(own, curve_of(own, curve, TRUST_IN_SERVICE), season))
        return found

    def _forecast(self, tally: Tally, curve: Curve, season: str | None) -> Forecast:
        def after(share: float) -> float | None:
            hours = curve.within(share)
            return None if hours is None else round(hours, 2)

        return Forecast(
            service_id=self.service_id,
            area_id=self.area_id,
            season=season,
            cases=round(tally.cases),
            closed=round(tally.closings),
            low_h=after(0.1),
            median_h=after(0.5),
            four_in_five_h=after(0.8),
            high_h=after(0.9),
        )
