"""The jurisdictions of this installation, kept in memory, and which of them is meant.

Each request and task needs a jurisdiction with its boundary, areas, time zone and languages; they
change a few times a year. So each process keeps them and asks the database, at most once a
second, whether a version moved; what moved is read again, whole. Nothing here writes.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from core.db import Executor
from geo.errors import (
    JurisdictionNeededError,
    NoJurisdictionError,
    OutsideJurisdictionError,
    UnknownJurisdictionError,
)
from geo.measures import Point
from geo.models import Area, Jurisdiction

if TYPE_CHECKING:
    # Polygons take 17 MB, and who sends messages needs none.
    from geo.areas import AreaIndex, Boundary

#: A loaded city is seen by every process after at most this long.
CHECK_EVERY_S = 1.0


class Grounds:
    """The polygons of a city, built when somebody first asks where a point lies."""

    def __init__(self, outline: Mapping[str, Any], buffer_m: float, areas: Sequence[Any]) -> None:
        """
        Args:
            outline: of the city, as GeoJSON.
            buffer_m: how far about it reports are taken, metres.
            areas: rows with id, layer, code, names and geometry, as GeoJSON.
        """
        self._outline = outline
        self._buffer_m = buffer_m
        self._areas = areas

    @functools.cached_property
    def boundary(self) -> Boundary:
        from geo.areas import Boundary

        return Boundary(self._outline, self._buffer_m)

    @functools.cached_property
    def areas(self) -> AreaIndex:
        from geo.areas import AreaIndex, AreaRef, AreaShape

        shapes = [
            AreaShape(AreaRef(area.id, area.layer, area.code, area.names), area.geometry)
            for area in self._areas
        ]
        return AreaIndex(shapes, snap_m=self._buffer_m)


@dataclass(frozen=True, slots=True, eq=False)
class JurisdictionRef:
    """A jurisdiction as the rest of the house sees it: read-only, one object per version."""

    id: int
    code: str
    names: Mapping[str, str]
    locales: tuple[str, ...]
    default_locale: str
    country: str
    subdivision: str | None
    time_zone: ZoneInfo
    contact: Mapping[str, Any]
    policy: Mapping[str, Any]
    version: int
    grounds: Grounds

    @property
    def boundary(self) -> Boundary:
        """Where reports are taken."""
        return self.grounds.boundary

    @property
    def areas(self) -> AreaIndex:
        """Its quarters, wards and other layers."""
        return self.grounds.areas

    def name(self, locale: str) -> str:
        """Its name in a language, else in its own first language."""
        return self.names.get(locale) or self.names.get(self.default_locale) or self.code


@dataclass(frozen=True, slots=True)
class _Snapshot:
    by_id: Mapping[int, JurisdictionRef]
    by_code: Mapping[str, JurisdictionRef]
    #: What each was when it was read. The instant tells apart two loads that would have had the
    #: same version, when the first of them was rolled back.
    stamps: Mapping[int, tuple[int, datetime]]
    checked_at: float


class Jurisdictions:
    """A cache of all jurisdictions. The functions of this module use the process's own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._snapshot: _Snapshot | None = None

    def forget(self) -> None:
        """Read everything again at the next call."""
        with self._lock:
            self._snapshot = None

    def set_clock(self, clock: Callable[[], float]) -> None:
        """Measure the second between two checks by another clock."""
        self._clock = clock
        self.forget()

    def all(self, session: Executor) -> Sequence[JurisdictionRef]:
        """Every jurisdiction, by code."""
        by_code = self._current(session).by_code
        return [by_code[code] for code in sorted(by_code)]

    def by_id(self, session: Executor, jurisdiction_id: int) -> JurisdictionRef:
        """The jurisdiction of a stored row.

        Raises:
            KeyError: there is none; a foreign key rules that out.
        """
        known = self._current(session).by_id
        if jurisdiction_id not in known:
            # Loaded within the last second by another process.
            known = self._current(session, look_again=True).by_id
        return known[jurisdiction_id]

    def by_code(self, session: Executor, code: str) -> JurisdictionRef:
        """The jurisdiction that people call by this code.

        Raises:
            UnknownJurisdictionError
        """
        found = self._current(session).by_code.get(code)
        if found is None:
            raise UnknownJurisdictionError(
                f"There is no jurisdiction {code!r} here", field="jurisdiction"
            )
        return found

    def resolve(
        self,
        session: Executor,
        *,
        code: str | None = None,
        point: Point | None = None,
        default: str | None = None,
    ) -> JurisdictionRef:
        """The jurisdiction that a caller means.

        A code decides, and a position must then lie in that jurisdiction. Without one, the only
        jurisdiction is meant; of several, the one that the position lies in (where two overlap the
        default, else the smaller), and without a position the default.

        Raises:
            UnknownJurisdictionError: no jurisdiction has that code.
            OutsideJurisdictionError: the position lies in none, or not in the one named.
            JurisdictionNeededError: several, and nothing decides.
            NoJurisdictionError: none is loaded.
        """
        known = self._current(session).by_code
        if not known:
            raise NoJurisdictionError
        if code is not None or len(known) == 1:
            meant = self.by_code(session, code) if code is not None else next(iter(known.values()))
            if point is not None and not meant.boundary.contains(point):
                raise OutsideJurisdictionError(
                    f"This position lies outside {meant.name(meant.default_locale)}", field="lat"
                )
            return meant
        if point is not None:
            around = [each for each in known.values() if each.boundary.contains(point)]
            if not around:
                raise OutsideJurisdictionError(field="lat")
            return min(around, key=lambda each: (each.code != default, each.boundary.area_m2))
        if default is not None:
            return self.by_code(session, default)
        raise JurisdictionNeededError(field="jurisdiction", known=sorted(known))

    def _current(self, session: Executor, *, look_again: bool = False) -> _Snapshot:
        snapshot = self._snapshot
        if snapshot is not None and not look_again and self._is_fresh(snapshot):
            return snapshot
        # While one thread looks, the others go on with what they have, if they have anything.
        if not self._lock.acquire(blocking=snapshot is None or look_again):
            assert snapshot is not None
            return snapshot
        try:
            snapshot = self._snapshot
            now = self._clock()
            if snapshot is not None and not look_again and self._is_fresh(snapshot):
                return snapshot
            self._snapshot = _read(session, snapshot, now)
            return self._snapshot
        finally:
            self._lock.release()

    def _is_fresh(self, snapshot: _Snapshot) -> bool:
        return self._clock() - snapshot.checked_at < CHECK_EVERY_S


def _read(session: Executor, before: _Snapshot | None, now: float) -> _Snapshot:
    """The jurisdictions as they are, reading again only those that changed."""
    stamps = {
        row.id: (row.version, row.updated_at)
        for row in session.execute(
            sa.select(Jurisdiction.id, Jurisdiction.version, Jurisdiction.updated_at)
        )
    }
    kept: dict[int, JurisdictionRef] = {}
    if before is not None:
        kept = {
            id_: ref for id_, ref in before.by_id.items() if before.stamps[id_] == stamps.get(id_)
        }
    moved = [id_ for id_ in stamps if id_ not in kept]
    if moved:
        kept |= {ref.id: ref for ref in _read_whole(session, moved)}
    return _Snapshot(
        by_id=kept,
        by_code={ref.code: ref for ref in kept.values()},
        stamps=stamps,
        checked_at=now,
    )


def _read_whole(session: Executor, ids: Sequence[int]) -> list[JurisdictionRef]:
    shapes: dict[int, list[sa.Row[Any]]] = {id_: [] for id_ in ids}
    areas = sa.select(
        Area.jurisdiction_id, Area.id, Area.layer, Area.code, Area.names, Area.geometry
    ).where(Area.jurisdiction_id.in_(ids))
    for area in session.execute(areas):
        shapes[area.jurisdiction_id].append(area)
    # Columns, not entities: a cache must not hold rows of somebody's session.
    rows = session.execute(
        sa.select(*Jurisdiction.__table__.columns).where(Jurisdiction.id.in_(ids))
    )
    return [
        JurisdictionRef(
            id=row.id,
            code=row.code,
            names=row.names,
            locales=tuple(row.locales),
            default_locale=row.default_locale,
            country=row.country,
            subdivision=row.subdivision,
            time_zone=ZoneInfo(row.time_zone),
            contact=row.contact,
            policy=row.policy,
            version=row.version,
            grounds=Grounds(row.boundary, row.boundary_buffer_m, shapes[row.id]),
        )
        for row in rows
    ]


_OF_THIS_PROCESS = Jurisdictions()

forget = _OF_THIS_PROCESS.forget
set_clock = _OF_THIS_PROCESS.set_clock
all_of_them = _OF_THIS_PROCESS.all
by_id = _OF_THIS_PROCESS.by_id
by_code = _OF_THIS_PROCESS.by_code
resolve = _OF_THIS_PROCESS.resolve
