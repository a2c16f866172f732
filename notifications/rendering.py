"""From a claimed delivery to a message: the present facts, the reader's language, the links.

`gather` reads what a whole batch needs with a constant number of statements; `Gathered.message`
then makes each message without the database, so that it can be done outside the transaction.
Addresses and words are read here, at the last moment: somebody who has left, was erased, or changed
their address is not written to at the old one.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts import challenges
from accounts.models import Person, SignInChallenge, Team
from core.i18n import pick
from core.tokens import Purpose, key_for
from geo import jurisdictions
from geo.jurisdictions import JurisdictionRef
from notifications import digests
from notifications.links import Links
from notifications.messages import Claimed, Message, NotSent, PushTarget, WebhookTarget
from notifications.models import PushSubscription, WebhookEndpoint
from notifications.rules import is_overtaken
from notifications.vocabulary import Channel, Fault, Occasion, RecipientKind
from notifications.wording import Facts, clock_in, day_in, letter, push_note, short_text
from reports.catalogue import Catalogue, catalogue_of
from reports.models import Follower, Note, ServiceRequest
from reports.rules import public_address, reopening_ends_at
from reports.vocabulary import NoteKind, Visibility

#: Occasions whose message carries the team's words.
_WITH_NOTE = frozenset(
    {Occasion.RESOLVED, Occasion.REJECTED, Occasion.REOPENED, Occasion.QUESTION, Occasion.NOTE}
)


#: A row of one of the queries below; their columns are its attributes.
Record = Any


class _GoneError(Exception):
    """There is nobody to send it to any more; the text says why, as a code."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a batch of deliveries needs to know, by id."""

    links: Links
    followers: Mapping[UUID, Record] = field(default_factory=dict)
    browsers: Mapping[UUID, Record] = field(default_factory=dict)
    reports: Mapping[UUID, Record] = field(default_factory=dict)
    teams: Mapping[int, Record] = field(default_factory=dict)
    notes: Mapping[UUID, Record] = field(default_factory=dict)
    notes_of_history: Mapping[int, Record] = field(default_factory=dict)
    challenges: Mapping[UUID, Record] = field(default_factory=dict)
    endpoints: Mapping[UUID, Record] = field(default_factory=dict)
    work: Mapping[UUID, digests.Work] = field(default_factory=dict)
    places: Mapping[int, JurisdictionRef] = field(default_factory=dict)
    catalogues: Mapping[int, Catalogue] = field(default_factory=dict)

    def message(self, one: Claimed, *, now: datetime, with_html: bool) -> Message | NotSent:
        """The message of one delivery, or why it is not sent."""
        try:
            if one.recipient_kind is RecipientKind.WEBHOOK:
                return self._call(one)
            if one.recipient_kind is RecipientKind.CHALLENGE:
                return self._sign_in(one, now, with_html=with_html)
            if one.recipient_kind is RecipientKind.TEAM:
                return self._digest(one, with_html=with_html)
            return self._news(one, now, with_html=with_html)
        except _GoneError as gone:
            return NotSent(Fault.GIVE_UP_ON_RECIPIENT, str(gone))

    def _news(self, one: Claimed, now: datetime, *, with_html: bool) -> Message:
        """What somebody who follows a report hears of it."""
        occasion = Occasion(one.event)
        browser = None
        if one.recipient_kind is RecipientKind.BROWSER:
            browser = self.browsers.get(UUID(one.recipient_id))
            if browser is None:
                raise _GoneError("browser gone")
            follower = self._follower_of(browser, one)
        else:
            follower = self.followers.get(UUID(one.recipient_id))
        if follower is None or follower.left_at is not None:
            raise _GoneError("left")
        is_confirming = occasion is Occasion.CONFIRM
        if not (follower.is_reporter or follower.confirmed_at or is_confirming):
            raise _GoneError("not confirmed")
        own = self.reports.get(follower.report_id)
        lead = self.reports.get(one.report_id) if one.report_id else own
        if own is None or lead is None:
            raise _GoneError("no report")
        if is_overtaken(occasion, lead.status, now - one.created_at):
            raise _GoneError("overtaken")
        facts = self._facts(one, occasion, follower, own, lead)
        if one.channel is Channel.EMAIL:
            return self._letter(
                one,
                _given(follower.email or follower.person_email),
                occasion,
                facts,
                thread=f"report-{own.id}",
                with_html=with_html,
            )
        if one.channel is Channel.SMS:
            return Message(
                delivery_id=one.id,
                channel=one.channel,
                to=_given(follower.phone or follower.person_phone),
                locale=one.locale,
                subject="",
                body=short_text(occasion, one.locale, facts),
                link=facts.link,
            )
        if browser is None:
            raise _GoneError("no browser")
        note = push_note(occasion, one.locale, facts)
        return Message(
            delivery_id=one.id,
            channel=one.channel,
            to=f"browser {browser.id}",
            locale=one.locale,
            subject=note.title,
            body=note.text,
            thread=f"report-{own.id}",
            link=facts.link,
            target=PushTarget(
                browser.endpoint, browser.keys.get("p256dh", ""), browser.keys.get("auth", "")
            ),
        )

    def _follower_of(self, browser: Record, one: Claimed) -> Record | None:
        """The follower whom a browser stands for: its own, or its person's of this report."""
        if browser.follower_id is not None:
            return self.followers.get(browser.follower_id)
        candidates = [
            follower
            for follower in self.followers.values()
            if follower.person_id == browser.person_id and follower.left_at is None
        ]
        return min(
            candidates, key=lambda f: (f.report_id != one.report_id, str(f.id)), default=None
        )

    def _facts(
        self,
        one: Claimed,
        occasion: Occasion,
        follower: Record,
        own: Record,
        lead: Record,
    ) -> Facts:
        place = self.places[own.jurisdiction_id]
        service = self.catalogues[own.jurisdiction_id].by_id[own.service_id]
        locale, zone = one.locale, place.time_zone
        other = self._parent(one) if lead is own else lead
        team = self.teams.get(lead.team_id)
        address = own.address or own.address_given
        if not follower.is_reporter:
            address = public_address(address, service.public_precision)
        note = self._note(one) if occasion in _WITH_NOTE else ""
        if occasion is Occasion.CONFIRM:
            link = self.links.confirm(follower.id, follower.token_version, locale)
            leave_url = ""
        else:
            link = (
                self.links.track(own.id, own.token_version, locale)
                if follower.is_reporter
                else self.links.report(place.code, own.number, locale)
            )
            leave_url = self.links.leave(follower.id, follower.token_version, locale)
        reopen_until = (
            reopening_ends_at(lead.resolved_at, service.reopen_days) if lead.resolved_at else None
        )
        return Facts(
            city=_city(place, locale),
            number=own.number,
            service=pick(service.names, locale, place.default_locale),
            address=address or "",
            requested_on=_day(place, locale, zone, own.requested_at),
            due_on=_day(place, locale, zone, lead.due_at),
            status=lead.status,
            team=pick(team.names, locale, place.default_locale) if team is not None else "",
            note=note,
            parent_number=other.number if other is not None else None,
            is_reporter=follower.is_reporter,
            contact=_contact(place),
            reopen_until=_day(place, locale, zone, reopen_until),
            link=link,
            leave_url=leave_url,
        )

    def _parent(self, one: Claimed) -> Record | None:
        parent_id = _uuid(one.data.get("parent_id"))
        return self.reports.get(parent_id) if parent_id is not None else None

    def _note(self, one: Claimed) -> str:
        if (note_id := _uuid(one.data.get("note_id"))) is not None:
            note = self.notes.get(note_id)
        else:
            note = self.notes_of_history.get(one.data.get("history_id") or 0)
        return str(note.body) if note is not None else ""

    def _letter(
        self,
        one: Claimed,
        to: str,
        occasion: Occasion,
        facts: Facts,
        *,
        thread: str | None,
        with_html: bool,
    ) -> Message:
        place = self.places.get(one.jurisdiction_id)
        words = letter(occasion, one.locale, facts, with_html=with_html)
        return Message(
            delivery_id=one.id,
            channel=Channel.EMAIL,
            to=to,
            locale=one.locale,
            subject=words.subject,
            body=words.text,
            html=words.html,
            from_name=facts.city,
            reply_to=(place.contact.get("email") or None) if place is not None else None,
            thread=thread,
            unsubscribe_url=facts.leave_url or None,
        )

    def _sign_in(self, one: Claimed, now: datetime, *, with_html: bool) -> Message:
        challenge = self.challenges.get(UUID(one.recipient_id))
        if challenge is None or challenge.used_at is not None or challenge.expires_at <= now:
            raise _GoneError("expired")
        place = self.places.get(one.jurisdiction_id)
        zone: tzinfo = place.time_zone if place is not None else UTC
        facts = Facts(
            city=_city(place, one.locale) if place is not None else "Riverain",
            link=self.links.sign_in(challenge.id, one.locale),
            code=challenges.code(self.links.secret, challenge.id),
            expires_at=clock_in(
                one.locale, place.country if place is not None else "", zone, challenge.expires_at
            ),
        )
        return self._letter(
            one, challenge.email, Occasion.SIGN_IN, facts, thread=None, with_html=with_html
        )

    def _digest(self, one: Claimed, *, with_html: bool) -> Message:
        team = self.teams.get(int(one.recipient_id))
        work = self.work.get(one.id)
        if team is None or work is None or not team.is_active:
            raise _GoneError("no team")
        place = self.places[one.jurisdiction_id]
        facts = digests.facts_of(
            work,
            locale=one.locale,
            place=place,
            catalogue=self.catalogues[one.jurisdiction_id],
            team_name=pick(team.names, one.locale, place.default_locale),
            city=_city(place, one.locale),
            link=self.links.queue(team.code),
        )
        return self._letter(
            one,
            _given(team.email),
            Occasion.DIGEST,
            facts,
            thread=f"team-{team.id}",
            with_html=with_html,
        )

    def _call(self, one: Claimed) -> Message:
        endpoint = self.endpoints.get(UUID(one.recipient_id))
        if endpoint is None or endpoint.disabled_at is not None:
            raise _GoneError("endpoint gone")
        payload = {
            "type": one.event,
            "timestamp": _instant(one.created_at),
            "data": {"event_id": one.event_id, **_public_ids(one.data), **self._subject(one)},
        }
        return Message(
            delivery_id=one.id,
            channel=Channel.WEBHOOK,
            to=f"endpoint {endpoint.id}",
            locale=one.locale,
            subject=one.event,
            body=json.dumps(payload, ensure_ascii=False, separators=(",", ":")),
            target=WebhookTarget(
                endpoint.url,
                webhook_secret(self.links.secret, endpoint.id, endpoint.secret_version),
            ),
        )

    def _subject(self, one: Claimed) -> dict[str, Any]:
        """What another system is told of a report: what the public may know, and where to ask."""
        report = self.reports.get(one.report_id) if one.report_id else None
        if report is None:
            return {}
        service = self.catalogues[report.jurisdiction_id].by_id[report.service_id]
        team = self.teams.get(report.team_id)
        return {
            "report": {
                "id": str(report.id),
                "number": report.number,
                "jurisdiction": self.places[report.jurisdiction_id].code,
                "service_code": service.code,
                "status": report.status,
                "is_public": report.visibility == Visibility.PUBLIC,
                "team": team.code if team is not None else None,
                "parent_id": str(report.parent_id) if report.parent_id else None,
                "requested_at": _instant(report.requested_at),
                "updated_at": _instant(report.updated_at),
                "due_at": _instant(report.due_at),
                "resolved_at": _instant(report.resolved_at),
                "url": self.links.api_report(report.id),
            }
        }


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
        parent for one in claimed if (parent := _uuid(one.data.get("parent_id"))) is not None
    }
    reports = _by_id(session, _REPORT, ServiceRequest.id, report_ids)
    team_ids = {row.team_id for row in reports.values() if row.team_id is not None}
    team_ids |= {int(one.recipient_id) for one in of_kind.get(RecipientKind.TEAM, ())}
    notes = _notes(session, claimed)
    work = digests.work_of(session, of_kind.get(RecipientKind.TEAM, ()))
    place_ids = {row.jurisdiction_id for row in reports.values()}
    known = {place.id for place in jurisdictions.all_of_them(session)}
    place_ids |= {one.jurisdiction_id for one in claimed if one.jurisdiction_id in known}
    return Gathered(
        links=links,
        followers=followers,
        browsers=browsers,
        reports=reports,
        teams=_by_id(session, _TEAM, Team.id, team_ids),
        notes={row.id: row for row in notes},
        # The first words of an entry: a status change has one public note.
        notes_of_history={row.history_id: row for row in reversed(notes) if row.history_id},
        challenges=_by_id(session, _CHALLENGE, SignInChallenge.id, ids(RecipientKind.CHALLENGE)),
        endpoints=_by_id(session, _ENDPOINT, WebhookEndpoint.id, ids(RecipientKind.WEBHOOK)),
        work=work,
        places={each: jurisdictions.by_id(session, each) for each in place_ids},
        catalogues={each: catalogue_of(session, each) for each in place_ids},
    )


def webhook_secret(secret: str, endpoint_id: UUID, version: int) -> str:
    """The key that an endpoint's calls are signed with, in the form of Standard Webhooks.

    Derived, never stored; raising the endpoint's version makes another.
    """
    return (
        "whsec_" + base64.b64encode(key_for(secret, Purpose.WEBHOOK, endpoint_id, version)).decode()
    )


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
    SignInChallenge.expires_at,
    SignInChallenge.used_at,
)

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
    told = [one for one in claimed if one.event in _WITH_NOTE]
    note_ids = {_uuid(one.data.get("note_id")) for one in told} - {None}
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


def _city(place: JurisdictionRef, locale: str) -> str:
    """Who speaks: the name the city gave for that, else the jurisdiction's."""
    names = place.contact.get("name")
    if isinstance(names, Mapping):
        return pick(names, locale, place.default_locale)
    return pick(place.names, locale, place.default_locale)


def _contact(place: JurisdictionRef) -> str:
    return str(place.contact.get("email") or place.contact.get("phone") or "")


def _day(place: JurisdictionRef, locale: str, zone: tzinfo, instant: datetime | None) -> str:
    return day_in(locale, place.country, instant.astimezone(zone).date()) if instant else ""


def _given(address: str | None) -> str:
    if not address:
        raise _GoneError("no address")
    return address


def _public_ids(data: Mapping[str, Any]) -> dict[str, Any]:
    """Of an event's data what another system may know: not the rows of people or of words."""
    return {
        name: value
        for name, value in data.items()
        if name in ("from", "to", "parent_id", "photo_id")
    }


def _instant(instant: datetime | None) -> str | None:
    if instant is None:
        return None
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _uuid(value: object) -> UUID | None:
    return UUID(value) if isinstance(value, str) else None
