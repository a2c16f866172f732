"""What a batch of messages needs to know, read at the last moment.

`gather` reads it with a constant number of statements, whatever the size of the batch. Addresses
and words are read here, not when something happened: somebody who has left, was erased, or changed
their address is not written to at the old one. `notifications.rendering` makes the messages.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.models import Invitation, Person, SignInChallenge, Team
from geo import jurisdictions
from geo.jurisdictions import JurisdictionRef
from notifications import copying, digests, volunteers
from notifications.links import Links
from notifications.messages import Claimed
from notifications.models import PushSubscription, WebhookEndpoint
from notifications.vocabulary import Occasion, RecipientKind
from reports.catalogue import Catalogue, catalogue_of
from reports.duplicates import evidence
from reports.models import Follower, HistoryEntry, Note, ServiceRequest
from reports.vocabulary import NoteKind

#: Occasions whose message carries the team's words.
WITH_NOTE = frozenset(
    {Occasion.RESOLVED, Occasion.REJECTED, Occasion.REOPENED, Occasion.QUESTION, Occasion.NOTE}
)


#: A row of one of the queries below; their columns are its attributes.
Record = Any


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a batch of deliveries needs to know, by id."""

    links: Links
    followers: Mapping[UUID, Record] = field(default_factory=dict)
    browsers: Mapping[UUID, Record] = field(default_factory=dict)
    reports: Mapping[UUID, Record] = field(default_factory=dict)
    #: How many tell of them, of those whose reporters hear that they were joined.
    told: Mapping[UUID, evidence.Told] = field(default_factory=dict)
    #: History entries of reopenings that were taken back.
    taken_back: Collection[int] = frozenset()
    teams: Mapping[int, Record] = field(default_factory=dict)
    notes: Mapping[UUID, Record] = field(default_factory=dict)
    notes_of_history: Mapping[int, Record] = field(default_factory=dict)
    challenges: Mapping[UUID, Record] = field(default_factory=dict)
    invitations: Mapping[UUID, Record] = field(default_factory=dict)
    people: Mapping[UUID, Record] = field(default_factory=dict)
    endpoints: Mapping[UUID, Record] = field(default_factory=dict)
    copies: Mapping[str, str] = field(default_factory=dict)
    work: Mapping[UUID, digests.Work] = field(default_factory=dict)
    places: Mapping[int, JurisdictionRef] = field(default_factory=dict)
    catalogues: Mapping[int, Catalogue] = field(default_factory=dict)
    volunteers: volunteers.Known = field(default_factory=volunteers.Known)


def gather(session: Session, claimed: Sequence[Claimed], links: Links) -> Gathered:
    """Read what these deliveries need, in a dozen statements at most."""
    of_kind: dict[RecipientKind, list[Claimed]] = {}
    for one in claimed:
        of_kind.setdefault(one.recipient_kind, []).append(one)

    def ids(kind: RecipientKind) -> set[UUID]:
        return {UUID(one.recipient_id) for one in of_kind.get(kind, ())}

    browsers = _by_id(session, _BROWSER, PushSubscription.id, ids(RecipientKind.BROWSER))
    follower_ids = ids(RecipientKind.FOLLOWER) | {
        row.follower_id for row in browsers.values() if row.follower_id
    }
    people = {row.person_id for row in browsers.values() if row.person_id}
    followers = _by_id(session, _FOLLOWER, Follower.id, follower_ids)
    report_ids = {one.report_id for one in claimed if one.report_id}
    if people:
        # A person's browser stands for their row of the report, or of one that was joined to it.
        joined = sa.select(ServiceRequest.id).where(ServiceRequest.parent_id.in_(report_ids))
        for row in session.execute(
            _FOLLOWER.where(
                Follower.person_id.in_(people),
                sa.or_(Follower.report_id.in_(report_ids), Follower.report_id.in_(joined)),
            )
        ):
            followers[row.id] = row
    report_ids |= {row.report_id for row in followers.values()}
    report_ids |= {
        parent for one in claimed if (parent := uuid_in(one.data.get("parent_id"))) is not None
    }
    reports = _by_id(session, _REPORT, ServiceRequest.id, report_ids)
    team_ids = {row.team_id for row in reports.values() if row.team_id is not None}
    team_ids |= {int(one.recipient_id) for one in of_kind.get(RecipientKind.TEAM, ())}
    notes = _notes(session, claimed)
    copied = {one.jurisdiction_id for one in of_kind.get(RecipientKind.COPY, ())}
    copies = copying.addresses(session, sorted(copied))
    work = digests.work_of(session, of_kind.get(RecipientKind.TEAM, ()))
    challenge_ids = ids(RecipientKind.CHALLENGE) | {
        named for one in claimed if (named := uuid_in(one.data.get("challenge_id"))) is not None
    }
    place_ids = {row.jurisdiction_id for row in reports.values()}
    known = {place.id for place in jurisdictions.all_of_them(session)}
    place_ids |= {one.jurisdiction_id for one in claimed if one.jurisdiction_id in known}
    return Gathered(
        links=links,
        followers=followers,
        browsers=browsers,
        reports=reports,
        told=evidence.told(
            session,
            {one.report_id for one in claimed if one.report_id and one.event == Occasion.MERGED},
        ),
        taken_back=_taken_back(session, claimed),
        teams=_by_id(session, _TEAM, Team.id, team_ids),
        notes={row.id: row for row in notes},
        # The first words of an entry: a status change has one public note.
        notes_of_history={row.history_id: row for row in reversed(notes) if row.history_id},
        challenges=_by_id(session, _CHALLENGE, SignInChallenge.id, challenge_ids),
        invitations=_by_id(session, _INVITATION, Invitation.id, ids(RecipientKind.INVITATION)),
        people=_by_id(session, _PERSON, Person.id, ids(RecipientKind.PERSON)),
        endpoints=_by_id(session, _ENDPOINT, WebhookEndpoint.id, ids(RecipientKind.WEBHOOK)),
        copies=copies,
        work=work,
        places={each: jurisdictions.by_id(session, each) for each in place_ids},
        catalogues={each: catalogue_of(session, each) for each in place_ids},
        volunteers=volunteers.known(session, claimed),
    )


def _taken_back(session: Session, claimed: Sequence[Claimed]) -> frozenset[int]:
    reports = {one.report_id for one in claimed if one.event == Occasion.REOPENED}
    if not reports:
        return frozenset()
    entry = HistoryEntry.data["takes_back"]
    return frozenset(
        session.scalars(
            sa.select(entry.as_integer()).where(
                HistoryEntry.report_id.in_(reports), HistoryEntry.data.has_key("takes_back")
            )
        )
    )


def uuid_in(value: object) -> UUID | None:
    """An id in the data of an event, which is JSON."""
    return UUID(value) if isinstance(value, str) else None


_FOLLOWER = sa.select(
    Follower.id,
    Follower.report_id,
    Follower.is_reporter,
    Follower.person_id,
    Follower.email,
    Follower.phone,
    Follower.confirmed_at,
    Follower.left_at,
    Follower.token_version,
    Person.email.label("person_email"),
    Person.phone.label("person_phone"),
).outerjoin(Person, Person.id == Follower.person_id)


_BROWSER = sa.select(
    PushSubscription.id,
    PushSubscription.follower_id,
    PushSubscription.person_id,
    PushSubscription.endpoint,
    PushSubscription.keys,
).where(PushSubscription.gone_at.is_(None))


_REPORT = sa.select(
    ServiceRequest.id,
    ServiceRequest.jurisdiction_id,
    ServiceRequest.number,
    ServiceRequest.service_id,
    ServiceRequest.status,
    ServiceRequest.visibility,
    ServiceRequest.address,
    ServiceRequest.address_given,
    ServiceRequest.team_id,
    ServiceRequest.parent_id,
    ServiceRequest.requested_at,
    ServiceRequest.updated_at,
    ServiceRequest.due_at,
    ServiceRequest.resolved_at,
    ServiceRequest.token_version,
)


_TEAM = sa.select(Team.id, Team.code, Team.names, Team.email, Team.is_active)


_CHALLENGE = sa.select(
    SignInChallenge.id,
    SignInChallenge.email,
    SignInChallenge.phone,
    SignInChallenge.old_email,
    SignInChallenge.old_phone,
    SignInChallenge.expires_at,
    SignInChallenge.used_at,
)


_INVITATION = sa.select(
    Invitation.id,
    Invitation.email,
    Invitation.role,
    Invitation.version,
    Invitation.expires_at,
    Invitation.accepted_at,
    Invitation.revoked_at,
    Team.names.label("team_names"),
).outerjoin(Team, Team.id == Invitation.team_id)


_PERSON = sa.select(Person.id, Person.email, Person.phone)


_ENDPOINT = sa.select(
    WebhookEndpoint.id,
    WebhookEndpoint.url,
    WebhookEndpoint.secret_version,
    WebhookEndpoint.disabled_at,
)


def _by_id(session: Session, query: Any, column: Any, ids: Collection[Any]) -> dict[Any, Record]:
    if not ids:
        return {}
    return {row.id: row for row in session.execute(query.where(column.in_(ids)))}


def _notes(session: Session, claimed: Sequence[Claimed]) -> list[Record]:
    """The public words and questions that these deliveries may quote, oldest first."""
    told = [one for one in claimed if one.event in WITH_NOTE]
    note_ids = {uuid_in(one.data.get("note_id")) for one in told} - {None}
    history_ids = {one.data.get("history_id") for one in told} - {None}
    if not note_ids and not history_ids:
        return []
    return list(
        session.execute(
            sa.select(Note.id, Note.history_id, Note.body)
            .where(
                sa.or_(Note.id.in_(note_ids), Note.history_id.in_(history_ids)),
                Note.kind.in_([NoteKind.PUBLIC.value, NoteKind.QUESTION.value]),
                Note.redacted_at.is_(None),
            )
            .order_by(Note.created_at, Note.id)
        )
    )
