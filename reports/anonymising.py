"""Forgetting the people of reports: who told, who followed, what they wrote of themselves.

The report stays: what was wrong, where, when, and what became of it. Used by retention when a
report has been over for long enough. In one transaction, set-based:

* followers lose name, address and account and stay to be counted; the tracking link ends;
* the description stays, without the contact details, plates and names that the rule of
  `reports.personal_data` finds in it and without its reporter's own; the words beside it likewise;
* the address as it was written and answers in free text go; chosen and counted answers stay;
* of a service that shows blocks only, the exact position becomes the middle of its block;
* what redactions had kept goes; the history forgets which citizen it was, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from accounts.rules import Display
from core import idempotency
from geo.cells import cell_of
from geo.jurisdictions import by_id
from geo.measures import Point
from reports import history
from reports.history import SYSTEM, Entry
from reports.locating import search_text
from reports.masking import Identifiers, mask, mask_found
from reports.models import (
    Follower,
    HistoryEntry,
    Note,
    PairVerdict,
    Photo,
    Redaction,
    Service,
    ServiceRequest,
)
from reports.retention_rules import kept_answers
from reports.rules import public_address, public_point
from reports.vocabulary import ActorKind, HistoryKind

_R = ServiceRequest

#: Whose ids the history may forget; those of staff stay, as ids of people without a name.
CITIZENS = (ActorKind.REPORTER.value, ActorKind.CITIZEN.value, ActorKind.VOLUNTEER.value)


def anonymise(session: Session, report_ids: Sequence[UUID], *, now: datetime) -> int:
    """Forget the people of these reports, which the caller holds locked; how many had any.

    Twice changes nothing. A report that never had anybody is only marked as done.
    """
    ids = list(report_ids)
    if not ids:
        return 0
    reports = _read(session, ids)
    known = known_people(session, ids)
    notes = rewrite_notes(session, ids, lambda id_, text: _cleared(text, reports[id_], known, id_))
    touched = {*known, *notes}
    rows: list[dict[str, Any]] = []
    for id_, row in reports.items():
        rewritten = _rewritten(row, known.get(id_, Identifiers()))
        is_changed = id_ in touched or row.submitted_by is not None or rewritten != _as_it_is(row)
        if is_changed:
            touched.add(id_)
        rows.append({"id": id_, "is_changed": is_changed, **rewritten})
    session.execute(_ANONYMISE, {"now": now, "rows": json.dumps(rows, default=str)})
    forget_followers(session, Follower.report_id.in_(ids), now=now, ends=False)
    forget_authors(session, Note.report_id.in_(ids), HistoryEntry.report_id.in_(ids),
                   PairVerdict.report_id.in_(ids), Redaction.report_id.in_(ids))  # fmt: skip
    forget_redacted(session, ids)
    forget_positions(session, ids)
    idempotency.forget(session, *ids)
    changed = sorted(touched)
    history.append(
        session, [Entry(id_, HistoryKind.ANONYMISED, SYSTEM) for id_ in changed], now=now
    )
    return len(changed)


def known_people(session: Session, report_ids: Sequence[UUID]) -> dict[UUID, Identifiers]:
    """By report, what names its reporter and followers; reports without any are left out."""
    found: dict[UUID, list[Any]] = {}
    for row in session.execute(
        sa.select(Follower.report_id, Follower.name, Follower.email, Follower.phone).where(
            Follower.report_id.in_(list(report_ids)), Follower.erased_at.is_(None)
        )
    ):
        found.setdefault(row.report_id, []).append(row)
    return {
        id_: Identifiers.of(
            (row.name for row in rows), (row.email for row in rows), (row.phone for row in rows)
        )
        for id_, rows in found.items()
    }


def rewrite_notes(
    session: Session, report_ids: Sequence[UUID], rewrite: Callable[[UUID, str], str]
) -> set[UUID]:
    """Write anew what was said about these reports, whoever said it; which of them it changed."""
    changed: list[tuple[UUID, str]] = []
    touched: set[UUID] = set()
    for row in session.execute(
        sa.select(Note.id, Note.report_id, Note.body).where(Note.report_id.in_(list(report_ids)))
    ):
        body = rewrite(row.report_id, row.body)
        if body != row.body:
            changed.append((row.id, body))
            touched.add(row.report_id)
    if changed:
        session.execute(
            sa.text(
                "UPDATE notes AS n SET body = f.body"
                " FROM unnest(:ids ::uuid[], :bodies ::text[]) AS f(id, body) WHERE n.id = f.id"
            ),
            {"ids": [id_ for id_, _ in changed], "bodies": [body for _, body in changed]},
        )
    return touched


def forget_followers(
    session: Session, which: sa.ColumnElement[bool], *, now: datetime, ends: bool
) -> list[UUID]:
    """Take name, address and account from followers; their ids.

    With `ends` they are told no more, and counted no more.
    """
    values: dict[str, Any] = {
        "name": None,
        "email": None,
        "phone": None,
        "person_id": None,
        "erased_at": now,
        # Links that were mailed to them open nothing any more.
        "token_version": Follower.token_version + 1,
    }
    if ends:
        values["left_at"] = sa.func.coalesce(Follower.left_at, now)
    return list(
        session.scalars(
            sa.update(Follower)
            .where(which, Follower.erased_at.is_(None))
            .values(**values)
            .returning(Follower.id)
            .execution_options(synchronize_session=False)
        )
    )


def forget_authors(
    session: Session,
    notes: sa.ColumnElement[bool],
    entries: sa.ColumnElement[bool],
    verdicts: sa.ColumnElement[bool],
    redactions: sa.ColumnElement[bool],
) -> None:
    """Let words, history, verdicts and redactions forget which citizen it was, not that it was."""
    for table, kind, author, which in (
        (Note, Note.author_kind, Note.author_id, notes),
        (HistoryEntry, HistoryEntry.actor_kind, HistoryEntry.actor_id, entries),
        (PairVerdict, PairVerdict.said_by, PairVerdict.actor_id, verdicts),
        (Redaction, Redaction.by_kind, Redaction.by_id, redactions),
    ):
        session.execute(
            sa.update(table)
            .where(which, kind.in_(CITIZENS), author.is_not(None))
            .values({author.key: None})
            .execution_options(synchronize_session=False)
        )


def forget_redacted(session: Session, report_ids: Sequence[UUID]) -> int:
    """Forget what stood where something was redacted; how often that was."""
    return len(
        session.execute(
            sa.update(Redaction)
            .where(Redaction.report_id.in_(list(report_ids)), Redaction.before.is_not(None))
            .values(before=None)
            .returning(Redaction.id)
            .execution_options(synchronize_session=False)
        ).all()
    )


def forget_positions(session: Session, report_ids: Sequence[UUID]) -> None:
    """Forget where photos say that they were taken."""
    session.execute(
        sa.update(Photo)
        .where(Photo.report_id.in_(list(report_ids)), Photo.gps_lat.is_not(None))
        .values(gps_lat=None, gps_lon=None)
        .execution_options(synchronize_session=False)
    )


def _read(session: Session, ids: Sequence[UUID]) -> dict[UUID, Any]:
    rows = session.execute(
        sa.select(
            _R.id,
            _R.jurisdiction_id,
            _R.number,
            _R.description,
            _R.attributes,
            _R.lat,
            _R.lon,
            _R.cell,
            _R.address,
            _R.address_given,
            _R.submitted_by,
            _R.display,
            Service.attributes.label("definitions"),
            Service.public_precision,
        )
        .join(Service, Service.id == _R.service_id)
        .where(_R.id.in_(ids))
        .order_by(_R.id)
    )
    countries: dict[int, str] = {}
    found = {}
    for row in rows:
        if row.jurisdiction_id not in countries:
            countries[row.jurisdiction_id] = by_id(session, row.jurisdiction_id).country
        found[row.id] = _Row(row, countries[row.jurisdiction_id])
    return found


class _Row:
    """A report as it was read, and the country whose phone numbers its words are searched for."""

    __slots__ = ("country", "row")

    def __init__(self, row: Any, country: str) -> None:
        self.row = row
        self.country = country

    def __getattr__(self, name: str) -> Any:
        return getattr(self.row, name)


def _cleared(text: str, row: Any, known: dict[UUID, Identifiers], id_: UUID) -> str:
    return mask_found(mask(text, known.get(id_, Identifiers())), row.country)


def _as_it_is(row: Any) -> dict[str, Any]:
    return {
        "description": row.description,
        "attributes": row.attributes,
        "address": row.address,
        "address_given": row.address_given,
        "lat": row.lat,
        "lon": row.lon,
        "cell": row.cell,
        "words": search_text(row.number, row.description, row.address, row.address_given),
    }


def _rewritten(row: Any, known: Identifiers) -> dict[str, Any]:
    description = mask_found(mask(row.description, known), row.country)
    address = row.address and mask(row.address, known)
    lat, lon, cell = row.lat, row.lon, row.cell
    if row.public_precision == "block":
        address = public_address(address, row.public_precision)
        if lat is not None:
            point = public_point(Point(lat, lon), row.public_precision)
            lat, lon, cell = point.lat, point.lon, cell_of(point)
    return {
        "description": description,
        "attributes": kept_answers(row.attributes, row.definitions),
        "address": address,
        "address_given": None,
        "lat": lat,
        "lon": lon,
        "cell": cell,
        "words": search_text(row.number, description, address),
    }


#: The hashes recognise the sender of a report that is sent again, within a day: no use any more.
_ANONYMISE = sa.text(
    f"""
    WITH given AS (
        SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS given(
            id uuid, is_changed boolean, description text, attributes jsonb, address text,
            address_given text, lat float8, lon float8, cell bigint, words text
        )
    ), moved AS (
        UPDATE history AS h
           SET data = h.data - '{{lat,lon,from_lat,from_lon}}'::text[]
          FROM given, service_requests AS r, services AS s
         WHERE h.report_id = given.id AND h.kind = '{HistoryKind.MOVED}' AND r.id = given.id
           AND s.id = r.service_id AND s.public_precision = 'block'
           AND h.data ?| '{{lat,lon,from_lat,from_lon}}'::text[]
    )
    UPDATE service_requests AS r
       SET description = given.description, attributes = given.attributes,
           address = given.address, address_given = given.address_given,
           -- The id of a house says as much as its address.
           address_id = CASE WHEN given.address = r.address THEN r.address_id END,
           address_street = NULL, address_number = NULL,
           lat = given.lat, lon = given.lon, cell = given.cell,
           search = to_tsvector('simple', given.words),
           accuracy_m = NULL, submitted_by = NULL, display = '{Display.ANONYMOUS}',
           content_hash = '', caller_hash = '', token_version = r.token_version + 1,
           anonymised_at = CAST(:now AS timestamptz),
           version = r.version + given.is_changed::integer,
           updated_at = CASE WHEN given.is_changed THEN CAST(:now AS timestamptz)
                             ELSE r.updated_at END
      FROM given
     WHERE r.id = given.id
    """
)
_ANONYMISE = _ANONYMISE.bindparams(
    sa.bindparam("rows", type_=sa.Text()), sa.bindparam("now", type_=postgresql.TIMESTAMP(True))
)
