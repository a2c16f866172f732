"""Every route declares who may call it, and is held to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask.views import MethodView
from sqlalchemy.orm import Session
from werkzeug.routing import AnyConverter, Rule

from accounts import access
from accounts.access import (
    EVERYONE,
    SIGNED_IN,
    Access,
    Gate,
    UndeclaredRouteError,
    allow,
    check_routes,
    declarations,
    declared,
    permission,
)
from accounts.rules import PERMISSIONS, Permission, Role
from core import api
from core.limits import Caller
from tests.factories import SignedIn, new_citizen, new_jurisdiction, new_staff

#: What stands for a part of a path, by its converter.
SAMPLES: dict[str, Any] = {
    "UUIDConverter": UUID("01890a5d-ac96-774b-bcce-b302099a8057"),
    "IntegerConverter": 1,
    "FloatConverter": 1.5,
}


def url_of(app: Flask, rule: Rule) -> str:
    """A URL that the rule matches."""
    parts = {
        name: min(converter.items)
        if isinstance(converter, AnyConverter)
        else SAMPLES.get(type(converter).__name__, "x")
        for name, converter in rule._converters.items()
    }
    with app.test_request_context():
        built = rule.build(parts)
    assert built is not None
    return built[1]


@pytest.fixture
def somebody_of_each_role(session: Session) -> dict[Role, SignedIn]:
    city = new_jurisdiction(session)
    people = {role: new_staff(session, city, role) for role in Role if role is not Role.CITIZEN}
    return people | {Role.CITIZEN: new_citizen(session)}


# -- of the whole application ----------------------------------------------------------------------


def test_every_route_declares_who_may_call_it(app: Flask) -> None:
    undeclared = [(rule.rule, method) for rule, method, given in declarations(app) if given is None]
    assert undeclared == []


def guarded(app: Flask) -> Iterator[tuple[Rule, str, Access]]:
    for rule, method, given in declarations(app):
        assert given is not None
        if given.needs_sign_in:
            yield rule, method, given


def test_a_guarded_route_answers_nobody_without_a_sign_in(
    app: Flask, client: FlaskClient, session: Session
) -> None:
    walked = 0
    for rule, method, _ in guarded(app):
        for headers in ({}, {"Authorization": "Bearer rvs_unknown"}):
            answer = client.open(url_of(app, rule), method=method, headers=headers)
            if rule.endpoint.startswith("web."):
                # Readers are led to the sign-in; what was sent is refused, on a page.
                is_led = method == "GET" and not headers
                assert answer.status_code == (303 if is_led else 401), (method, rule.rule)
                assert answer.mimetype == "text/html"
                assert "/sign-in" in answer.get_data(as_text=True)
                continue
            if rule.rule.startswith("/open311/"):
                # GeoReport v2 knows 403 for a missing key and for a wrong one.
                assert answer.status_code == 403, (method, rule.rule)
                continue
            assert answer.status_code == 401, (method, rule.rule)
            assert answer.json["code"] == "not_signed_in", (method, rule.rule)
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        walked += 1
    assert walked >= 2


def test_each_role_is_let_in_where_the_table_says_and_nowhere_else(
    app: Flask, client: FlaskClient, somebody_of_each_role: dict[Role, SignedIn]
) -> None:
    for rule, method, given in guarded(app):
        if given.permission is None:
            continue
        for role, somebody in somebody_of_each_role.items():
            if given.permission in PERMISSIONS[role]:
                continue
            answer = client.open(url_of(app, rule), method=method, headers=somebody.headers)
            assert answer.status_code == 403, (role, method, rule.rule)
            if rule.rule.startswith("/api/"):
                assert answer.json["code"] == "forbidden", (role, method, rule.rule)
            else:
                assert answer.mimetype == "text/html", (role, method, rule.rule)


def test_the_document_says_who_may_call_each_operation(app: Flask, client: FlaskClient) -> None:
    document = client.get("/api/v1/openapi.json").json
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            assert "**Who may call:**" in operation["description"], (method, path)
            ways = operation["security"]
            # A phone in a car is nobody: it has a key of its own kind, and nothing else opens.
            assert {"bearer": []} in ways or ways == [{"deviceKey": []}], (method, path)
    me = document["paths"]["/api/v1/me"]["get"]
    assert me["security"] == [{"bearer": []}]
    sign_in = document["paths"]["/api/v1/sessions"]["post"]
    assert sign_in["security"] == [{}, {"bearer": []}]


# -- of the guard itself, on a small application ---------------------------------------------------


class ByMethod(MethodView):
    """Reads are everyone's, writes are not."""

    @allow(EVERYONE)
    def get(self) -> str:
        return "read"

    @allow(permission(Permission.WORK_REPORTS))
    def post(self) -> str:
        return "written"


@pytest.fixture
def small(app: Flask, session: Session) -> Flask:
    """An application with one route of each kind, on the database of the test."""
    small = Flask("small", static_folder="static")
    small.config.update(app.config)
    small.extensions["sqlalchemy"] = app.extensions["sqlalchemy"]
    api.install(small)
    small.add_url_rule("/open", "open", allow(EVERYONE)(lambda: "open"))
    small.add_url_rule("/mine", "mine", allow(SIGNED_IN)(lambda: "mine"))
    for needed in Permission:
        small.add_url_rule(f"/{needed}", needed, allow(permission(needed))(lambda: "done"))
    small.add_url_rule("/both", view_func=ByMethod.as_view("both"))
    return small


def test_the_small_application_is_complete(small: Flask) -> None:
    check_routes(small)


@pytest.mark.parametrize("needed", list(Permission))
def test_role_by_permission(
    small: Flask, session: Session, somebody_of_each_role: dict[Role, SignedIn], needed: Permission
) -> None:
    session.commit()
    client = small.test_client()
    for role, somebody in somebody_of_each_role.items():
        answer = client.get(f"/{needed}", headers=somebody.headers)
        assert answer.status_code == (200 if needed in PERMISSIONS[role] else 403), role
    assert client.get(f"/{needed}").status_code == 401


def test_what_is_everyones_asks_for_nothing_and_looks_at_nothing(small: Flask) -> None:
    client = small.test_client()
    assert client.get("/open", headers={"Authorization": "Bearer rubbish"}).status_code == 200


def test_whoever_is_signed_in_gets_at_what_is_theirs(small: Flask, session: Session) -> None:
    citizen = new_citizen(session)
    session.commit()
    client = small.test_client()
    assert client.get("/mine", headers=citizen.headers).status_code == 200
    assert client.get("/mine").status_code == 401


def test_the_methods_of_a_class_are_declared_one_by_one(small: Flask) -> None:
    client = small.test_client()
    assert client.get("/both").status_code == 200
    assert client.post("/both").status_code == 401
    rule = next(small.url_map.iter_rules("both"))
    assert declared(small, rule, "GET") == EVERYONE
    assert declared(small, rule, "POST") == Access(Gate.PERMISSION, Permission.WORK_REPORTS)


def test_an_application_with_an_undeclared_route_does_not_start(small: Flask) -> None:
    small.add_url_rule("/forgotten", "forgotten", lambda: "oops", methods=["POST"])
    with pytest.raises(UndeclaredRouteError, match=r"POST /forgotten \(forgotten\)"):
        check_routes(small)


def test_an_undeclared_method_of_a_class_is_found_too(small: Flask) -> None:
    class Half(ByMethod):
        def delete(self) -> str:
            return "gone"

    small.add_url_rule("/half", view_func=Half.as_view("half"))
    with pytest.raises(UndeclaredRouteError, match="DELETE /half"):
        check_routes(small)


def test_the_caller_of_a_rate_limit_is_known_only_by_a_valid_token(
    app: Flask, session: Session
) -> None:
    agent = new_staff(session, new_jurisdiction(session))
    session.commit()
    for headers, expected in (
        ({}, None),
        ({"Authorization": "Bearer rvs_unknown"}, None),
        ({"Authorization": "Basic eDp5"}, None),
        (agent.headers, Caller(str(agent.id), is_staff=True)),
    ):
        with app.test_request_context(headers=headers):
            assert access.caller() == expected
