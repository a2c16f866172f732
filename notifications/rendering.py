"""From a claimed delivery to a message: the present facts, the reader's language, the links.

`message` makes each message from what `notifications.gathering` read for its batch, without the
database, so that it can be done outside the transaction.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from typing import Any
from uuid import UUID

from accounts import challenges
from core.i18n import pick
from core.tokens import Purpose, key_for
from geo.jurisdictions import JurisdictionRef
from notifications import digests, volunteers
from notifications.gathering import WITH_NOTE, Gathered, Record, uuid_in
from notifications.messages import Claimed, Message, NotSent, PushTarget, WebhookTarget
from notifications.rules import OF_VOLUNTEERS, is_overtaken
from notifications.vocabulary import Channel, Fault, Occasion, RecipientKind
from notifications.wording import Facts, clock_in, day_in, letter, push_note, short_text
from reports.rules import public_address, reopening_ends_at
from reports.vocabulary import Status, Visibility


class _GoneError(Exception):
    """There is nobody to send it to any more; the text says why, as a code."""


def message(known: Gathered, one: Claimed, *, now: datetime, with_html: bool) -> Message | NotSent:
    """The message of one delivery, or why it is not sent."""
    try:
        if one.recipient_kind is RecipientKind.WEBHOOK:
            return _call(known, one)
        if one.recipient_kind is RecipientKind.CHALLENGE:
            return _proof(known, one, now, with_html=with_html)
        if one.event in OF_VOLUNTEERS:
            return _volunteer(known, one, with_html=with_html)
        if one.recipient_kind is RecipientKind.PERSON:
            return _account(known, one, with_html=with_html)
        if one.recipient_kind is RecipientKind.INVITATION:
            return _invitation(known, one, now, with_html=with_html)
        if one.recipient_kind is RecipientKind.COPY:
            return _copy(known, one, with_html=with_html)
        if one.recipient_kind is RecipientKind.TEAM:
            return _digest(known, one, with_html=with_html)
        return _news(known, one, now, with_html=with_html)
    except _GoneError as gone:
        return NotSent(Fault.GIVE_UP_ON_RECIPIENT, str(gone))


def _news(known: Gathered, one: Claimed, now: datetime, *, with_html: bool) -> Message:
    """What somebody who follows a report hears of it."""
    occasion = Occasion(one.event)
    browser = None
    if one.recipient_kind is RecipientKind.BROWSER:
        browser = known.browsers.get(UUID(one.recipient_id))
        if browser is None:
            raise _GoneError("browser gone")
        follower = _follower_of(known, browser, one)
    else:
        follower = known.followers.get(UUID(one.recipient_id))
    is_confirming = occasion is Occasion.CONFIRM
    # A reporter who asks for news again has left until they confirm it.
    is_back = is_confirming and follower is not None and follower.is_reporter
    if follower is None or (follower.left_at is not None and not is_back):
        raise _GoneError("left")
    if not (follower.is_reporter or follower.confirmed_at or is_confirming):
        raise _GoneError("not confirmed")
    own = known.reports.get(follower.report_id)
    lead = known.reports.get(one.report_id) if one.report_id else own
    if own is None or lead is None:
        raise _GoneError("no report")
    if is_overtaken(occasion, lead.status, now - one.created_at):
        raise _GoneError("overtaken")
    if occasion is Occasion.REOPENED and one.data.get("history_id") in known.taken_back:
        raise _GoneError("taken back")
    if own is not lead and own.parent_id is None:
        raise _GoneError("separated")
    if occasion is Occasion.NOT_OVER and not Status(lead.status).is_open:
        raise _GoneError("over")
    facts = _facts(known, one, occasion, follower, own, lead)
    if one.channel is Channel.EMAIL:
        return _letter(
            known,
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


def _follower_of(known: Gathered, browser: Record, one: Claimed) -> Record | None:
    """The follower whom a browser stands for: its own, or its person's of this report."""
    if browser.follower_id is not None:
        return known.followers.get(browser.follower_id)
    candidates = [
        follower
        for follower in known.followers.values()
        if follower.person_id == browser.person_id and follower.left_at is None
    ]
    return min(candidates, key=lambda f: (f.report_id != one.report_id, str(f.id)), default=None)


def _facts(
    known: Gathered,
    one: Claimed,
    occasion: Occasion,
    follower: Record,
    own: Record,
    lead: Record,
) -> Facts:
    place = known.places[own.jurisdiction_id]
    service = known.catalogues[own.jurisdiction_id].by_id[own.service_id]
    locale, zone = one.locale, place.time_zone
    other = _parent(known, one) if lead is own else lead
    told = known.told.get(own.id)
    team = known.teams.get(lead.team_id)
    address = own.address or own.address_given
    if not follower.is_reporter:
        address = public_address(address, service.public_precision)
    note = _note(known, one) if occasion in WITH_NOTE else ""
    if occasion is Occasion.CONFIRM:
        link = known.links.confirm(follower.id, follower.token_version, locale)
        leave_url = ""
    else:
        link = (
            known.links.track(own.id, own.token_version, locale)
            if follower.is_reporter
            else known.links.report(place.code, own.number, locale)
        )
        leave_url = known.links.leave(follower.id, follower.token_version, locale)
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
        status_before=str(one.data.get("from") or ""),
        team=pick(team.names, locale, place.default_locale) if team is not None else "",
        note=note,
        parent_number=other.number if other is not None else None,
        people=told.people if told is not None else 0,
        is_reporter=follower.is_reporter,
        contact=_contact(place),
        reopen_until=_day(place, locale, zone, reopen_until),
        link=link,
        leave_url=leave_url,
    )


def _parent(known: Gathered, one: Claimed) -> Record | None:
    parent_id = uuid_in(one.data.get("parent_id"))
    return known.reports.get(parent_id) if parent_id is not None else None


def _note(known: Gathered, one: Claimed) -> str:
    if (note_id := uuid_in(one.data.get("note_id"))) is not None:
        note = known.notes.get(note_id)
    else:
        note = known.notes_of_history.get(one.data.get("history_id") or 0)
    return str(note.body) if note is not None else ""


def _letter(
    known: Gathered,
    one: Claimed,
    to: str,
    occasion: Occasion,
    facts: Facts,
    *,
    thread: str | None,
    with_html: bool,
) -> Message:
    place = known.places.get(one.jurisdiction_id)
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


def _proof(known: Gathered, one: Claimed, now: datetime, *, with_html: bool) -> Message:
    """The code that proves a contact, and to sign in the link that does."""
    challenge = known.challenges.get(UUID(one.recipient_id))
    if challenge is None or challenge.used_at is not None or challenge.expires_at <= now:
        raise _GoneError("expired")
    place = known.places.get(one.jurisdiction_id)
    zone: tzinfo = place.time_zone if place is not None else UTC
    occasion = Occasion(one.event)
    is_sign_in = occasion is Occasion.SIGN_IN
    until = clock_in(
        one.locale, place.country if place is not None else "", zone, challenge.expires_at
    )
    facts = Facts(
        city=_city(place, one.locale) if place is not None else "Riverain",
        link=known.links.sign_in(challenge.id, one.locale) if is_sign_in else "",
        code=challenges.code(known.links.secret, challenge.id),
        # Where no city is meant nobody knows the reader's clock.
        expires_at=until if place is not None else f"{until} UTC",
    )
    to = challenge.email if one.channel is Channel.EMAIL else challenge.phone
    return _to_person(known, one, _given(to), occasion, facts, with_html=with_html)


def _account(known: Gathered, one: Claimed, *, with_html: bool) -> Message:
    """Word of a change to somebody's account: where a new contact is or was proved, to where they
    were reached before, whatever became of it since."""
    person = known.people.get(UUID(one.recipient_id))
    challenge_id = uuid_in(one.data.get("challenge_id"))
    challenge = known.challenges.get(challenge_id) if challenge_id is not None else None
    if person is None or (challenge_id is not None and challenge is None):
        raise _GoneError("erased")
    email, phone = (
        (person.email, person.phone)
        if challenge is None
        else (challenge.old_email, challenge.old_phone)
    )
    occasion = Occasion(one.event)
    place = known.places.get(one.jurisdiction_id)
    facts = Facts(
        city=_city(place, one.locale) if place is not None else "Riverain",
        contact=_contact(place) if place is not None else "",
        change=str(one.data.get("change", "")),
    )
    to = email if one.channel is Channel.EMAIL else phone
    return _to_person(known, one, _given(to), occasion, facts, with_html=with_html)


def _to_person(
    known: Gathered,
    one: Claimed,
    to: str,
    occasion: Occasion,
    facts: Facts,
    *,
    thread: str | None = None,
    with_html: bool,
) -> Message:
    """A message about an account or an asset, not a report: a letter or a text."""
    if one.channel is Channel.EMAIL:
        return _letter(known, one, to, occasion, facts, thread=thread, with_html=with_html)
    return Message(
        delivery_id=one.id,
        channel=one.channel,
        to=to,
        locale=one.locale,
        subject="",
        body=short_text(occasion, one.locale, facts),
    )


def _volunteer(known: Gathered, one: Claimed, *, with_html: bool) -> Message:
    """What somebody hears of an asset they look after, wait for or are offered."""
    place = known.places[one.jurisdiction_id]
    told = volunteers.told(known.volunteers, known.links, place, one)
    if isinstance(told, str):
        raise _GoneError(told)
    facts = replace(told.facts, city=_city(place, one.locale), contact=_contact(place))
    to = _given(told.email if one.channel is Channel.EMAIL else told.phone)
    return _to_person(
        known, one, to, Occasion(one.event), facts, thread=told.thread, with_html=with_html
    )


def _invitation(known: Gathered, one: Claimed, now: datetime, *, with_html: bool) -> Message:
    invitation = known.invitations.get(UUID(one.recipient_id))
    if (
        invitation is None
        or invitation.accepted_at is not None
        or invitation.revoked_at is not None
        or invitation.expires_at <= now
    ):
        raise _GoneError("expired")
    place = known.places[one.jurisdiction_id]
    facts = Facts(
        city=_city(place, one.locale),
        role=invitation.role,
        team=pick(invitation.team_names or {}, one.locale, place.default_locale) or "",
        link=known.links.invitation(invitation.id, invitation.version, one.locale),
        expires_at=day_in(
            one.locale, place.country, invitation.expires_at.astimezone(place.time_zone).date()
        ),
    )
    return _letter(
        known,
        one,
        invitation.email,
        Occasion.INVITATION,
        facts,
        thread=None,
        with_html=with_html,
    )


def _copy(known: Gathered, one: Claimed, *, with_html: bool) -> Message:
    """What somebody hears of a report because a routing rule says so."""
    address = known.copies.get(one.recipient_id)
    report = known.reports.get(one.report_id) if one.report_id else None
    if address is None or report is None or report.parent_id is not None:
        raise _GoneError("no copy")
    place = known.places[report.jurisdiction_id]
    service = known.catalogues[report.jurisdiction_id].by_id[report.service_id]
    team = known.teams.get(report.team_id)
    facts = Facts(
        city=_city(place, one.locale),
        number=report.number,
        service=pick(service.names, one.locale, place.default_locale),
        address=report.address or report.address_given or "",
        requested_on=_day(place, one.locale, place.time_zone, report.requested_at),
        due_on=_day(place, one.locale, place.time_zone, report.due_at),
        status=report.status,
        team=pick(team.names, one.locale, place.default_locale) if team is not None else "",
        contact=_contact(place),
        link=known.links.report(place.code, report.number, one.locale),
    )
    return _letter(
        known, one, address, Occasion.COPIED, facts,
        thread=f"report-{report.id}", with_html=with_html,
    )  # fmt: skip


def _digest(known: Gathered, one: Claimed, *, with_html: bool) -> Message:
    team = known.teams.get(int(one.recipient_id))
    work = known.work.get(one.id)
    if team is None or work is None or not team.is_active:
        raise _GoneError("no team")
    place = known.places[one.jurisdiction_id]
    facts = digests.facts_of(
        work,
        locale=one.locale,
        place=place,
        catalogue=known.catalogues[one.jurisdiction_id],
        team_name=pick(team.names, one.locale, place.default_locale),
        city=_city(place, one.locale),
        link=known.links.queue(team.code),
    )
    return _letter(
        known,
        one,
        _given(team.email),
        Occasion.DIGEST,
        facts,
        thread=f"team-{team.id}",
        with_html=with_html,
    )


def _call(known: Gathered, one: Claimed) -> Message:
    endpoint = known.endpoints.get(UUID(one.recipient_id))
    if endpoint is None or endpoint.disabled_at is not None:
        raise _GoneError("endpoint gone")
    payload = {
        "type": one.event,
        "timestamp": _instant(one.created_at),
        "data": {"event_id": one.event_id, **_public_ids(one.data), **_subject(known, one)},
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
            webhook_secret(known.links.secret, endpoint.id, endpoint.secret_version),
        ),
    )


def _subject(known: Gathered, one: Claimed) -> dict[str, Any]:
    """What another system is told of a report: what the public may know, and where to ask."""
    report = known.reports.get(one.report_id) if one.report_id else None
    if report is None:
        return {}
    service = known.catalogues[report.jurisdiction_id].by_id[report.service_id]
    team = known.teams.get(report.team_id)
    return {
        "report": {
            "id": str(report.id),
            "number": report.number,
            "jurisdiction": known.places[report.jurisdiction_id].code,
            "service_code": service.code,
            "status": report.status,
            "is_public": report.visibility == Visibility.PUBLIC,
            "team": team.code if team is not None else None,
            "parent_id": str(report.parent_id) if report.parent_id else None,
            "requested_at": _instant(report.requested_at),
            "updated_at": _instant(report.updated_at),
            "due_at": _instant(report.due_at),
            "resolved_at": _instant(report.resolved_at),
            "url": known.links.api_report(report.id),
        }
    }


def webhook_secret(secret: str, endpoint_id: UUID, version: int) -> str:
    """The key that an endpoint's calls are signed with, in the form of Standard Webhooks.

    Derived, never stored; raising the endpoint's version makes another.
    """
    return (
        "whsec_" + base64.b64encode(key_for(secret, Purpose.WEBHOOK, endpoint_id, version)).decode()
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
    return {name: value for name, value in data.items() if name in _PUBLIC_DATA}


#: What of an event's data leaves the house by webhook.
_PUBLIC_DATA = frozenset(
    {
        "from", "to", "parent_id", "photo_id", "asset_id", "adoption_id", "version", "state",
        "origin", "reason", "correction_id", "what", "decision",
        "action", "call_id", "campaign_id", "round_id", "answer",
    }
)  # fmt: skip


def _instant(instant: datetime | None) -> str | None:
    if instant is None:
        return None
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
