"""What the reports hold on one person: those they sent or follow, their words, photos and answers.

Erasing leaves the reports: what was wrong in the street is the city's to know. The person goes from
them, and from every text in which their address or number stands, whoever wrote it; their name is
looked for in the reports that they sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import phonenumbers
import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.people_data import Erased, Held, HeldFile, Who
from accounts.rules import Display
from core import idempotency
from geo.models import Jurisdiction
from reports import anonymising, history, people_in_rules
from reports.anonymising import CITIZENS
from reports.history import SYSTEM, Entry
from reports.locating import search_text
from reports.masking import Identifiers, mask
from reports.media import Size, deleting
from reports.media.staging import cleaned_key
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
from reports.vocabulary import OPEN_STATUSES, ActorKind, HistoryKind, NoteKind, PhotoState

_R = ServiceRequest

#: Looking through every text takes longer than a request may; and nobody waits for it.
_PATIENCE = "10min"


def names(session: Session, who: Who) -> frozenset[str]:
    """The names in the rows of this reporter and follower."""
    found = session.scalars(sa.select(Follower.name).where(_is(who), Follower.name.is_not(None)))
    return frozenset(name for name in found if name)


def follower_ids(session: Session, who: Who) -> list[UUID]:
    """The rows of this person as reporter or follower."""
    return list(session.scalars(sa.select(Follower.id).where(_is(who))))


def report_ids(session: Session, who: Who) -> list[UUID]:
    """The reports that this person sent."""
    query: Any = sa.select(Follower.report_id).where(_is(who), Follower.is_reporter)
    if who.person_id is not None:
        # From their account, not taken as a call for somebody else.
        sent = sa.exists().where(
            HistoryEntry.report_id == _R.id,
            HistoryEntry.actor_id == who.person_id,
            HistoryEntry.actor_kind.in_(CITIZENS),
        )
        query = query.union(sa.select(_R.id).where(_R.submitted_by == who.person_id, sent))
    return sorted(session.scalars(query))


def held(session: Session, who: Who) -> Held:
    """Reports with words and photos, what is followed, what staff did, each as a document."""
    ids = report_ids(session, who)
    words = identifiers(session, who)
    photos = session.execute(
        sa.select(Photo.id, Photo.report_id, Photo.storage_name, _R.number)
        .join(_R, _R.id == Photo.report_id)
        .where(
            Photo.report_id.in_(ids),
            Photo.added_by == ActorKind.REPORTER.value,
            Photo.state == PhotoState.READY.value,
            Photo.storage_name.is_not(None),
        )
        .order_by(_R.number, Photo.created_at, Photo.id)
    ).all()
    files = [
        HeldFile(f"photos/{row.number}-{row.id}.jpg", cleaned_key(row.storage_name, Size.FULL))
        for row in photos
    ]
    documents = {
        "reports": [
            {
                **row,
                "words": [
                    _plain(note, "kind", "body", "created_at")
                    for note in _notes(session, row["id"])
                    # Words of the staff among themselves are held on this person where they name
                    # them; others may be about somebody else.
                    if note.kind != NoteKind.INTERNAL or mask(note.body, words) != note.body
                ],
                "photos": [
                    file.name
                    for photo, file in zip(photos, files, strict=True)
                    if photo.report_id == row["id"]
                ],
                "taken_out": _redactions(session, row["id"]),
            }
            for row in _reports(session, ids)
        ],
        "contacts_in_reports": _rows(
            session,
            sa.select(
                _R.number,
                Jurisdiction.code.label("jurisdiction"),
                Follower.is_reporter,
                Follower.name,
                Follower.email,
                Follower.phone,
                Follower.locale,
                Follower.confirmed_at,
                Follower.left_at,
                Follower.created_at,
            )
            .join(_R, _R.id == Follower.report_id)
            .join(Jurisdiction, Jurisdiction.id == _R.jurisdiction_id)
            .where(_is(who))
            .order_by(Follower.created_at, Follower.id),
        ),
        "work_as_staff": _rows(
            session,
            sa.select(HistoryEntry.at, _R.number, HistoryEntry.kind, HistoryEntry.to_status)
            .join(_R, _R.id == HistoryEntry.report_id)
            .where(
                _is_actor(HistoryEntry.actor_id, who),
                HistoryEntry.actor_kind.not_in(CITIZENS),
            )
            .order_by(HistoryEntry.id),
        ),
        "notes_as_staff": _rows(
            session,
            sa.select(Note.created_at, _R.number, Note.kind, Note.body)
            .join(_R, _R.id == Note.report_id)
            .where(_is_actor(Note.author_id, who), Note.author_kind.not_in(CITIZENS))
            .order_by(Note.created_at, Note.id),
        ),
        "routing_rules": people_in_rules.held(session, words),
    }
    return Held(documents, files)


def erase(session: Session, who: Who, now: datetime) -> Erased:
    """Take this person out of every report; the reports stay. In the caller's transaction."""
    session.execute(sa.text(f"SET LOCAL statement_timeout = '{_PATIENCE}'"))
    words = identifiers(session, who)
    own = report_ids(session, who)
    # In the order in which everybody locks them.
    session.execute(sa.select(_R.id).where(_R.id.in_(own)).order_by(_R.id).with_for_update())
    counts = {
        "redacted words": anonymising.forget_redacted(session, own),
        "texts that named them": _rewrite(session, own, words, now),
        "followings": len(anonymising.forget_followers(session, _is(who), now=now, ends=True)),
        "reports": _forget_reporter(session, own, now),
        "contacts in rows of others": _take_contacts(session, who),
    }
    anonymising.forget_positions(session, own)
    hidden = session.scalars(
        sa.select(Photo.id).where(
            Photo.report_id.in_(own),
            Photo.storage_name.is_not(None),
            Photo.dropped_because == deleting.Reason.REDACTED.value,
        )
    ).all()
    deleting.hide(session, hidden, deleting.Reason.ERASED, now=now)
    counts["redacted photos"] = len(hidden)
    counts["earlier routing rules that named them"], kept = people_in_rules.forget(session, words)
    if own:
        kept.append(f"{len(own)} reports stay, without their sender, with their photos")
    if who.person_id is not None:
        me = who.person_id
        anonymising.forget_authors(
            session,
            Note.author_id == me,
            HistoryEntry.actor_id == me,
            PairVerdict.actor_id == me,
            Redaction.by_id == me,
        )
        # Calls that they took as staff belong to the callers, who stay.
        session.execute(
            sa.update(_R)
            .where(_R.submitted_by == me)
            .values(submitted_by=None)
            .execution_options(synchronize_session=False)
        )
        counts["reports given back to their team"] = _unassign(session, me, now)
        entries = session.scalar(
            sa.select(sa.func.count()).select_from(HistoryEntry).where(HistoryEntry.actor_id == me)
        )
        if entries:
            kept.append(f"{entries} entries of the history keep an id that has no name any more")
    idempotency.forget(session, *own)
    return Erased(counts, kept)


def _is(who: Who) -> sa.ColumnElement[bool]:
    """The rows of this person; one that belongs to another account is theirs, whatever it says."""
    known = [
        column == value
        for column, value in ((Follower.email, who.email), (Follower.phone, who.phone))
        if value is not None
    ]
    nobodys = sa.and_(Follower.person_id.is_(None), sa.or_(sa.false(), *known))
    if who.person_id is None:
        return nobodys
    return sa.or_(Follower.person_id == who.person_id, nobodys)


def _is_actor(column: Any, who: Who) -> sa.ColumnElement[bool]:
    """What their account did; who has none did nothing, and rows without an actor are no one's."""
    if who.person_id is None:
        return sa.false()
    is_theirs: sa.ColumnElement[bool] = column == who.person_id
    return is_theirs


def _take_contacts(session: Session, who: Who) -> int:
    """Take their address and number from the rows of other accounts, which somebody put there."""
    taken = 0
    for column, value in ((Follower.email, who.email), (Follower.phone, who.phone)):
        if value is not None:
            taken += len(
                session.execute(
                    sa.update(Follower)
                    .where(column == value)
                    .values({column.key: None})
                    .returning(Follower.id)
                    .execution_options(synchronize_session=False)
                ).all()
            )
    return taken


def identifiers(session: Session, who: Who) -> Identifiers:
    """What names them here: also the other address or number that they gave with one of these."""
    rows = session.execute(
        sa.select(Follower.name, Follower.email, Follower.phone).where(_is(who))
    ).all()
    return Identifiers.of(
        (*who.names, *(row.name for row in rows)),
        (who.email, *(row.email for row in rows)),
        (who.phone, *(row.phone for row in rows)),
    )


def _forget_reporter(session: Session, ids: Sequence[UUID], now: datetime) -> int:
    if not ids:
        return 0
    anonymising.forget_authors(
        session,
        Note.report_id.in_(ids),
        HistoryEntry.report_id.in_(ids),
        sa.false(),
        Redaction.report_id.in_(ids),
    )
    session.execute(
        sa.update(_R)
        .where(_R.id.in_(list(ids)))
        .values(
            submitted_by=None,
            display=Display.ANONYMOUS.value,
            content_hash=b"",
            caller_hash=b"",
            token_version=_R.token_version + 1,
            version=_R.version + 1,
            updated_at=now,
        )
        .execution_options(synchronize_session=False)
    )
    history.append(
        session,
        [Entry(id_, HistoryKind.ANONYMISED, SYSTEM, data={"reason": "erased"}) for id_ in ids],
        now=now,
    )
    return len(ids)


def _rewrite(session: Session, own: Sequence[UUID], words: Identifiers, now: datetime) -> int:
    """Write every text anew that names them; how many changed."""
    changed = 0
    exact = words.exact
    whole = sa.func.concat_ws(
        "\n", _R.description, _R.address, _R.address_given, sa.cast(_R.attributes, sa.Text())
    )
    mine = set(own)
    for row in session.execute(
        sa.select(
            _R.id, _R.number, _R.description, _R.address, _R.address_given, _R.attributes
        ).where(sa.or_(_R.id.in_(own), may_name(whole, exact)))
    ).all():
        known = words if row.id in mine else exact
        before = (row.description, row.address, row.address_given, row.attributes)
        after = (
            mask(row.description, known),
            row.address and mask(row.address, known),
            row.address_given and mask(row.address_given, known),
            _masked(row.attributes, known),
        )
        if after == before:
            continue
        changed += 1
        session.execute(
            _REWRITE,
            {
                "id": row.id,
                "description": after[0],
                "address": after[1],
                "address_given": after[2],
                "attributes": after[3],
                "words": search_text(row.number, after[0], after[1], after[2]),
                "now": now,
            },
        )
    for table, body in ((Note, Note.body), (Redaction, Redaction.before)):
        for row in session.execute(
            sa.select(table.id, table.report_id, body.label("body")).where(
                body.is_not(None),
                sa.or_(table.report_id.in_(own), may_name(body, exact)),
            )
        ).all():
            masked = mask(row.body, words if row.report_id in mine else exact)
            if masked != row.body:
                changed += 1
                session.execute(
                    sa.update(table)
                    .where(table.id == row.id)
                    .values({body.key: masked})
                    .execution_options(synchronize_session=False)
                )
    return changed


def may_name(text: Any, exact: Identifiers) -> sa.ColumnElement[bool]:
    """What the database can tell of a text: whether it is worth looking at closely."""
    found = [sa.func.strpos(sa.func.lower(text), email) > 0 for email in sorted(exact.emails)]
    digits = sa.func.regexp_replace(text, r"\D", "", "g")
    found += [sa.func.strpos(digits, national) > 0 for national in _nationals(exact.phones)]
    return sa.or_(*found) if found else sa.false()


def _nationals(phones: Iterable[str]) -> list[str]:
    found = []
    for phone in sorted(phones):
        try:
            number = phonenumbers.parse(phone, None)
        except phonenumbers.NumberParseException:
            found.append(phone.lstrip("+"))
        else:
            found.append(phonenumbers.national_significant_number(number))
    return found


def _masked(value: Any, words: Identifiers) -> Any:
    if isinstance(value, str):
        return mask(value, words)
    if isinstance(value, list):
        return [_masked(part, words) for part in value]
    if isinstance(value, dict):
        return {name: _masked(part, words) for name, part in value.items()}
    return value


def _unassign(session: Session, person_id: UUID, now: datetime) -> int:
    """Open work of somebody who goes is their team's again."""
    return len(
        session.execute(
            sa.update(_R)
            .where(
                _R.assignee_id == person_id,
                _R.status.in_([status.value for status in OPEN_STATUSES]),
            )
            .values(assignee_id=None, version=_R.version + 1, updated_at=now)
            .returning(_R.id)
            .execution_options(synchronize_session=False)
        ).all()
    )


def _reports(session: Session, ids: Sequence[UUID]) -> list[dict[str, Any]]:
    return _rows(
        session,
        sa.select(
            _R.id,
            _R.number,
            Jurisdiction.code.label("jurisdiction"),
            Service.code.label("service_code"),
            _R.status,
            _R.source,
            _R.visibility,
            _R.display,
            _R.description,
            _R.attributes,
            _R.lat,
            _R.lon,
            _R.accuracy_m,
            _R.address_given,
            _R.address,
            _R.occurred_at,
            _R.requested_at,
            _R.resolved_at,
            _R.closed_at,
        )
        .join(Service, Service.id == _R.service_id)
        .join(Jurisdiction, Jurisdiction.id == _R.jurisdiction_id)
        .where(_R.id.in_(ids))
        .order_by(_R.requested_at, _R.id),
    )


def _notes(session: Session, report_id: UUID) -> Sequence[Any]:
    return session.execute(
        sa.select(Note.kind, Note.body, Note.created_at)
        .where(Note.report_id == report_id)
        .order_by(Note.created_at, Note.id)
    ).all()


def _redactions(session: Session, report_id: UUID) -> list[dict[str, Any]]:
    """What was taken out of their own words. Words of the staff are not theirs."""
    own_note = sa.exists().where(
        sa.cast(Note.id, sa.Text()) == Redaction.subject_key, Note.author_kind.in_(CITIZENS)
    )
    return _rows(
        session,
        sa.select(Redaction.subject.label("part"), Redaction.before, Redaction.at)
        .where(
            Redaction.report_id == report_id,
            sa.or_(Redaction.subject != "note", own_note),
        )
        .order_by(Redaction.at, Redaction.id),
    )


def _plain(row: Any, *fields: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in fields}


def _rows(session: Session, query: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in session.execute(query).mappings()]


_REWRITE = sa.text(
    """
    UPDATE service_requests
       SET description = :description, address = :address, address_given = :address_given,
           address_id = CASE WHEN :address = address THEN address_id END,
           attributes = :attributes, updated_at = :now, version = version + 1,
           search = CASE WHEN search IS NULL THEN NULL ELSE to_tsvector('simple', :words) END
     WHERE id = :id
    """
).bindparams(
    sa.bindparam("attributes", type_=_R.attributes.type),
    sa.bindparam("now", type_=sa.DateTime(timezone=True)),
)
