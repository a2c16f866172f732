"""Nobody reads or moves another city's or team's work: every route, every role, every place.

The routes come from the application itself and the bodies are held against the API document, so a
new route is walked without a word here; one whose arguments have no sample fails the first test.
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

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from accounts import keys
from accounts.access import Access, Gate, declarations
from accounts.models import SignInSession
from accounts.rules import PERMISSIONS, Permission, Role
from accounts.secrets import SESSION_PREFIX, digest, new_token
from core.clock import utc_now
from core.db import db
from core.ids import new_id
from geo.models import Jurisdiction
from notifications.models import PushSubscription, WebhookEndpoint
from reports.models import ServiceRequest
from reports.vocabulary import Status, Visibility
from tests.factories import (
    COMEDIE,
    SignedIn,
    new_citizen,
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
    subscription: UUID
    team: str
    service: str


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


#: What stands for a part of a path. A report is one that the public may see, but where the test
#: says otherwise.
ARGUMENTS: Mapping[str, Callable[[Place], Any]] = {
    "report_id": lambda place: place.report,
    "endpoint_id": lambda place: place.webhook,
    "subscription_id": lambda place: place.subscription,
    "follower_id": lambda place: place.follower,
    "photo_id": lambda place: place.photo,
    "team": lambda place: place.team,
    "code": lambda place: place.service,
    "jurisdiction": lambda place: place.city.code,
    "number": lambda place: place.number,
    "token": lambda place: "AAAAAAAAAAAAAAAAAAAAAA",
    "challenge_id": lambda place: new_id(),
    "action": lambda place: "withdrawal",
    "size": lambda place: "full",
    "name": lambda place: "riverain.css",
}

#: What the bodies are filled with: the smallest that each operation takes.
BODIES: Mapping[str, Callable[[Place], dict[str, Any]]] = {
    "accounts.sign_in": lambda place: {"email": "a@b.example", "password": "a long wrong one"},
    "accounts.ask_for_link": lambda place: {"email": "a@b.example"},
    "intake.submit_report": lambda place: {
        "service_code": place.service,
        "jurisdiction": place.city.code,
        "lat": COMEDIE.lat,
        "lon": COMEDIE.lon,
    },
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
    "staff.change_visibility": lambda place: {"visibility": "hidden"},
    "redactions.redact": lambda place: {"part": "description"},
    "notifications.add_webhook": lambda place: {
        "jurisdiction": place.city.code,
        "url": "https://93.184.215.14/hook",
    },
    "notifications.add_push_subscription": lambda place: {
        "endpoint": "https://push.example.org/x",
        "keys": {"p256dh": "A" * 87, "auth": "A" * 22},
    },
}

#: Operations for the holder of a token that staff may do too, with what they need for it.
STAFF_TOO: Mapping[str, Permission] = {"redactions.redact": Permission.WORK_REPORTS}

#: Extra keys that an operation declares although they look like an identity, and why.
DECLARED: Mapping[tuple[str, str], str] = {
    ("intake.submit_report", "id"): "made by the client, so that a retry is the same report",
    ("staff.move_report", "status"): "what the operation is for",
}

#: What no body may decide.
IDENTITIES = (
    "id",
    "person_id",
    "user_id",
    "actor",
    "actor_id",
    "jurisdiction_id",
    "team_id",
    "role",
    "is_staff",
    "submitted_by",
    "status",
    "version",
    "visibility",
)

#: An entry says the words of no place but its own.
MARK = re.compile(r"(contact|secret)-(own|other_team|foreign)")


# -- the world -----------------------------------------------------------------------------------


@pytest.fixture
def world(session: Session) -> World:
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
        subscription=new_id(),
        team="no-such-team",
        service="no-such-service",
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


def new_place(session: Session, city: Jurisdiction, team: Any, where: Where) -> Place:
    service = new_service(session, city)
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
    session.add_all([webhook, subscription])
    session.flush()
    return Place(
        city,
        report=report.id,
        private=private.id,
        number=report.number,
        follower=follower.id,
        photo=new_photo(session, private).id,
        webhook=webhook.id,
        subscription=subscription.id,
        team=team.code,
        service=service.code,
    )


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
        return bool(self.rule.arguments - {"token", "size", "name", "action", "code"})

    def open(
        self,
        client: FlaskClient,
        place: Place,
        headers: Mapping[str, str],
        **replaced: Any,
    ) -> TestResponse:
        """Call it about that place's things."""
        arguments = {name: ARGUMENTS[name](place) for name in self.rule.arguments} | replaced
        built = self.rule.build(arguments)
        assert built is not None
        given: dict[str, Any] = {"headers": dict(headers)}
        if self.is_write and self.endpoint in BODIES:
            given["json"] = BODIES[self.endpoint](place)
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
        f"SELECT '{table}' AS name, count(*) AS count, coalesce(sum(hashtextextended("
        f"(to_jsonb(t) - 'last_used_at' - 'last_seen_at')::text, 0)::numeric), 0) AS digest"
        f' FROM "{table}" AS t'
        for table in sorted(db.metadata.tables)
    ]
    found = session.execute(sa.text(" UNION ALL ".join(parts)))
    return {row.name: (row.count, row.digest) for row in found}


def said(answer: TestResponse) -> tuple[int, Any]:
    """What an answer tells its caller: without the id of the request."""
    body = answer.get_data(as_text=True)
    document = answer.json if answer.is_json else re.sub(r"[0-9a-f-]{32,36}", "", body)
    if isinstance(document, dict):
        document.pop("request_id", None)
    return answer.status_code, document


# -- the tests -----------------------------------------------------------------------------------


def test_every_route_has_sample_arguments_here(app: Flask) -> None:
    document = app.test_client().get("/api/v1/openapi.json").get_json()
    missing = []
    for route in routes(app):
        if route.endpoint == "api-docs.openapi_json":
            continue
        missing += [f"{route.label}: {name}" for name in route.rule.arguments - set(ARGUMENTS)]
        operation = operation_of(document, route)
        takes_json = operation and "application/json" in operation.get("requestBody", {}).get(
            "content", {}
        )
        if takes_json and route.endpoint not in BODIES:
            missing.append(f"{route.label}: a body for {route.endpoint}")
    assert missing == []


def operation_of(document: Mapping[str, Any], route: Route) -> dict[str, Any] | None:
    path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route.rule.rule)
    found: dict[str, Any] | None = document["paths"].get(path, {}).get(route.method.lower())
    return found


def test_who_is_not_known_is_asked_to_sign_in_and_changes_nothing(
    app: Flask, client: FlaskClient, session: Session, world: World
) -> None:
    now = utc_now()
    person = new_citizen(session).person
    stale = {}
    for name, values in (
        ("expired", {"expires_at": now - timedelta(seconds=1)}),
        ("revoked", {"revoked_at": now}),
    ):
        stale[name] = new_token(SESSION_PREFIX)
        session.add(
            SignInSession(
                person_id=person.id,
                token_hash=digest(stale[name]),
                created_at=now - timedelta(hours=2),
                **{"expires_at": now + timedelta(hours=1), **values},
            )
        )
    shut_out = new_staff(session, world.places[Where.OWN].city, Role.ADMIN)
    shut_out.person.is_active = False
    session.flush()
    headers: list[dict[str, str]] = [
        {},
        {"Authorization": "Bearer rvs_unknown"},
        {"Authorization": "Bearer rvk_unknown"},
        {"Authorization": "Basic YTpi"},
        {"Authorization": f"Bearer {stale['expired']}"},
        {"Authorization": f"Bearer {stale['revoked']}"},
        shut_out.headers,
    ]
    before = stored_state(session)
    walked = 0
    for route in routes(app):
        if not route.access.needs_sign_in:
            continue
        for sent in headers:
            answer = route.open(client, world.places[Where.OWN], sent)
            if not route.rule.rule.startswith("/api/"):
                # A page leads to the page where one signs in.
                assert answer.status_code in (302, 303, 401), (route.label, sent)
                continue
            assert answer.status_code == 401, (route.label, sent)
            assert answer.json["code"] == "not_signed_in", (route.label, sent)
        walked += 1
    assert walked > 20
    assert stored_state(session) == before


def test_a_role_without_the_permission_is_refused_and_changes_nothing(
    app: Flask, client: FlaskClient, session: Session, world: World
) -> None:
    before = stored_state(session)
    for route in guarded(app):
        for caller in world.callers.values():
            if caller.name == "nobody" or _holds(caller, route.access.permission):
                continue
            answer = route.open(client, world.places[Where.OWN], caller.headers)
            assert answer.status_code == 403, (route.label, caller.name)
            if answer.is_json:
                assert answer.json["code"] == "forbidden", (route.label, caller.name)
    assert stored_state(session) == before


def _holds(caller: Caller, needed: Permission | None) -> bool:
    return needed is not None and caller.role is not None and needed in PERMISSIONS[caller.role]


def test_a_role_with_the_permission_is_let_in_to_its_own(
    app: Flask, client: FlaskClient, session: Session, world: World
) -> None:
    """So that the other tests do not pass because a sample was wrong."""
    for route in guarded(app):
        needed = route.access.permission
        assert needed is not None
        for caller in world.callers.values():
            if not caller.may(needed, caller.where) or is_for_whole_cities(route, caller):
                continue
            with undone(session):
                answer = route.open(client, world.places[caller.where], caller.headers)
            is_fine = answer.status_code < 300 or answer.status_code in (409, 412)
            is_form = answer.status_code in (415, 422) and route.endpoint in FORMLESS
            assert is_fine or is_form, (route.label, caller.name, answer.get_data(as_text=True))


#: They take files, which the walk does not send: who is refused, is so before they are looked at.
FORMLESS = frozenset({"staff.add_photos"})


def is_for_whole_cities(route: Route, caller: Caller) -> bool:
    """Routes whose things belong to no team, and are nothing to the staff of one team."""
    return caller.is_team and route.access.permission in (
        Permission.MANAGE_CITY,
        Permission.MANAGE_PEOPLE,
        Permission.READ_AUDIT,
    )


@pytest.mark.parametrize("is_private", [False, True], ids=["public", "private"])
def test_what_is_another_citys_or_teams_looks_missing_to_staff(
    app: Flask, client: FlaskClient, session: Session, world: World, is_private: bool
) -> None:
    """404, in the same words as for what never was, and nothing is changed."""
    before = stored_state(session)
    walked = 0
    for route in guarded(app):
        needed = route.access.permission
        if not route.names_something:
            continue
        for caller in world.callers.values():
            if not _holds(caller, needed):
                continue
            nothing = said(route.open(client, world.places[Where.MISSING], caller.headers))
            for where in (Where.OWN, Where.OTHER_TEAM, Where.FOREIGN):
                assert needed is not None
                if caller.may(needed, where):
                    continue
                place = world.places[where]
                replaced = {}
                if is_private:
                    if "report_id" not in route.rule.arguments:
                        continue
                    replaced = {"report_id": place.private}
                answer = route.open(client, place, caller.headers, **replaced)
                assert answer.status_code == 404, (route.label, caller.name, where)
                assert said(answer) == nothing, (route.label, caller.name, where)
                walked += 1
    assert walked > 50
    assert stored_state(session) == before


def test_what_is_private_looks_missing_to_everybody_else(
    app: Flask, client: FlaskClient, session: Session, world: World
) -> None:
    before = stored_state(session)
    for route in routes(app):
        if route.access.needs_sign_in or not route.rule.arguments & {"report_id", "photo_id"}:
            continue
        for caller in world.callers.values():
            nothing = said(route.open(client, world.places[Where.MISSING], caller.headers))
            for where in (Where.OWN, Where.OTHER_TEAM, Where.FOREIGN):
                if caller.may(Permission.READ_REPORTS, where):
                    continue
                place = world.places[where]
                names = route.rule.arguments & {"report_id"}
                answer = route.open(
                    client, place, caller.headers, **dict.fromkeys(names, place.private)
                )
                assert said(answer) == nothing, (route.label, caller.name, where)
    assert stored_state(session) == before


def test_a_route_for_token_holders_is_no_ones_by_role(
    app: Flask, client: FlaskClient, session: Session, world: World
) -> None:
    """Not even an admin acts as the reporter; a wrong token and another's token find nothing."""
    before = stored_state(session)
    for route in routes(app):
        if route.access.gate is not Gate.TOKEN or not route.is_write:
            continue
        for caller in world.callers.values():
            needed = STAFF_TOO.get(route.endpoint)
            if needed is not None and caller.may(Permission.READ_REPORTS, Where.OWN):
                # Who may read it and no more is told so: it is not missing to them.
                continue
            nothing = said(route.open(client, world.places[Where.MISSING], caller.headers))
            answer = route.open(client, world.places[Where.OWN], caller.headers)
            assert answer.status_code in (401, 404, 410, 422), (route.label, caller.name)
            assert said(answer)[0] == nothing[0], (route.label, caller.name)
    assert stored_state(session) == before


def test_staff_see_of_what_is_not_theirs_what_everybody_sees(
    app: Flask, client: FlaskClient, session: Session, world: World
) -> None:
    for path in ("/api/v1/reports/{}", "/api/v1/reports/{}/history"):
        for where in (Where.OWN, Where.OTHER_TEAM, Where.FOREIGN):
            url = path.format(world.places[where].report)
            everybodys = said(client.get(url))
            assert everybodys[0] == 200
            for caller in world.callers.values():
                if not caller.may(Permission.READ_REPORTS, where):
                    assert said(client.get(url, headers=caller.headers)) == everybodys, caller.name


def test_no_answer_tells_what_its_caller_may_not_read(
    app: Flask, client: FlaskClient, session: Session, world: World
) -> None:
    """Every read, about everything, by everybody: lists, pages, documents, metrics.

    Each place's private words and its reporters' names and addresses are marked; a mark may stand
    only in an answer to somebody who may read it there.
    """
    seen = set()
    for route in routes(app):
        if route.is_write:
            continue
        for caller in world.callers.values():
            wheres = [Where.OWN, Where.OTHER_TEAM, Where.FOREIGN]
            for where in wheres if route.rule.arguments else wheres[:1]:
                place = world.places[where]
                variants: list[dict[str, Any]] = [{}]
                if "report_id" in route.rule.arguments:
                    variants.append({"report_id": place.private})
                for replaced in variants:
                    answer = route.open(client, place, caller.headers, **replaced)
                    # Without workers the application is not ready, and says so.
                    is_fine = answer.status_code < 500 or route.endpoint == "readyz"
                    assert is_fine, (route.label, caller.name)
                    for kind, owner in MARK.findall(answer.get_data(as_text=True)):
                        needed = (
                            Permission.READ_CONTACTS
                            if kind == "contact"
                            else Permission.READ_REPORTS
                        )
                        assert caller.may(needed, Where(owner)), (route.label, caller.name, owner)
                        seen.add((kind, owner))
    assert len(seen) == 6


# -- who one is comes from the token, never from a body --------------------------------------------


def test_no_body_says_who_somebody_is(
    app: Flask, client: FlaskClient, session: Session, world: World
) -> None:
    """Each key that is not of the operation's own is refused by its name, and nothing happens."""
    document = client.get("/api/v1/openapi.json").json
    admin = world.callers["admin"]
    place = world.places[Where.OWN]
    before = stored_state(session)
    walked = 0
    for route in routes(app):
        operation = operation_of(document, route)
        if not route.is_write or operation is None or route.endpoint not in BODIES:
            continue
        properties = properties_of(document, operation)
        for key in IDENTITIES:
            if key in properties:
                assert is_declared(route, key), (
                    f"{route.endpoint} takes {key}: say in DECLARED why that is no identity"
                )
                continue
            arguments = {name: ARGUMENTS[name](place) for name in route.rule.arguments}
            built = route.rule.build(arguments)
            assert built is not None
            answer = client.open(
                built[1],
                method=route.method,
                headers=dict(admin.headers),
                json={**BODIES[route.endpoint](place), key: "01890a5d-ac96-774b-bcce-b302099a8057"},
            )
            assert answer.status_code == 422, (route.label, key, answer.json)
            assert key in answer.json["errors"], (route.label, key)
            walked += 1
    assert walked > 100
    assert stored_state(session) == before


def is_declared(route: Route, key: str) -> bool:
    return (route.endpoint, key) in DECLARED or f"change_{key}" in route.endpoint


def properties_of(document: Mapping[str, Any], operation: Mapping[str, Any]) -> set[str]:
    """Names that the JSON body of an operation may have."""
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return set(schema.get("properties", {}))


def test_what_is_declared_is_still_there(app: Flask, client: FlaskClient) -> None:
    document = client.get("/api/v1/openapi.json").json
    found = {
        (route.endpoint, key)
        for route in routes(app)
        if route.endpoint in BODIES and (operation := operation_of(document, route)) is not None
        for key in properties_of(document, operation)
    }
    assert set(DECLARED) <= found


def test_a_report_is_its_callers_whatever_the_body_says(
    client: FlaskClient, session: Session, world: World
) -> None:
    """The one operation that takes an id from its caller takes nobody else's report by it."""
    place = world.places[Where.OWN]
    body = {**BODIES["intake.submit_report"](place), "id": str(place.report)}
    before = stored_state(session)
    for caller in world.callers.values():
        answer = client.post("/api/v1/reports", json=body, headers=dict(caller.headers))
        assert answer.status_code == 409, caller.name
        assert answer.json["code"] == "id_taken"
    assert stored_state(session) == before
    assert session.get(ServiceRequest, place.report) is not None
