"""Nobody reads or moves another city's or team's work: every route, every role, every place.

The routes come from the application itself and the bodies are held against the API document, so a
new route is walked without a word here; one whose arguments have no sample fails the first test.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from accounts.access import Gate
from accounts.models import SignInSession
from accounts.rules import PERMISSIONS, Permission, Role
from accounts.secrets import SESSION_PREFIX, digest, new_token
from core.clock import utc_now
from reports.models import ServiceRequest
from tests.factories import new_citizen, new_staff
from tests.house.walking import (
    ARGUMENTS,
    BODIES,
    Caller,
    Route,
    Where,
    World,
    guarded,
    operation_of,
    routes,
    said,
    settle,
    stored_state,
    undone,
)
from tests.sensing.phones import new_device

#: Operations for the holder of a token that staff may do too, with what they need for it.
STAFF_TOO: Mapping[str, Permission] = {"redactions.redact": Permission.WORK_REPORTS}

#: Extra keys that an operation declares although they look like an identity, and why.
DECLARED: Mapping[tuple[str, str], str] = {
    ("intake.submit_report", "id"): "made by the client, so that a retry is the same report",
    ("trips.send_trip", "id"): "made by the phone, so that sending again is the same trip",
    ("staff.move_report", "status"): "what the operation is for",
    ("people.give_role", "role"): "what the operation is for; no wider than one's own",
    ("people.invite", "role"): "what the operation is for; no wider than one's own",
    ("blocks.add_block", "person_id"): "who is blocked, by somebody else",
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
MARK = re.compile(r"(contact|secret|staff)-(own|other_team|foreign)")
NEEDED = {
    "contact": Permission.READ_CONTACTS,
    "secret": Permission.READ_REPORTS,
    "staff": Permission.MANAGE_PEOPLE,
}


@pytest.fixture
def world(session: Session) -> World:
    return settle(session)


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


def test_whatever_is_stored_shows_in_the_state_that_is_compared(session: Session) -> None:
    before = stored_state(session)
    citizen = new_citizen(session)
    added = stored_state(session)
    assert added != before
    citizen.person.name = "Somebody else"
    session.flush()
    assert stored_state(session) != added


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
            if route.rule.rule.startswith("/open311/"):
                # The standard's word for a missing or wrong key.
                assert answer.status_code == 403, (route.label, sent)
                continue
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


#: They take files or a page's form, which the walk does not send: who is refused, is so before
#: they are looked at.
FORMLESS = frozenset({"staff.add_photos", "web.say_of_duplicates"})


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
            # Open311 says 403 of a missing key, and only that.
            refusals = (403,) if "open311" in route.endpoint else (401, 404, 410, 422)
            assert answer.status_code in refusals, (route.label, caller.name)
            assert said(answer)[0] == nothing[0], (route.label, caller.name)
    assert stored_state(session) == before


#: What everybody who is signed in may do with a public thing, whoever else looks after it.
OF_PUBLIC_THINGS = frozenset(
    {
        "adoption.adopt_asset",
        "adoption.join_waiting_list",
        "corrections.correct_asset",
        "corrections.confirm_correction",
        "care.log_care",
    }
)


def test_what_is_another_persons_looks_missing(
    app: Flask, client: FlaskClient, session: Session, world: World
) -> None:
    """Sessions and keys: not even an admin ends somebody else's by its id."""
    before = stored_state(session)
    walked = 0
    for route in routes(app):
        is_ones_own = route.access.gate in (Gate.SIGNED_IN, Gate.SESSION)
        if not is_ones_own or not route.names_something or route.endpoint in OF_PUBLIC_THINGS:
            continue
        for caller in world.callers.values():
            nothing = said(route.open(client, world.places[Where.MISSING], caller.headers))
            for where in (Where.OWN, Where.FOREIGN):
                answer = route.open(client, world.places[where], caller.headers)
                assert answer.status_code in (401, 403, 404), (route.label, caller.name)
                assert said(answer) == nothing, (route.label, caller.name)
                walked += 1
    assert walked > 20
    assert stored_state(session) == before


def test_a_key_is_no_person(
    app: Flask, client: FlaskClient, session: Session, world: World
) -> None:
    """What somebody decides about their own account, no program decides with their key."""
    before = stored_state(session)
    key = world.callers["key of another city"]
    for route in routes(app):
        if route.access.gate is Gate.SESSION and route.rule.rule.startswith("/api/"):
            answer = route.open(client, world.places[Where.FOREIGN], key.headers)
            assert answer.status_code == 403, route.label
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
            if route.endpoint in SAME_FOR_ALL and caller.name != "nobody":
                continue
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
                    for kind, owner in MARK.findall(text_of(answer)):
                        is_fine = caller.may(NEEDED[kind], Where(owner))
                        assert is_fine, (route.label, caller.name, kind, owner)
                        seen.add((kind, owner))
    assert len(seen) == 9


#: The API document, as JSON and as a page: large, and made from the routes alone.
SAME_FOR_ALL = frozenset({"api-docs.openapi_json", "web.manual"})


def text_of(answer: TestResponse) -> str:
    """All the text in an answer; of an archive that of its files."""
    if answer.mimetype != "application/zip":
        return answer.get_data(as_text=True)
    with zipfile.ZipFile(io.BytesIO(answer.get_data())) as archive:
        return "\n".join(
            archive.read(name).decode("utf-8", "replace") for name in archive.namelist()
        )


# -- who one is comes from the token, never from a body --------------------------------------------


def test_no_body_says_who_somebody_is(
    app: Flask, client: FlaskClient, session: Session, world: World
) -> None:
    """Each key that is not of the operation's own is refused by its name, and nothing happens."""
    document = client.get("/api/v1/openapi.json").get_json()
    admin = world.callers["admin"]
    place = world.places[Where.OWN]
    phone = new_device(client)
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
            answer = client.open(
                route.url(place),
                method=route.method,
                headers=phone if route.access.gate is Gate.DEVICE else dict(admin.headers),
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
    document = client.get("/api/v1/openapi.json").get_json()
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
