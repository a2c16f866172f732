"""Intake: a report goes in, in one transaction and one statement.

1. The jurisdiction is found by code or position, the service in its catalogue (both in memory).
2. The rules are asked: boundary, attributes, dates, who may say what, who is blocked, whether a
   person looks before the public does.
3. One statement writes the request, its first history entry, its reporter and the outbox event.
   Tried on this statement's predecessor: three ORM inserts took two to four times as long.
4. The same report sent again, under the same `id` or `Idempotency-Key`, finds the first one.

Nothing here waits for another server: address, duplicates and team are the pipeline's business.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import sqlalchemy as sa
from psycopg.types.json import Jsonb

from accounts import blocks
from accounts.actors import Actor
from accounts.blocks.rules import Sender
from accounts.contact_rules import PhoneError, normal_phone
from accounts.errors import PosingNameError
from accounts.models import Person
from accounts.naming import poses_as
from accounts.rules import PERMISSIONS, Display, Permission
from core.db import Executor
from core.errors import ConflictError, ForbiddenError, InvalidError
from core.i18n import spoken
from core.ids import new_id
from core.outbox import current_request_id
from core.tokens import Purpose, mac, token_for
from geo import jurisdictions
from geo.cells import cell_of
from geo.jurisdictions import JurisdictionRef
from geo.measures import Point
from reports import attributes, events
from reports.catalogue import Catalogue, ServiceEntry, catalogue_of
from reports.contacts import Contact
from reports.history import Author
from reports.numbering import sequence_name
from reports.reviewing import SHOWN, Judged, judge
from reports.unknown_senders import Proof
from reports.vocabulary import (
    ActorKind,
    HistoryKind,
    PlaceSource,
    Source,
    Status,
    Visibility,
)

#: A phone's clock may be ahead of ours by so much before its date is "in the future".
CLOCK_SKEW = timedelta(minutes=5)

#: For so long the sender of a report gets its tracking link again by sending it again.
REPLAY_WINDOW = timedelta(hours=24)

#: Sources that anybody may name; the others are for staff who take a call.
OPEN_SOURCES = frozenset({Source.APP, Source.WEB})

#: Sources that staff may name when they file for a citizen.
STAFF_SOURCES = frozenset({Source.PHONE, Source.COUNTER, Source.EMAIL, Source.STAFF})


class EmergencyServiceError(InvalidError):
    """The service is an emergency: it is called, not filed."""

    code = "emergency_service"
    title = "Call instead of writing"


class IdTakenError(ConflictError):
    """The id or idempotency key stands for another report."""

    code = "id_taken"
    title = "This id or idempotency key already stands for something else"


class AttributesError(InvalidError):
    """Some answers do not fit the service's questions."""

    code = "invalid_attributes"
    title = "Some answers do not fit what the service asks"


class AssetFacts(Protocol):
    """What intake asks of the register of assets; `create_app` binds who answers."""

    def position(self, session: Executor, jurisdiction_id: int, asset_id: UUID) -> Point | None:
        """Where the asset stands; None when this jurisdiction has no such asset."""


class Gate(Protocol):
    """What stands before those who did not sign in; a view binds what it can ask of them."""

    def admit(self, place: JurisdictionRef, report: str, *, now: datetime) -> None:
        """Let a report pass that `report` names, or raise what is missing."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A report as it was sent, checked for form and not yet for sense."""

    service_code: str
    jurisdiction: str | None = None
    id: UUID | None = None
    point: Point | None = None
    #: The position is that of an address which was named, and nobody pointed at it.
    is_address_point: bool = False
    accuracy_m: float | None = None
    address: str | None = None
    description: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    contact: Contact | None = None
    #: None: as the signed-in person chose for all their reports.
    display: Display | None = None
    occurred_at: datetime | None = None
    asset_id: UUID | None = None
    same_as: UUID | None = None
    not_same_as: Sequence[UUID] = ()
    source: Source | None = None
    is_on_behalf: bool = False
    locale: str | None = None
    #: A field was filled that people do not see.
    is_trap_filled: bool = False
    proof: Proof | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends: the actor, something only this sender repeats, and the idempotency key if any.

    Attributes:
        language: what their browser or app asks for, where the report itself does not say.
    """

    actor: Actor
    address: str
    idempotency_key: str | None = None
    default_source: Source = Source.APP
    language: str | None = None

    @property
    def is_replaying(self) -> bool:
        """Whether a past case is taken over as its city recorded it: nobody can be asked more."""
        return self.default_source is Source.IMPORT


@dataclass(frozen=True, slots=True)
class Submitted:
    """What the sender is told. `is_replay`: it had been received before."""

    id: UUID
    number: int
    jurisdiction: JurisdictionRef
    service: ServiceEntry
    status: Status
    visibility: Visibility
    requested_at: datetime
    tracking_token: str | None
    is_replay: bool
    #: Why a person looks first: kinds of findings, never their words.
    review: Mapping[str, Any] | None = None


def submit(
    session: Executor,
    draft: Draft,
    caller: Caller,
    *,
    now: datetime,
    secret: str,
    default_jurisdiction: str | None = None,
    assets: AssetFacts | None = None,
    content_digests: Sequence[bytes] = (),
    gate: Gate | None = None,
) -> Submitted:
    """Store a report in the caller's transaction, or find the one that was sent before.

    Args:
        content_digests: digests of the photos that came with it, part of "the same report".
        gate: asked last about somebody who did not sign in, so that what it takes from them is
            not lost to a slip of the pen.

    Raises:
        InvalidError: a rule is broken; `field` names where.
        ForbiddenError: the caller names a source that only staff may.
        IdTakenError: the id or key stands for a report with other content.
        BlockedError: the sender is on the city's block list.
    """
    place = jurisdictions.resolve(
        session, code=draft.jurisdiction, point=draft.point, default=default_jurisdiction
    )
    catalogue = catalogue_of(session, place.id)
    service = catalogue.service(draft.service_code)
    answers = _check(draft, caller, service, now)
    source = _source(draft, caller, place)
    point, place_source = _place(session, draft, place, assets)
    _check_named_reports(session, draft, place)

    content_hash = _content_hash(draft, place, content_digests)
    report_id = draft.id or _id_of(caller, place, secret) or new_id()
    caller_hash = _caller_hash(caller, report_id, secret)
    contact = _contact(draft, caller, place)
    display = _display(session, draft, caller, contact, place)
    if not caller.is_replaying:
        _refuse_blocked(session, caller, contact, place, secret=secret, now=now)
    judged = _judged(draft, caller, service, place)
    review = judged.stored(now)
    if gate is not None and not caller.actor.is_signed_in:
        gate.admit(place, str(report_id), now=now)
    connection = session if isinstance(session, sa.Connection) else session.connection()
    number = connection.exec_driver_sql(
        _INSERT,
        {
            "id": report_id,
            "jurisdiction_id": place.id,
            "sequence": sequence_name(place.id),
            "service_id": service.id,
            "source": source.value,
            "visibility": judged.visibility.value,
            "review": review and Jsonb(review),
            "display": display.value,
            "description": draft.description,
            "attributes": Jsonb(answers),
            "locale": draft.locale,
            "lat": point and point.lat,
            "lon": point and point.lon,
            "cell": point and cell_of(point),
            "accuracy_m": draft.accuracy_m,
            "place_source": place_source.value,
            "address_given": draft.address,
            "asset_id": draft.asset_id,
            "same_as": draft.same_as,
            "not_same_as": list(draft.not_same_as) or None,
            "occurred_at": draft.occurred_at,
            "now": now,
            "submitted_by": caller.actor.person_id,
            "content_hash": content_hash,
            "caller_hash": caller_hash,
            "actor_kind": _author(draft, caller).kind.value,
            "follower_id": new_id() if contact else None,
            "person_id": contact and contact.person_id,
            "name": contact and contact.name,
            "email": contact and contact.email,
            "phone": contact and contact.phone,
            "contact_locale": _language(draft, caller, contact, place),
            "request_id": current_request_id(),
        },
    ).scalar_one_or_none()
    if number is None:
        return _replayed(
            session, report_id, content_hash, caller_hash, place, catalogue, now=now, secret=secret
        )
    return Submitted(
        id=report_id,
        number=number,
        jurisdiction=place,
        service=service,
        status=Status.RECEIVED,
        visibility=judged.visibility,
        requested_at=now,
        tracking_token=token_for(secret, Purpose.TRACK, report_id, 1),
        is_replay=False,
        review=review,
    )


def is_by_staff(draft: Draft) -> bool:
    """Whether a member of the staff files it for somebody: `submit` sees that they may."""
    return draft.is_on_behalf or draft.source in STAFF_SOURCES


def _check(draft: Draft, caller: Caller, service: ServiceEntry, now: datetime) -> Mapping[str, Any]:
    """The answers as they are stored, when service, dates and answers are in order."""
    if service.emergency is not None:
        raise EmergencyServiceError(
            f"This is an emergency: call {service.emergency['phone']}.",
            field="service_code",
            phone=service.emergency["phone"],
            texts=service.emergency.get("text", {}),
        )
    if draft.occurred_at is not None and draft.occurred_at > now + CLOCK_SKEW:
        raise InvalidError("This date is in the future.", field="occurred_at")
    if caller.is_replaying:
        return dict(draft.attributes)
    if draft.point is None and draft.address is None and draft.asset_id is None:
        raise InvalidError("Say where it is: lat and lon, or an address.", field="lat")
    checked = attributes.check(service.attributes, draft.attributes)
    if checked.errors:
        raise AttributesError(
            "Some answers do not fit what the service asks; see errors.",
            errors={f"attributes.{code}": list(m) for code, m in checked.errors.items()},
        )
    return checked.values


def _source(draft: Draft, caller: Caller, place: JurisdictionRef) -> Source:
    wants_staff = draft.is_on_behalf or (
        draft.source is not None and draft.source not in OPEN_SOURCES
    )
    if not wants_staff:
        return draft.source or caller.default_source
    if draft.source is not None and draft.source not in STAFF_SOURCES | OPEN_SOURCES:
        raise InvalidError("Reports from this source come in by another way.", field="source")
    if not caller.actor.may_somewhere_in(Permission.TAKE_CALLS, place.id):
        raise ForbiddenError(
            "Only staff who take calls may file for somebody else.",
            field="on_behalf" if draft.is_on_behalf else "source",
        )
    return draft.source or Source.PHONE


def _place(
    session: Executor, draft: Draft, place: JurisdictionRef, assets: AssetFacts | None
) -> tuple[Point | None, PlaceSource]:
    """The position to store and where it came from; an address alone is placed later."""
    asset_point = None
    if draft.asset_id is not None:
        if assets is not None:
            asset_point = assets.position(session, place.id, draft.asset_id)
        if asset_point is None:
            raise InvalidError("There is no such asset here.", field="asset_id")
    if draft.point is not None:
        source = PlaceSource.ADDRESS if draft.is_address_point else PlaceSource.PIN
        return draft.point, source
    if asset_point is not None:
        return asset_point, PlaceSource.ASSET
    return None, PlaceSource.UNKNOWN


def _check_named_reports(session: Executor, draft: Draft, place: JurisdictionRef) -> None:
    """The reports that the citizen says are the same, or are not, exist here."""
    named = {*draft.not_same_as, *([draft.same_as] if draft.same_as else [])}
    if not named:
        return
    if draft.same_as in draft.not_same_as:
        raise InvalidError("A report cannot be the same and another one.", field="not_same_as")
    found = set(
        session.scalars(
            sa.text(
                "SELECT id FROM service_requests"
                " WHERE id = ANY(:ids) AND jurisdiction_id = :place AND visibility = 'public'"
            ),
            {"ids": list(named), "place": place.id},
        )
    )
    if draft.same_as is not None and draft.same_as not in found:
        raise InvalidError("There is no such report here.", field="same_as")
    if not found.issuperset(draft.not_same_as):
        raise InvalidError("There is no such report here.", field="not_same_as")


def _judged(draft: Draft, caller: Caller, service: ServiceEntry, place: JurisdictionRef) -> Judged:
    if caller.is_replaying and not draft.description:
        # A case without words is held only where all of the service's are.
        is_held = service.moderation == "before_publication"
        return Judged(Visibility.HELD) if is_held else SHOWN
    return judge(
        draft.description,
        place.country,
        moderation=service.moderation,
        is_trap_filled=draft.is_trap_filled,
    )


def _refuse_blocked(
    session: Executor,
    caller: Caller,
    contact: _Reporter | None,
    place: JurisdictionRef,
    *,
    secret: str,
    now: datetime,
) -> None:
    """Let nobody pass who is blocked. The city's own staff are not: they write for others."""
    actor = caller.actor
    if any(
        grant.jurisdiction_id == place.id and Permission.TAKE_CALLS in PERMISSIONS[grant.role]
        for grant in actor.grants
    ):
        return
    emails = {actor.email, contact and contact.email}
    blocks.refuse(
        session,
        place,
        Sender(
            address=caller.address,
            emails=frozenset(email for email in emails if email),
            phones=frozenset([contact.phone] if contact and contact.phone else []),
            person_id=actor.person_id,
        ),
        secret=secret,
        now=now,
    )


def _author(draft: Draft, caller: Caller) -> Author:
    if is_by_staff(draft):
        return Author(ActorKind.STAFF, caller.actor.person_id)
    # What sensors feel has nobody who could be asked or told.
    is_sensed = caller.default_source is Source.SENSOR
    return Author(ActorKind.SYSTEM if is_sensed else ActorKind.REPORTER)


@dataclass(frozen=True, slots=True)
class _Reporter:
    person_id: UUID | None
    name: str | None
    email: str | None
    phone: str | None
    locale: str | None


def _contact(draft: Draft, caller: Caller, place: JurisdictionRef) -> _Reporter | None:
    """Who is told: the contact that was given, else the signed-in citizen, else nobody."""
    given = draft.contact
    for_others = _author(draft, caller).kind is ActorKind.STAFF
    actor = caller.actor
    if given is not None and not given.is_empty:
        # A program that has a key tells what its users say: their contact is not its owner's.
        is_own = not for_others and actor.api_key_id is None
        person = actor.person_id if is_own else None
        try:
            phone = given.phone and normal_phone(given.phone, place.country)
        except PhoneError as error:
            raise InvalidError(str(error), field="contact.phone") from error
        name = given.name or (actor.name if person is not None else None)
        return _Reporter(person, name, given.email, phone, given.locale)
    if actor.is_signed_in and not for_others and actor.api_key_id is None:
        return _Reporter(actor.person_id, actor.name, actor.email, None, actor.locale)
    return None


def _language(
    draft: Draft, caller: Caller, contact: _Reporter | None, place: JurisdictionRef
) -> str:
    """What the reporter is written to in: theirs as far as it is known and spoken here."""
    # The browser of staff who take a call says nothing of the caller.
    asked = None if is_by_staff(draft) else caller.language
    own = contact.locale if contact is not None else None
    return spoken(own, draft.locale, asked) or place.default_locale


def _display(
    session: Executor,
    draft: Draft,
    caller: Caller,
    contact: _Reporter | None,
    place: JurisdictionRef,
) -> Display:
    """How much of the reporter's name everybody sees.

    Raises:
        PosingNameError: what everybody would see looks like the city's own name.
    """
    display = draft.display
    if display is None and contact is not None and contact.person_id is not None:
        chosen = session.scalar(sa.select(Person.display).where(Person.id == contact.person_id))
        display = Display(chosen) if chosen is not None else None
    if display is None or display is Display.ANONYMOUS or caller.is_replaying:
        return display or Display.ANONYMOUS
    if contact is not None and contact.name and poses_as(contact.name, place.names.values()):
        raise PosingNameError(field="contact.name")
    return display


def _content_hash(draft: Draft, place: JurisdictionRef, digests: Sequence[bytes]) -> bytes:
    content = json.dumps(
        [
            place.id,
            draft.service_code,
            draft.point and [draft.point.lat, draft.point.lon],
            draft.address,
            draft.description,
            dict(draft.attributes),
            draft.contact and draft.contact.fingerprint(),
            draft.occurred_at and draft.occurred_at.isoformat(),
            [digest.hex() for digest in digests],
        ],
        sort_keys=True,
        default=str,
    )
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).digest()


def _id_of(caller: Caller, place: JurisdictionRef, secret: str) -> UUID | None:
    """The id that an idempotency key of this caller stands for: an RFC 9562 UUIDv8 of its HMAC."""
    if caller.idempotency_key is None:
        return None
    text = f"intake-id|{place.id}|{caller.actor.person_id}|{caller.idempotency_key}"
    raw = bytearray(mac(secret, text.encode())[:16])
    raw[6] = (raw[6] & 0x0F) | 0x80
    raw[8] = (raw[8] & 0x3F) | 0x80
    return UUID(bytes=bytes(raw))


def _caller_hash(caller: Caller, report_id: UUID, secret: str) -> bytes:
    """Recognises the same sender again, and tells nobody who it was.

    A person by their account, else the holder of the idempotency key (which is never shown to
    anybody), else the network address. The report's id is in it, so that two reports of one
    sender cannot be told to be of one.
    """
    if caller.actor.person_id is not None:
        who = f"person|{caller.actor.person_id}"
    elif caller.idempotency_key is not None:
        who = f"key|{caller.idempotency_key}"
    else:
        who = f"address|{caller.address}"
    return mac(secret, f"intake-caller|{report_id}|{who}".encode())


def _replayed(
    session: Executor,
    report_id: UUID,
    content_hash: bytes,
    caller_hash: bytes,
    place: JurisdictionRef,
    catalogue: Catalogue,
    *,
    now: datetime,
    secret: str,
) -> Submitted:
    """The report that stands under this id already, if it is the same one."""
    row = session.execute(
        sa.text(
            "SELECT number, service_id, status, visibility, review, requested_at, token_version,"
            " content_hash, caller_hash FROM service_requests"
            " WHERE id = :id AND jurisdiction_id = :place"
        ),
        {"id": report_id, "place": place.id},
    ).one_or_none()
    if row is None or not hmac.compare_digest(bytes(row.content_hash), content_hash):
        raise IdTakenError(field="id")
    # The id of a report is public, its content nearly so: only its sender gets the link again.
    is_sender = hmac.compare_digest(bytes(row.caller_hash), caller_hash)
    is_fresh = now - row.requested_at <= REPLAY_WINDOW
    return Submitted(
        id=report_id,
        number=row.number,
        jurisdiction=place,
        service=catalogue.by_id[row.service_id],
        status=Status(row.status),
        visibility=Visibility(row.visibility),
        requested_at=row.requested_at,
        tracking_token=token_for(secret, Purpose.TRACK, report_id, row.token_version)
        if is_sender and is_fresh
        else None,
        is_replay=True,
        review=row.review,
    )


#: In the driver's own form: SQLAlchemy would spend longer on its thirty parameters than on sending
#: them. The casts are for PostgreSQL, which cannot tell the type of a null.
_INSERT = f"""
    WITH request AS (
        INSERT INTO service_requests (
            id, jurisdiction_id, number, service_id, source, visibility, display, description,
            attributes, locale, lat, lon, cell, accuracy_m, place_source, address_given, asset_id,
            same_as, not_same_as, occurred_at, requested_at, updated_at, submitted_by,
            content_hash, caller_hash, review
        ) VALUES (
            %(id)s, %(jurisdiction_id)s, nextval(%(sequence)s::text::regclass), %(service_id)s,
            %(source)s, %(visibility)s, %(display)s, %(description)s, %(attributes)s, %(locale)s,
            %(lat)s, %(lon)s, %(cell)s, %(accuracy_m)s, %(place_source)s, %(address_given)s,
            %(asset_id)s, %(same_as)s, %(not_same_as)s, %(occurred_at)s, %(now)s, %(now)s,
            %(submitted_by)s, %(content_hash)s, %(caller_hash)s, %(review)s
        )
        ON CONFLICT (id) DO NOTHING
        RETURNING id, number
    ), entry AS (
        INSERT INTO history (report_id, at, kind, to_status, actor_kind, actor_id)
        SELECT id, %(now)s, '{HistoryKind.STATUS}', '{Status.RECEIVED}', %(actor_kind)s::text,
               %(submitted_by)s::uuid
          FROM request
    ), reporter AS (
        INSERT INTO followers (
            id, report_id, is_reporter, person_id, name, email, phone, locale, confirmed_at,
            created_at
        )
        SELECT %(follower_id)s::uuid, id, true, %(person_id)s::uuid, %(name)s::text,
               %(email)s::text, %(phone)s::text, %(contact_locale)s::text, %(now)s, %(now)s
          FROM request WHERE %(follower_id)s::uuid IS NOT NULL
    ), event AS (
        INSERT INTO outbox_events (name, subject_id, jurisdiction_id, request_id)
        SELECT '{events.SUBMITTED}', id, %(jurisdiction_id)s, %(request_id)s::text FROM request
    )
    SELECT number FROM request
"""
