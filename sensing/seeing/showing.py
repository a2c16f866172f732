"""Defects, segments and coverage as documents."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from core.links import report_url
from geo.cells import hex_id, outline
from geo.jurisdictions import JurisdictionRef
from reports.showing import Look
from sensing.acting.cases import PublicCase
from sensing.seeing.coverage import CityCoverage, Covered
from sensing.seeing.plot import Bar, Evidence
from sensing.seeing.queries import Segment, Week
from sensing.seeing.rules import WINDOW_DAYS
from sensing.vocabulary import Verdict

#: Relative standard error of one car's estimate (`sensing.roughness.UNKNOWN_CAR`, which a test
#: compares); of many no less than a part of it, since they may all be alike.
ONE_CAR, LEAST_ERROR = 0.35, 0.1

_EPOCH = date(1970, 1, 1)


def collection(features: Sequence[Mapping[str, Any]], following: str | None) -> dict[str, Any]:
    """A page of features."""
    return {"type": "FeatureCollection", "features": list(features), "next": following}


def defect(
    row: Any, place: JurisdictionRef, cases: Mapping[UUID, PublicCase], look: Look
) -> dict[str, Any]:
    """One defect."""
    case = cases.get(row.id)
    report = None
    if case is not None and case.number is not None:
        report = {
            "id": str(case.report_id),
            "number": case.number,
            "status": case.status,
            "url": report_url(look.base_url, place.code, case.number),
        }
    return {
        "type": "Feature",
        "id": str(row.id),
        # A decimetre: finer than any position here.
        "geometry": {"type": "Point", "coordinates": [round(row.lon, 6), round(row.lat, 6)]},
        "properties": {
            "jurisdiction": place.code,
            "verdict": row.verdict or Verdict.UNKNOWN.value,
            "probability": None if row.probability is None else round(row.probability, 2),
            "belief": round(row.belief, 3),
            "severity": round(row.severity, 1),
            "hits": row.hits,
            "passes": row.passes,
            "first_felt": day_of(row.first_day).isoformat(),
            "last_felt": day_of(row.last_day).isoformat(),
            "error_m": round(row.error_m, 1),
            "heading_deg": round(row.heading_deg, 1),
            "is_present": row.is_present,
            "is_estimate": True,
            "state": None if case is None else case.state.value,
            "report": report,
            "evidence_url": f"{look.base_url}/api/v1/road-defects/{row.id}/evidence.svg",
        },
    }


def evidence(row: Any, weeks: Sequence[Week]) -> Evidence:
    """What the picture of a defect shows."""
    return Evidence(
        hits=row.hits,
        passes=row.passes,
        belief=row.belief,
        severity=row.severity,
        error_m=row.error_m,
        heading_deg=row.heading_deg,
        is_present=row.is_present,
        bars=[Bar(day_of(week.first_day), week.passes, week.hits) for week in weeks],
    )


def segment(found: Segment) -> dict[str, Any]:
    """One segment."""
    roughness = None
    if found.index_m_km is not None:
        relative = max(ONE_CAR / math.sqrt(found.trips), LEAST_ERROR)
        roughness = {
            "index_m_km": round(found.index_m_km, 2),
            "error_m_km": round(found.index_m_km * relative, 2),
            "trips": found.trips,
            "driven_m": round(found.length_m, 1),
            "is_estimate": True,
        }
    cell = hex_id(found.packet)
    ring = [[round(lon, 6), round(lat, 6)] for lon, lat in outline(found.packet)]
    return {
        "type": "Feature",
        "id": f"{cell}-{found.octant}",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "cell": cell,
            "heading_deg": found.octant * 45,
            "passes": found.passes,
            "days": found.days,
            "last_driven": day_of(found.last_day).isoformat(),
            "roughness": roughness,
        },
    }


def coverage(known: CityCoverage, look: Look) -> dict[str, Any]:
    """What is known of a city, area by area."""
    counted_at = known.counted_at
    return {
        "jurisdiction": known.place.code,
        "window_days": WINDOW_DAYS,
        "since": None if known.from_day is None else known.from_day.isoformat(),
        "counted_at": counted_at and counted_at.isoformat().replace("+00:00", "Z"),
        "whole": _covered(known.whole, known.place, look),
        "items": [_covered(each, known.place, look) for each in known.areas],
        "next": None,
    }


def day_of(day: int) -> date:
    """The date of a count of days since 1970-01-01."""
    return _EPOCH + timedelta(days=day)


def _covered(each: Covered, place: JurisdictionRef, look: Look) -> dict[str, Any]:
    area = None
    if each.area is not None:
        area = {
            "layer": each.area.layer,
            "code": each.area.code,
            "name": look.say(each.area.names, place),
        }
    return {
        "area": area,
        "knowledge": each.knowledge.value,
        "street_cells": each.street_cells,
        "driven_cells": each.driven_cells,
        "share": None if each.share is None else round(each.share, 3),
        "passes": each.passes,
        "defects": each.defects,
        "reports": each.reports,
        "road_reports": each.road_reports,
    }
