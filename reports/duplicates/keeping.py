"""A city's own models of duplicates: what there is to learn from, what is kept, which is in force.

In the caller's transaction. What people said is the label: reports that staff joined or called the
same, and pairs they called different. What the judge joined by itself is no label, or it would
learn from its own mistakes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.errors import DomainError
from geo.loading import touch
from geo.measures import Point
from reports.catalogue import Catalogue
from reports.duplicates.features import Kind
from reports.duplicates.model import Model
from reports.duplicates.replaying import DAYS, RADIUS_M
from reports.duplicates.rules import Features, Scope
from reports.duplicates.stock import Past
from reports.models import DuplicateModelVersion

#: The newest reports that are learnt from.
MOST_REPORTS = 100_000

#: No version can have a higher number, nor a column compare itself with one.
_MOST = 2**31 - 1


class NoSuchVersionError(DomainError):
    """The city has no model of that number."""

    status = 404
    code = "no_such_version"
    title = "There is no model of that version"


def past_of(session: Session, catalogue: Catalogue, kinds: Mapping[int, Kind]) -> list[Past]:
    """The reports of a city that are over, with what people said of them."""
    families: dict[str, list[int]] = {}
    for service in catalogue.services:
        families.setdefault(service.family, []).append(service.id)
    everything = tuple(kinds)
    found = []
    for row in session.execute(_PAST, {"place": catalogue.place.id, "most": MOST_REPORTS}):
        if row.service_id not in catalogue.by_id:
            continue
        service = catalogue.by_id[row.service_id]
        report = Features(
            id=row.id,
            service_id=row.service_id,
            requested_at=row.requested_at,
            point=Point(row.lat, row.lon),
            scope=Scope(
                service.family, tuple(families[service.family]), RADIUS_M, DAYS, pairs=everything
            ),
            address=row.address,
            asset_id=row.asset_id,
            text=row.description or "",
            accuracy_m=row.accuracy_m,
            street=row.address_street,
            number=row.address_number,
            source=row.source,
        )
        found.append(Past(report, row.over_at, row.same_id is not None, row.same_id))
    return found


def keep(
    session: Session, catalogue: Catalogue, model: Model, *, activate: bool, now: datetime
) -> int:
    """Store a model as the city's newest; its version. With `activate`, in force at once."""
    table = DuplicateModelVersion
    place = catalogue.place
    version = (
        1
        + session.scalars(
            sa.select(sa.func.coalesce(sa.func.max(table.version), 0)).where(
                table.jurisdiction_id == place.id
            )
        ).one()
    )
    session.add(
        table(
            jurisdiction_id=place.id,
            version=version,
            model=model.as_data(),
            record=dict(model.record),
            trained_at=now,
            is_active=False,
        )
    )
    session.flush()
    if activate:
        put_in_force(session, catalogue, version)
    return version


def put_in_force(session: Session, catalogue: Catalogue, version: int) -> None:
    """Use that version from now on, everywhere; 0 is the model that ships.

    Raises:
        NoSuchVersionError
    """
    table = DuplicateModelVersion
    of_city = table.jurisdiction_id == catalogue.place.id
    if not 0 <= version <= _MOST:
        raise NoSuchVersionError
    if (
        version
        and session.scalar(sa.select(table.id).where(of_city, table.version == version)) is None
    ):
        raise NoSuchVersionError
    session.execute(sa.update(table).where(of_city, table.is_active).values(is_active=False))
    if version:
        session.execute(
            sa.update(table).where(of_city, table.version == version).values(is_active=True)
        )
    touch(session, catalogue.place.id)


def versions(session: Session, catalogue: Catalogue) -> Sequence[Any]:
    """The city's models, the newest first: version, trained_at, is_active, record."""
    table = DuplicateModelVersion
    return session.execute(
        sa.select(table.version, table.trained_at, table.is_active, table.record)
        .where(table.jurisdiction_id == catalogue.place.id)
        .order_by(table.version.desc())
    ).all()


# A duplicate's label is known when it was joined; what stands for itself, when it was over. Joined
# by a person: there is a verdict of staff, or of the reporter.
_PAST = sa.text(
    """
    SELECT r.id, r.service_id, r.requested_at, r.lat, r.lon, r.address, r.asset_id, r.accuracy_m,
           r.description, r.address_street, r.address_number, r.source,
           coalesce(r.resolved_at, r.closed_at, said.said_at) AS over_at, said.other_id AS same_id
      FROM service_requests AS r
      LEFT JOIN LATERAL (
           SELECT v.other_id, v.said_at FROM pair_verdicts AS v
            WHERE v.report_id = r.id AND v.is_same AND v.said_by <> 'system'
            ORDER BY v.said_at DESC, v.id DESC LIMIT 1
           ) AS said ON true
     WHERE r.jurisdiction_id = :place AND r.lat IS NOT NULL AND r.visibility <> 'hidden'
       AND (r.parent_id IS NULL OR said.other_id IS NOT NULL)
     ORDER BY r.requested_at DESC, r.id
     LIMIT :most
    """
)
