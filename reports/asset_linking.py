"""Which asset a report is about, where nobody said: the nearest one that fits its service.

Done before triage, so that duplicates and routing rules see it. Whom a person named, the reporter
with the report or staff later, is never changed by itself; what was found by itself is looked for
again whenever the report's place or service changes. The history says how far it was and how far
it might have been.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.errors import ConflictError, InvalidError
from geo.measures import Point
from reports import changing, events, history
from reports.catalogue import catalogue_of
from reports.history import SYSTEM, Author, Entry
from reports.models import ServiceRequest
from reports.rules import check_open
from reports.vocabulary import OPEN_STATUSES, HistoryKind, LinkedBy, Status

if TYPE_CHECKING:
    # Workers link assets and take no reports in.
    from reports.submission import AssetFacts


@dataclass(frozen=True, slots=True)
class Placed:
    """A report about whose asset is asked."""

    report_id: UUID
    jurisdiction_id: int
    service_code: str
    point: Point


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest fitting asset.

    Attributes:
        radius_m: within which assets of its kind are taken.
    """

    asset_id: UUID
    kind: str
    distance_m: float
    radius_m: float


class AssetFinder(Protocol):
    """What is asked of the register of assets; `create_app` binds who answers."""

    def nearest_fitting(self, session: Session, asked: Sequence[Placed]) -> Mapping[UUID, Nearest]:
        """For each report the nearest asset that its service can be about, where one is near."""


def link(
    session: Session,
    report_ids: Sequence[UUID],
    *,
    now: datetime,
    finder: AssetFinder,
    times: Mapping[UUID, datetime] | None = None,
) -> int:
    """Link those of these reports that wait for triage and name no asset; how many changed.

    In the caller's transaction. Doing it again changes nothing.

    Args:
        times: when each is linked, where that is not `now`: a past that is replayed.
    """
    instants = times or {}
    rows = session.execute(_TO_LINK, {"ids": list(report_ids)}).all()
    asked = [
        Placed(
            row.id,
            row.jurisdiction_id,
            catalogue_of(session, row.jurisdiction_id).by_id[row.service_id].code,
            Point(row.lat, row.lon),
        )
        for row in rows
        if row.lat is not None
    ]
    found = finder.nearest_fitting(session, asked) if asked else {}
    changed = [
        (row, found.get(row.id))
        for row in rows
        if row.asset_id != (found[row.id].asset_id if row.id in found else None)
    ]
    if not changed:
        return 0
    session.execute(
        _LINK,
        {
            "ids": [row.id for row, _ in changed],
            "assets": [nearest and nearest.asset_id for _, nearest in changed],
            "links": [nearest and json.dumps(_explained(nearest)) for _, nearest in changed],
            "times": [instants.get(row.id, now) for row, _ in changed],
        },
    )
    history.append(
        session,
        [
            Entry(
                row.id,
                HistoryKind.ASSET_LINKED,
                SYSTEM,
                data={
                    "from_asset_id": row.asset_id and str(row.asset_id),
                    "asset_id": nearest and str(nearest.asset_id),
                    **(_explained(nearest) if nearest else {"by": LinkedBy.NEAREST.value}),
                },
                at=instants.get(row.id),
            )
            for row, nearest in changed
        ],
        now=now,
    )
    return len(changed)


def choose(
    session: Session,
    report: ServiceRequest,
    asset_id: UUID | None,
    *,
    by: Author,
    now: datetime,
    assets: AssetFacts,
) -> int:
    """Say which asset a locked report is about, or that it is about none. The entry's id.

    The report is triaged again: duplicates and the rules of owners see the asset. A person's word
    stays; nothing is linked by itself any more.

    Raises:
        InvalidError: its city has no such asset.
        ConflictError: it is so already, because a person said so; or the report is over.
    """
    check_open(Status(report.status))
    if asset_id is not None and assets.position(session, report.jurisdiction_id, asset_id) is None:
        raise InvalidError("There is no such asset here.", field="asset_id")
    is_said = report.asset_link is not None and report.asset_link["by"] == LinkedBy.PERSON
    if report.asset_id == asset_id and is_said:
        raise ConflictError("It is so already.", field="asset_id")
    details = {
        "from_asset_id": report.asset_id and str(report.asset_id),
        "asset_id": asset_id and str(asset_id),
        "by": LinkedBy.PERSON.value,
    }
    report.asset_id = asset_id
    report.asset_link = {"by": LinkedBy.PERSON.value}
    report.triaged_at = None
    changing.touch(report, now)
    session.flush()
    [entry_id] = history.append(
        session, [Entry(report.id, HistoryKind.ASSET_LINKED, by, data=details)], now=now
    )
    changing.tell(session, report, events.ASSET_CHOSEN, history_id=entry_id)
    return entry_id


def release(session: Session, report: ServiceRequest, *, by: Author, now: datetime) -> int:
    """Take back what a person said of a locked report's asset: it is looked for again by itself.
    The entry's id.

    Raises:
        ConflictError: nobody said anything; or the report is over.
    """
    check_open(Status(report.status))
    if report.asset_link is None or report.asset_link["by"] != LinkedBy.PERSON:
        raise ConflictError("Nobody has said which asset it is about.", field="asset_id")
    details = {
        "from_asset_id": report.asset_id and str(report.asset_id),
        "asset_id": None,
        "by": LinkedBy.NEAREST.value,
    }
    report.asset_id = report.asset_link = report.triaged_at = None
    changing.touch(report, now)
    session.flush()
    [entry_id] = history.append(
        session, [Entry(report.id, HistoryKind.ASSET_LINKED, by, data=details)], now=now
    )
    changing.tell(session, report, events.ASSET_CHOSEN, history_id=entry_id)
    return entry_id


def _explained(nearest: Nearest) -> dict[str, Any]:
    return {
        "by": LinkedBy.NEAREST.value,
        "kind": nearest.kind,
        "distance_m": round(nearest.distance_m, 1),
        "radius_m": nearest.radius_m,
    }


_OPEN = ", ".join(f"'{status}'" for status in OPEN_STATUSES)

# What has an asset and no explanation was named by its reporter.
_TO_LINK = sa.text(
    f"""
    SELECT id, jurisdiction_id, service_id, lat, lon, asset_id
      FROM service_requests
     WHERE id = ANY (:ids ::uuid[]) AND triaged_at IS NULL AND status IN ({_OPEN})
       AND CASE WHEN asset_id IS NULL
                THEN asset_link ->> 'by' IS DISTINCT FROM '{LinkedBy.PERSON}'
                ELSE asset_link ->> 'by' = '{LinkedBy.NEAREST}' END
     ORDER BY id FOR UPDATE
    """
)

_LINK = sa.text(
    """
    UPDATE service_requests AS r
       SET asset_id = f.asset_id, asset_link = f.link::jsonb, version = r.version + 1,
           updated_at = f.at
      FROM unnest(:ids ::uuid[], :assets ::uuid[], :links ::text[], :times ::timestamptz[])
           AS f(id, asset_id, link, at)
     WHERE r.id = f.id
    """
)
