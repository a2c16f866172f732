"""Past reports in memory, found by place, as a judge would have found them. Pure.

The same answer as `reports.duplicates.finding` gives from the database, for training and for
measuring: at any moment only what was known then. A case that was closed later is still open, and
one that was joined stands for itself no more.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil, floor
from uuid import UUID

from geo.measures import degree_lengths_m
from reports.duplicates.features import leeway_m
from reports.duplicates.rules import Candidate, Features, Search

#: As many as a question to the database brings.
MOST = 200

#: The side of a square, in metres: about as far as is searched.
_SQUARE_M = 301.0

#: How long ago a report still belongs to the wave in which another one comes.
WAVE = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Past:
    """A past report and what staff said of it.

    Attributes:
        closed_at: when it was closed, and so when its label was known; None: still open.
        is_duplicate, parent_id: the label; `parent_id` None where staff named none.
    """

    report: Features
    closed_at: datetime | None
    is_duplicate: bool
    parent_id: UUID | None = None


def as_candidate(report: Features, closed_at: datetime | None) -> Candidate:
    """A report as those that come after it see it."""
    return Candidate(
        id=report.id,
        service_id=report.service_id,
        requested_at=report.requested_at,
        point=report.point,
        address=report.address,
        asset_id=report.asset_id,
        text=report.text,
        accuracy_m=report.accuracy_m,
        street=report.street,
        number=report.number,
        photo_hashes=report.photo_hashes,
        closed_at=closed_at,
    )


@dataclass(slots=True)
class _Kept:
    candidate: Candidate
    open: Candidate
    is_dated: bool


class Stock:
    """Reports that lead, by service and place; to be filled and asked in the order of time."""

    def __init__(self, lat: float) -> None:
        # On the flat map of one city; squares need not be square.
        lat_m, lon_m = degree_lengths_m(lat)
        self._step = (_SQUARE_M / lat_m, _SQUARE_M / max(1.0, lon_m))
        self._squares: dict[tuple[int, int], list[UUID]] = {}
        self._addresses: dict[tuple[str, str], list[UUID]] = {}
        self._kept: dict[UUID, _Kept] = {}
        self._recent: dict[int, deque[datetime]] = {}

    def add(self, candidate: Candidate, *, has_time: bool = True) -> None:
        """Keep a report; its `closed_at` may lie in the future and is not seen before."""
        open_ = replace(candidate, closed_at=None)
        self._kept[candidate.id] = _Kept(candidate, open_, not has_time)
        if candidate.point is not None:
            square = self._square(candidate.point.lat, candidate.point.lon)
            self._squares.setdefault(square, []).append(candidate.id)
        if candidate.street is not None and candidate.number is not None:
            place = (candidate.street, candidate.number)
            self._addresses.setdefault(place, []).append(candidate.id)

    def join(self, parent_id: UUID) -> None:
        """Count one more report that was joined to that one."""
        kept = self._kept.get(parent_id)
        if kept is not None:
            joined = kept.candidate.joined + 1
            kept.candidate = replace(kept.candidate, joined=joined)
            kept.open = replace(kept.open, joined=joined)

    def wave(self, service_id: int, now: datetime) -> int:
        """How many reports of the service came in just before; this one is counted for the next."""
        recent = self._recent.setdefault(service_id, deque())
        while recent and recent[0] < now - WAVE:
            recent.popleft()
        recent.append(now)
        return len(recent) - 1

    def near(self, report: Features, search: Search) -> list[Candidate]:
        """The candidates of a report, at most `MOST`, the nearest first where there are more."""
        ids: dict[UUID, None] = {}
        if report.point is not None:
            reach_m = search.radius_m + leeway_m(report.accuracy_m)
            rings = ceil(reach_m / _SQUARE_M)
            row, column = self._square(report.point.lat, report.point.lon)
            for north in range(row - rings, row + rings + 1):
                for east in range(column - rings, column + rings + 1):
                    ids.update(dict.fromkeys(self._seen(self._squares.get((north, east)), search)))
        if report.street is not None and report.number is not None:
            place = (report.street, report.number)
            ids.update(dict.fromkeys(self._seen(self._addresses.get(place), search)))
        services = frozenset(search.service_ids)
        found = [
            each
            for id_ in ids
            if (each := self._as_known(id_, report, search, services)) is not None
        ]
        if len(found) > MOST:
            found.sort(key=lambda each: _apart(report, each))
            del found[MOST:]
        return found

    def _seen(self, ids: list[UUID] | None, search: Search) -> list[UUID]:
        """Those of a list that are not too old; the others are dropped from its front for good."""
        if not ids:
            return []
        old = 0
        while old < len(ids) and self._kept[ids[old]].candidate.requested_at < search.since:
            old += 1
        del ids[:old]
        return ids

    def _as_known(
        self, id_: UUID, report: Features, search: Search, services: frozenset[int]
    ) -> Candidate | None:
        kept = self._kept[id_]
        if kept.candidate.service_id not in services:
            return None
        closed_at = kept.candidate.closed_at
        now = report.requested_at
        # A closing day without its hour may have been at any time of it: closed from the next on.
        is_closed = closed_at is not None and (
            closed_at < now if kept.is_dated else closed_at <= now
        )
        if not is_closed:
            return kept.open
        if search.closed_since is None or closed_at is None or closed_at <= search.closed_since:
            return None
        return kept.candidate

    def _square(self, lat: float, lon: float) -> tuple[int, int]:
        return floor(lat / self._step[0]), floor(lon / self._step[1])


def _apart(report: Features, candidate: Candidate) -> float:
    if report.point is None or candidate.point is None:
        return 0.0
    return (report.point.lat - candidate.point.lat) ** 2 + (
        (report.point.lon - candidate.point.lon) ** 2
    )
