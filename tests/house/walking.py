"""Every route of the application with sample arguments, and a world to call them in.

Two cities, the first with two teams, and somebody of every kind who may call. What
`test_authorization` and `test_hostile` walk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from accounts import keys
from accounts.access import Access, Gate, declarations
from accounts.models import ApiKey, Block, Invitation, RoleGrant, SignInSession
from accounts.rules import PERMISSIONS, BlockKind, Permission, Role
from assets.adoption.models import Handover
from assets.care.models import CareCall
from core.clock import utc_now
from core.db import db
from core.ids import new_id
from geo.models import Jurisdiction
from notifications.models import PushSubscription, WebhookEndpoint
from open311.downstream_models import DownstreamEndpoint, Forwarding
from reports import rule_versions
from reports.routing.grammar import parse
from reports.vocabulary import Status, Visibility
from tests.factories import (
    COMEDIE,
    SignedIn,
    new_adoption,
    new_asset,
    new_asset_kind,
    new_campaign,
    new_citizen,
    new_correction,
    new_follower,
    new_jurisdiction,
    new_photo,
    new_report,
    new_service,
    new_staff,
    new_team,
)


class Where(Enum):
    """Whose work a thing is, seen from the callers' city and team."""

    OWN = "own"
    OTHER_TEAM = "other_team"
    FOREIGN = "foreign"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Place:
    """What stands in one city, or belongs to one team of it."""

    city: Jurisdiction
    report: UUID
    private: UUID
    number: int
    follower: UUID
    photo: UUID
    webhook: UUID
    forwarding: UUID
    subscription: UUID
    person: UUID
    grant: int
    invitation: UUID
    block: UUID
    session: UUID
    key: UUID
    team: str
    service: str
    asset: UUID
    asset_kind: str
    adoption: UUID
    correction: UUID
    care_call: UUID
    campaign: UUID
    handover: UUID
    #: Whose values bodies are filled with: what is missing is so in the path alone.
    body: Place | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who makes every call.

    Attributes:
        role: None for nobody and for citizens.
        city: where the role holds; with `team`, for that team's work only.
    """

    name: str
    headers: Mapping[str, str]
    role: Role | None = None
    where: Where = Where.OWN
    is_team: bool = False

    def may(self, needed: Permission, where: Where) -> bool:
        """What `PERMISSIONS` and the scope of the grant come to."""
        if self.role is None or needed not in PERMISSIONS[self.role]:
            return False
        if self.where is Where.FOREIGN or self.is_team:
            return where is self.where
        return where in (Where.OWN, Where.OTHER_TEAM)


@dataclass(frozen=True, slots=True)
class World:
    """Two cities, the first with two teams, and everybody who may call."""

    places: Mapping[Where, Place]
    callers: Mapping[str, Caller]
    session: Session


#: What stands for a part of a path, by its name, or by endpoint and name. A report is one that the
#: public may see, but where the test says otherwise.
ARGUMENTS: Mapping[str, Callable[[Place], Any]] = {
    "asset_id": lambda place: place.asset,
    "campaign_id": lambda place: place.campaign,
    "row_id": lambda place: new_id(),
    "letter_id": lambda place: new_id(),
    "call_id": lambda place: place.care_call,
    "correction_id": lambda place: place.correction,
    "adoption_id": lambda place: place.adoption,
    "handover_id": lambda place: place.handover,
    "wait_id": lambda place: new_id(),
    "help_id": lambda place: new_id(),
    "choice": lambda place: "done",
    "other_id": lambda place: place.private,
    "report_id": lambda place: place.report,
    "endpoint_id": lambda place: place.webhook,
    "subscription_id": lambda place: place.subscription,
    "forwarding_id": lambda place: place.forwarding,
    "follower_id": lambda place: place.follower,
    "photo_id": lambda place: place.photo,
    "person_id": lambda place: place.person,
    "grant_id": lambda place: place.grant,
    "invitation_id": lambda place: place.invitation,
    "block_id": lambda place: place.block,
    "session_id": lambda place: place.session,
    "key_id": lambda place: place.key,
    "team": lambda place: place.team,
    "code": lambda place: place.service,
    "jurisdiction": lambda place: place.city.code,
    "number": lambda place: place.number,
    "trip_id": lambda place: new_id(),
    "trips.send_part:number": lambda place: 1,
    "version": lambda place: 987_654 if place.service == "no-such-service" else 1,
    "token": lambda place: "AAAAAAAAAAAAAAAAAAAAAA",
    "challenge_id": lambda place: new_id(),
    "action": lambda place: "withdrawal",
    "web.change_account:action": lambda place: "password",
    "size": lambda place: "full",
    "defect_id": lambda place: new_id(),
    "name": lambda place: "riverain.css",
    "suffix": lambda place: "json",
}


def campaign_body(place: Place) -> dict[str, Any]:
    """A campaign by hand."""
    today = utc_now().date()
    return {
        "jurisdiction": place.city.code,
        "name": "Snow",
        "kind": place.asset_kind,
        "starts_on": today.isoformat(),
        "ends_on": (today + timedelta(days=90)).isoformat(),
        "words": {"en": {"subject": "Snow", "text": "Please clear {asset}."}},
    }


#: What the bodies are filled with: the smallest that each operation takes.
BODIES: Mapping[str, Callable[[Place], dict[str, Any]]] = {
    "suggestions.answer_suggestion": lambda _place: {"same": False},
    "suggestions.set_priority": lambda _place: {"priority": "high"},
    "accounts.sign_in": lambda place: {"email": "a@b.example", "password": "a long wrong one"},
    "accounts.ask_for_link": lambda place: {"email": "a@b.example"},
    "intake.suggest_services_for": lambda place: {
        "text": "Un trou dans la chaussée",
        "jurisdiction": place.city.code,
    },
    "intake.submit_report": lambda place: {
        "service_code": place.service,
        "jurisdiction": place.city.code,
        "lat": COMEDIE.lat,
        "lon": COMEDIE.lon,
    },
    "assets.create_asset": lambda place: {
        "jurisdiction": place.city.code,
        "kind": place.asset_kind,
        "lat": COMEDIE.lat,
        "lon": COMEDIE.lon,
    },
    "helping.answer_report": lambda _place: {"answer": "done"},
    "care.log_care": lambda place: {"action": "checked"},
    "trips.send_trip": lambda place: {"samples": {"t": [], "ax": [], "ay": [], "az": []}},
    "trips.complete_trip": lambda place: {"parts": 1},
    "care.write_to_volunteers": lambda place: {
        "jurisdiction": place.city.code,
        "subject": "Snow",
        "text": "It is on its way.",
    },
    "campaigns.create_campaign": campaign_body,
    "campaigns.preview_new_campaign": campaign_body,
    "campaigns.change_campaign": lambda _place: {"name": "Frost"},
    "campaigns.set_campaign_state": lambda _place: {"state": "paused"},
    "campaigns.send_campaign": lambda _place: {},
    "corrections.correct_asset": lambda place: {"what": "gone"},
    "corrections.propose_missing": lambda place: {
        "kind": place.asset_kind,
        "jurisdiction": place.city.code,
        "lat": COMEDIE.lat + 0.001,
        "lon": COMEDIE.lon,
    },
    "corrections.decide_correction": lambda place: {"accept": True},
    "adoption.adopt_asset": lambda place: {},
    "adoption.change_adoption": lambda place: {"shows_name": True},
    "adoption.offer_handover": lambda place: {"email": "new@courriel.example"},
    "adoption.decide_name": lambda place: {"approve": True},
    "adoption.end_adoption": lambda place: {"reason": "Moved away"},
    "assets.change_asset": lambda place: {"state": "out_of_order"},
    "reports.add_to_report": lambda place: {"text": "Encore"},
    "reports.answer_question": lambda place: {"text": "Côté pair"},
    "reports.withdraw_report": lambda place: {},
    "reports.say_not_fixed": lambda place: {},
    "reports.follow_report": lambda place: {"email": "ana@b.example"},
    "reports.confirm_follower": lambda place: {"token": "AAAAAAAAAAAAAAAAAAAAAA"},
    "staff.move_report": lambda place: {"status": "in_progress"},
    "staff.assign_report": lambda place: {"team": place.team},
    "staff.comment_on_report": lambda place: {"note": "Vu"},
    "staff.ask_reporter": lambda place: {"question": "De quel côté ?"},
    "staff.join_report": lambda place: {"report": str(place.private)},
    "staff.change_service": lambda place: {"service_code": place.service},
    "staff.change_place": lambda place: {"lat": COMEDIE.lat, "lon": COMEDIE.lon},
    "staff.choose_asset": lambda place: {"asset_id": str(place.asset)},
    "staff.change_visibility": lambda place: {"visibility": "hidden"},
    "forwardings.retry_forwarding": lambda place: {},
    "forwardings.settle_forwarding": lambda place: {"remote_id": "118"},
    "rules.change_rules": lambda place: {"text": f"otherwise team {place.team}\n"},
    "rules.check_rules": lambda place: {"text": f"otherwise team {place.team}\n"},
    "rules.try_rules": lambda place: {"text": f"otherwise team {place.team}\n"},
    "redactions.redact": lambda place: {"part": "description"},
    "checks.check_report": lambda place: {"description": "Un trou"},
    "people.give_role": lambda place: {
        "role": "agent",
        "jurisdiction": place.city.code,
        "team": place.team,
    },
    "people.invite": lambda place: {
        "email": "new@ville.example",
        "role": "agent",
        "jurisdiction": place.city.code,
    },
    "people.accept": lambda place: {"token": "AAAAAAAAAAAAAAAAAAAAAA"},
    "security.change_password": lambda place: {"new": "a quite long new password 71"},
    "security.start_second_factor": lambda place: {},
    "security.confirm_second_factor": lambda place: {"code": "123456"},
    "security.turn_off_second_factor": lambda place: {"code": "123456"},
    "security.renew_recovery_codes": lambda place: {"code": "123456"},
    "person_data.erase_me": lambda place: {},
    "security.make_key": lambda place: {"name": "program"},
    "me.change_me": lambda place: {"name": "Camille"},
    "me.ask_for_contact": lambda place: {"email": "new@courriel.example"},
    "me.prove_contact": lambda place: {"challenge": str(new_id()), "code": "123456"},
    "blocks.add_block": lambda place: {
        "jurisdiction": place.city.code,
        "email": "rude@courriel.example",
        "reason": "abuse",
    },
    "notifications.add_webhook": lambda place: {
        "jurisdiction": place.city.code,
        "url": "https://93.184.215.14/hook",
    },
    "notifications.add_push_subscription": lambda place: {
        "endpoint": "https://push.example.org/x",
        "keys": {"p256dh": "A" * 87, "auth": "A" * 22},
    },
}

# -- the world -----------------------------------------------------------------------------------


def settle(session: Session) -> World:
    """Both cities with their work and their people."""
    here, there = new_jurisdiction(session), new_jurisdiction(session)
    team, other = new_team(session, here), new_team(session, here)
    places = {
        Where.OWN: new_place(session, here, team, Where.OWN),
        Where.OTHER_TEAM: new_place(session, here, other, Where.OTHER_TEAM),
        Where.FOREIGN: new_place(session, there, new_team(session, there), Where.FOREIGN),
    }
    own = places[Where.OWN]
    places[Where.MISSING] = Place(
        own.city,
        report=new_id(),
        private=new_id(),
        number=987_654,
        follower=new_id(),
        photo=new_id(),
        webhook=new_id(),
        forwarding=new_id(),
        subscription=new_id(),
        person=new_id(),
        grant=987_654,
        invitation=new_id(),
        block=new_id(),
        session=new_id(),
        key=new_id(),
        team="no-such-team",
        service="no-such-service",
        asset=new_id(),
        asset_kind="no-such-kind",
        adoption=new_id(),
        correction=new_id(),
        care_call=new_id(),
        campaign=new_id(),
        handover=new_id(),
        body=own,
    )
    callers = [Caller("nobody", {}), Caller("citizen", new_citizen(session).headers)]
    callers += [
        Caller(role.value, new_staff(session, here, role).headers, role)
        for role in set(Role) - {Role.CITIZEN}
    ]
    callers += [
        Caller(
            "agent of a team",
            new_staff(session, here, Role.AGENT, team=team).headers,
            Role.AGENT,
            is_team=True,
        ),
        Caller(
            "admin of another city",
            new_staff(session, there, Role.ADMIN).headers,
            Role.ADMIN,
            Where.FOREIGN,
        ),
        Caller(
            "key of another city",
            key_of(session, new_staff(session, there, Role.ADMIN)),
            Role.ADMIN,
            Where.FOREIGN,
        ),
    ]
    return World(places, {caller.name: caller for caller in callers}, session)


def new_forwarding(session: Session, city: Jurisdiction, team: Any, report: Any) -> Forwarding:
    """One that waits for a person."""
    code = f"secret-{team.code}"
    endpoint = DownstreamEndpoint(
        jurisdiction_id=city.id, code=code, url=f"https://{code}.example/v2", config={}
    )
    session.add(endpoint)
    session.flush()
    now = utc_now()
    made = Forwarding(
        report_id=report.id,
        endpoint_id=endpoint.id,
        state="stuck",
        next_attempt_at=now,
        created_at=now,
    )
    session.add(made)
    session.flush()
    return made


def new_place(session: Session, city: Jurisdiction, team: Any, where: Where) -> Place:
    service = new_service(session, city)
    kind = new_asset_kind(session, city, owner_team_id=team.id)
    asset = new_asset(session, kind)
    adoption = new_adoption(session, asset, name_wanted=f"secret-{where.value}")
    call = CareCall(jurisdiction_id=city.id, asset_id=asset.id, called_at=utc_now())
    session.add(call)
    handover = Handover(
        adoption_id=adoption.id,
        email=f"contact-{where.value}-new@courriel.example",
        locale="fr",
        offered_at=utc_now(),
        until=utc_now() + timedelta(days=7),
    )
    session.add(handover)
    session.flush()
    text = f"otherwise team {team.code}\n"
    rule_versions.load(session, city.id, parse(text), text, force=True, now=utc_now())
    report = new_report(session, service, status=Status.TRIAGED, team=team)
    private = new_report(
        session,
        service,
        status=Status.TRIAGED,
        team=team,
        visibility=Visibility.HELD.value,
        description=f"secret-{where.value}",
    )
    for each in (report, private):
        follower = new_follower(
            session,
            each,
            is_reporter=True,
            name=f"contact-{where.value}",
            email=f"contact-{where.value}-{each.number}@courriel.example",
        )
    webhook = WebhookEndpoint(
        jurisdiction_id=city.id,
        url=f"https://secret-{where.value}.example.org/hook",
        events=[],
        created_at=utc_now(),
    )
    subscription = PushSubscription(
        follower_id=follower.id,
        endpoint=f"https://push.example.org/{where.value}",
        keys={},
        created_at=utc_now(),
    )
    somebody = new_staff(
        session, city, Role.VIEWER, team=team, email=f"staff-{where.value}@ville.example"
    )
    key_of(session, somebody)
    invitation = Invitation(
        email=f"staff-{where.value}-invited@ville.example",
        role=Role.VIEWER.value,
        jurisdiction_id=city.id,
        team_id=team.id,
        created_at=utc_now(),
        expires_at=utc_now() + timedelta(days=7),
    )
    block = Block(
        jurisdiction_id=city.id,
        kind=BlockKind.NETWORK.value,
        network="192.0.2.0/24",
        reason=f"secret-{where.value}",
        created_at=utc_now(),
    )
    session.add_all([webhook, subscription, invitation, block])
    session.flush()
    return Place(
        city,
        report=report.id,
        private=private.id,
        number=report.number,
        follower=follower.id,
        photo=new_photo(session, private).id,
        webhook=webhook.id,
        forwarding=new_forwarding(session, city, team, report).id,
        subscription=subscription.id,
        person=somebody.id,
        grant=one_of(session, RoleGrant, somebody).id,
        invitation=invitation.id,
        block=block.id,
        session=one_of(session, SignInSession, somebody).id,
        key=one_of(session, ApiKey, somebody).id,
        team=team.code,
        service=service.code,
        asset=asset.id,
        asset_kind=kind.code,
        adoption=adoption.id,
        care_call=call.id,
        campaign=new_campaign(session, kind, name=f"secret-{where.value}").id,
        correction=new_correction(session, asset, note=f"secret-{where.value}").id,
        handover=handover.id,
    )


def one_of(session: Session, model: Any, somebody: SignedIn) -> Any:
    """The one row of that person."""
    return session.scalars(sa.select(model).filter_by(person_id=somebody.id)).one()


def key_of(session: Session, somebody: SignedIn) -> dict[str, str]:
    key = keys.create_key(session, somebody.person.email or "", "program", now=utc_now())
    return {"Authorization": f"Bearer {key}"}


# -- calling -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the application."""

    rule: Rule
    method: str
    access: Access

    @property
    def label(self) -> str:
        return f"{self.method} {self.rule.rule}"

    @property
    def endpoint(self) -> str:
        return self.rule.endpoint

    @property
    def is_write(self) -> bool:
        return self.method != "GET"

    @property
    def names_something(self) -> bool:
        """Whether its path names a thing that is somebody's."""
        nobodys = {"token", "size", "name", "action", "code", "suffix", "jurisdiction"}
        return bool(self.rule.arguments - nobodys)

    def sample(self, name: str) -> Callable[[Place], Any]:
        """What stands for that part of its path."""
        return ARGUMENTS.get(f"{self.endpoint}:{name}") or ARGUMENTS[name]

    def url(self, place: Place) -> str:
        """Its address for that place's things."""
        built = self.rule.build({name: self.sample(name)(place) for name in self.rule.arguments})
        assert built is not None
        return built[1]

    def open(
        self,
        client: FlaskClient,
        place: Place,
        headers: Mapping[str, str],
        **replaced: Any,
    ) -> TestResponse:
        """Call it about that place's things."""
        arguments = {name: self.sample(name)(place) for name in self.rule.arguments} | replaced
        built = self.rule.build(arguments)
        assert built is not None
        given: dict[str, Any] = {"headers": dict(headers), "buffered": True}
        if self.is_write and self.endpoint in BODIES:
            given["json"] = BODIES[self.endpoint](place.body or place)
        return client.open(built[1], method=self.method, **given)


def routes(app: Flask) -> Iterator[Route]:
    for rule, method, access in declarations(app):
        assert access is not None
        yield Route(rule, method, access)


def guarded(app: Flask) -> list[Route]:
    return [route for route in routes(app) if route.access.gate is Gate.PERMISSION]


@contextmanager
def undone(session: Session) -> Iterator[None]:
    """What a call does in this block is undone, so that the next one finds the world as it was."""
    session.commit()
    connection: Any = session.get_bind()
    around = connection.begin_nested()
    try:
        yield
    finally:
        session.rollback()
        around.rollback()
        session.expire_all()


def stored_state(session: Session) -> dict[str, tuple[int, int]]:
    """The count and a digest of the rows of every table, but for when a key was last used."""
    parts = [
        f"SELECT '{table}' AS name, count(*) AS rows, coalesce(sum(hashtextextended("
        f"(to_jsonb(t) - 'last_used_at' - 'last_seen_at')::text, 0)::numeric), 0) AS digest"
        f' FROM "{table}" AS t'
        for table in sorted(db.metadata.tables)
    ]
    found = session.execute(sa.text(" UNION ALL ".join(parts)))
    return {row.name: (row.rows, row.digest) for row in found}


def said(answer: TestResponse) -> tuple[int, Any]:
    """What an answer tells its caller: without the id of the request."""
    body = answer.get_data(as_text=True)
    document = answer.json if answer.is_json else re.sub(r"[0-9a-f-]{32,36}", "", body)
    if isinstance(document, dict):
        document.pop("request_id", None)
    return answer.status_code, document


def operation_of(document: Mapping[str, Any], route: Route) -> dict[str, Any] | None:
    path = re.sub(r"<(?:[^:<>]+:)?(\w+)>", r"{\1}", route.rule.rule)
    found: dict[str, Any] | None = document["paths"].get(path, {}).get(route.method.lower())
    return found
