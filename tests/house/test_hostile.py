"""What somebody tries who means harm: forged, foreign and replayed tokens, old sessions of people
who were moved, names that reach into headers and paths. Each is a clear error, and nothing stays.

Payloads that are merely wrong are in `test_bad_input`; who may call what in `test_authorization`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from accounts.access import Gate
from accounts.models import RoleGrant, SignInChallenge, SignInSession
from accounts.rules import Role
from core.clock import utc_now
from core.ids import new_id
from core.tokens import Purpose, code_for, key_for, token_for
from reports.models import Follower, Photo
from tests.factories import COMEDIE, new_staff, stored
from tests.house.walking import Route, Where, World, routes, settle, stored_state, undone


@pytest.fixture
def world(session: Session) -> World:
    return settle(session)


@pytest.fixture
def secret(app: Flask) -> str:
    found: str = app.config["SECRET_KEY"]
    return found


# -- tokens ---------------------------------------------------------------------------------------

#: What each route with a token of its own takes; the others take the reporter's.
TAKES = {
    "web.confirm": Purpose.CONFIRM,
    "web.confirmed": Purpose.CONFIRM,
    "web.leave": Purpose.LEAVE,
    "web.left": Purpose.LEAVE,
    "reports.confirm_follower": Purpose.CONFIRM,
    "reports.leave_report": Purpose.LEAVE,
    "web.sign_in_by_link": Purpose.SIGN_IN,
    "web.signed_in_by_link": Purpose.SIGN_IN,
}


#: Pages that show a button, or lead to the report's own page, and read nothing by the token.
ASKING = frozenset({"web.act", "web.sign_in_by_link"})


def forged(secret: str, right: Purpose, own: UUID, other: UUID) -> Iterator[tuple[str, str]]:
    """Tokens that look like the right one for `own`, and are not."""
    token = token_for(secret, right, own, 1)
    yield "one letter", "A"
    yield "chance", "AAAAAAAAAAAAAAAAAAAAAA"
    yield "cut short", token[:-1]
    yield "one letter more", token + "A"
    yield "other case", token.swapcase()
    yield "padded", token + "=="
    yield "full-width", "".join(chr(ord(letter) + 0xFEE0) for letter in token)
    yield "4,000 letters", "A" * 4000
    yield "the whole key", key_for(secret, right, own, 1).hex()
    yield "foreign: of another row", token_for(secret, right, other, 1)
    yield "of another version", token_for(secret, right, own, 2)
    yield "with another secret", token_for("another", right, own, 1)
    yield "the code's", code_for(secret, right, own, 1)
    for purpose in Purpose:
        if purpose is not right:
            yield f"of another purpose: {purpose}", token_for(secret, purpose, own, 1)


def test_no_forged_token_opens_anything(
    app: Flask, client: FlaskClient, session: Session, world: World, secret: str
) -> None:
    own, foreign = world.places[Where.OWN], world.places[Where.FOREIGN]
    before = stored_state(session)
    walked = 0
    for route in routes(app):
        in_path = "token" in route.rule.arguments
        by_header = "report_id" in route.rule.arguments and route.access.gate is Gate.TOKEN
        if not in_path and not by_header:
            continue
        right = TAKES.get(route.endpoint, Purpose.TRACK)
        name = next(iter(sorted(route.rule.arguments & {"report_id", "follower_id"})), None)
        ids = {"report_id": (own.report, foreign.report), "follower_id": (own.follower, own.report)}
        mine, others = ids.get(name or "", (new_id(), new_id()))
        for kind, token in forged(secret, right, mine, others):
            if in_path:
                answer = route.open(client, own, {}, token=token)
            else:
                # A header is Latin-1; a query carries any text.
                answer = query(client, route, own, token)
            # Pages that only ask "shall I?" look at the token when the button is pressed.
            is_asked = not route.is_write and route.endpoint in ASKING
            allowed = (200, 303) if is_asked else (401, 404, 410, 422)
            assert answer.status_code in (*allowed, 404, 410), (route.label, kind)
            assert "contact-" not in answer.get_data(as_text=True), (route.label, kind)
            walked += 1
    assert walked > 150
    assert stored_state(session) == before


def query(client: FlaskClient, route: Route, place: Any, token: str) -> Any:
    values = {"token": token}
    if route.endpoint == "reports.leave_report":
        values["follower"] = str(place.follower)
    with_query = route.rule.build({"report_id": place.report} | {})
    assert with_query is not None
    json_body = {"text": "a"} if route.endpoint != "reports.leave_report" else None
    if route.endpoint == "redactions.redact":
        json_body = {"part": "description"}
    return client.open(with_query[1], method=route.method, query_string=values, json=json_body)


def test_a_reporters_token_opens_their_report_and_no_other(
    client: FlaskClient, world: World, secret: str
) -> None:
    own, other = world.places[Where.OWN], world.places[Where.OTHER_TEAM]
    token = token_for(secret, Purpose.TRACK, own.private, 1)
    for report_id, status in ((own.private, 200), (own.report, 404), (other.private, 404)):
        for given in ({"headers": {"X-Tracking-Token": token}}, {"query_string": {"token": token}}):
            answer = client.get(f"/api/v1/reports/{report_id}", **given)
            assert answer.status_code == status


@pytest.fixture
def challenge(client: FlaskClient, session: Session) -> SignInChallenge:
    asked = client.post("/api/v1/sessions/link", json={"email": "ana@courriel.example"})
    assert asked.status_code == 202
    (found,) = stored(session, SignInChallenge)
    made: SignInChallenge = found
    return made


def test_a_sign_in_link_opens_one_session_only(
    client: FlaskClient, session: Session, challenge: SignInChallenge, secret: str
) -> None:
    email = challenge.email
    proof = {
        "challenge": str(challenge.id),
        "token": token_for(secret, Purpose.SIGN_IN, challenge.id, 1),
    }
    assert client.post("/api/v1/sessions", json=proof).status_code == 201
    opened = len(stored(session, SignInSession))
    for _ in range(3):
        again = client.post("/api/v1/sessions", json=proof)
        assert again.status_code == 401
    code = code_for(secret, Purpose.SIGN_IN, challenge.id, 1)
    by_code = client.post("/api/v1/sessions", json={"email": email, "code": code})
    assert by_code.status_code == 401
    assert len(stored(session, SignInSession)) == opened
    # The page of the used link says that it is over, and shows no form that would try.
    page = client.post(f"/sign-in/{proof['challenge']}/{proof['token']}")
    assert page.status_code == 410


def test_an_expired_link_is_as_good_as_none(
    client: FlaskClient, session: Session, challenge: SignInChallenge, secret: str
) -> None:
    token = token_for(secret, Purpose.SIGN_IN, challenge.id, 1)
    now = utc_now()
    session.execute(sa.update(SignInChallenge).values(expires_at=now))
    sent = {"challenge": str(challenge.id), "token": token}
    expired = client.post("/api/v1/sessions", json=sent)
    never = client.post("/api/v1/sessions", json={**sent, "challenge": str(new_id())})
    assert expired.status_code == never.status_code == 401
    assert expired.json == never.json
    assert stored(session, SignInSession) == []


# -- people who are no longer what their session says ----------------------------------------------


def test_a_downgraded_agent_has_with_the_old_session_what_is_theirs_now(
    client: FlaskClient, session: Session, world: World
) -> None:
    place = world.places[Where.OWN]
    agent = new_staff(session, place.city, Role.AGENT)
    url = f"/api/v1/reports/{place.report}"

    def become(role: Role) -> None:
        session.execute(
            sa.update(RoleGrant).where(RoleGrant.person_id == agent.id).values(role=role.value)
        )

    assert client.get(url, headers=agent.headers).json["contact"]
    become(Role.VIEWER)
    before = stored_state(session)
    assert client.get(url, headers=agent.headers).json["contact"] is None
    refused = client.post(f"{url}/comments", json={"note": "Vu"}, headers=agent.headers)
    assert (refused.status_code, refused.json["code"]) == (403, "forbidden")
    session.execute(sa.delete(RoleGrant).where(RoleGrant.person_id == agent.id))
    assert "contact" not in client.get(url, headers=agent.headers).json
    assert client.get("/api/v1/queues", headers=agent.headers).status_code == 403
    private = f"/api/v1/reports/{place.private}"
    assert client.get(private, headers=agent.headers).status_code == 404
    del before["role_grants"]
    after = stored_state(session)
    del after["role_grants"]
    assert after == before


def test_whoever_is_deactivated_is_out_at_once(
    client: FlaskClient, session: Session, world: World
) -> None:
    agent = new_staff(session, world.places[Where.OWN].city, Role.ADMIN)
    assert client.get("/api/v1/queues", headers=agent.headers).status_code == 200
    agent.person.is_active = False
    for path in ("/api/v1/queues", "/api/v1/me"):
        assert client.get(path, headers=agent.headers).status_code == 401


# -- names that reach elsewhere --------------------------------------------------------------------


def jpeg() -> io.BytesIO:
    made = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(made, "JPEG")
    made.seek(0)
    return made


@pytest.mark.parametrize(
    "name",
    [
        "../../../../etc/passwd",
        "..\\..\\wsgi.py",
        "/etc/cron.d/x",
        'a.jpg"; x="',
        "CON",
        "." * 200,
        "é\u202egpj.exe",
        "a" * 4000,
    ],
)
def test_the_name_of_a_file_leads_nowhere(
    client: FlaskClient, session: Session, world: World, app: Flask, name: str
) -> None:
    place = world.places[Where.OWN]
    answer = client.post(
        "/api/v1/reports",
        data={
            "service_code": place.service,
            "jurisdiction": place.city.code,
            "lat": str(COMEDIE.lat),
            "lon": str(COMEDIE.lon),
            "photos": (jpeg(), name),
        },
        content_type="multipart/form-data",
    )
    assert answer.status_code == 201, answer.json
    assert "X-Injected" not in answer.headers
    (photo,) = session.scalars(sa.select(Photo).filter_by(report_id=UUID(answer.json["id"])))
    kept = [path for path in app.extensions["settings"].data_dir.rglob("*") if path.is_file()]
    assert kept
    # Files are named by the ids of their rows.
    assert all(re.fullmatch(r"[0-9a-z_./-]+", path.name) for path in kept if "media" in str(path))
    assert photo.id


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app/config.py",
        "/static/..%2fapp%2fconfig.py",
        "/static/%2e%2e%2fapp%2fconfig.py",
        "/static/....//app/config.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/riverain.css%00.jpg",
        "/static/C:%5Cwindows%5Cwin.ini",
        "/media/..%2f..%2fsecret_key/full.jpg",
        "/media/%2e%2e/secret_key",
        "/report/..%2f..%2f/1",
    ],
)
def test_no_path_climbs_out_of_its_folder(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in (404, 308), path
    text = answer.get_data(as_text=True)
    assert "SettingError" not in text
    assert "root:" not in text


@pytest.mark.parametrize(
    "breaking", ["\r\nBcc: all@ville.example", "\nX-Injected: 1", "\r", "\x0b"]
)
def test_a_line_break_in_a_name_does_not_reach_a_header(
    client: FlaskClient, session: Session, world: World, breaking: str
) -> None:
    """Line breaks are allowed in words, so what makes headers of them must not break."""
    place = world.places[Where.OWN]
    answer = client.post(
        "/api/v1/reports",
        json={
            "service_code": place.service,
            "jurisdiction": place.city.code,
            "lat": COMEDIE.lat,
            "lon": COMEDIE.lon,
            "contact": {"email": "ana@courriel.example", "name": f"Ana{breaking}"},
        },
    )
    assert "X-Injected" not in answer.headers
    assert answer.status_code in (201, 422)
    if answer.status_code == 201:
        (kept,) = stored(session, Follower, report_id=UUID(answer.json["id"]))
        assert "\r" not in (kept.name or "")
        assert "\n" not in (kept.name or "")
    email = client.post("/api/v1/sessions/link", json={"email": f"a@b.example{breaking}"})
    assert email.status_code in (202, 422)
    if email.status_code == 202:
        # The break stood at the end, where it is trimmed like a space.
        assert breaking.strip() == ""


def test_a_header_that_comes_back_does_not_break_out(client: FlaskClient, world: World) -> None:
    for name in ("X-Request-Id", "Idempotency-Key", "Accept-Language", "Origin", "Host"):
        answer = client.get("/api/v1/jurisdictions", headers={name: "a%0d%0aX-Injected:1<script>"})
        assert answer.status_code in (200, 400, 422)
        assert "X-Injected" not in answer.headers
        assert "<script>" not in answer.get_data(as_text=True)


# -- too much of everything ------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["Cookie", "Authorization", "X-Tracking-Token", "If-Match"])
def test_a_header_of_a_megabyte_is_only_long(
    client: FlaskClient, world: World, header: str
) -> None:
    """gunicorn refuses it before us; behind another server it is read and means nothing."""
    url = f"/api/v1/reports/{world.places[Where.OWN].report}"
    prefix = "Bearer " if header == "Authorization" else "riverain="
    answer = client.get(url, headers={header: prefix + "a" * 1_000_000})
    assert answer.status_code in (200, 401, 404, 431)


def test_a_key_said_twice_is_refused(client: FlaskClient, session: Session, world: World) -> None:
    """A proxy that reads the first and we the last would not see the same request."""
    admin = world.callers["admin"]
    before = stored_state(session)
    for body in (
        '{"note": "a", "note": "b"}',
        '{"note": "a", "public_note": {"x": 1, "x": 2}}',
        r'{"note": "a", "not\u0065": "b"}',
    ):
        answer = client.post(
            f"/api/v1/reports/{world.places[Where.OWN].report}/comments",
            data=body,
            content_type="application/json",
            headers=dict(admin.headers),
        )
        assert answer.status_code == 400, answer.json
    assert stored_state(session) == before


@pytest.mark.parametrize("opening", ['{"a":', "[", '{"note":[', '[{"a":'])
def test_depth_is_refused(client: FlaskClient, world: World, opening: str) -> None:
    answer = client.post(
        f"/api/v1/reports/{world.places[Where.OWN].report}/comments",
        data=opening * 50_000,
        content_type="application/json",
        headers=dict(world.callers["admin"].headers),
    )
    assert answer.status_code == 400
    assert answer.mimetype == "application/problem+json"


def test_what_is_refused_leaves_no_trace_but_its_log_line(
    app: Flask, client: FlaskClient, session: Session, world: World
) -> None:
    """One line for each request, without what was sent: no token, no address, no words."""
    before = stored_state(session)
    place = world.places[Where.OWN]
    sent = {
        "email": "ana@courriel.example",
        "password": "a password nobody should read",
    }
    with undone(session), capture_logs() as lines:
        client.post(
            f"/api/v1/reports/{place.report}/answer?token=my-secret-token",
            json={"text": "my very own words"},
        )
        client.get("/api/v1/me", headers={"Authorization": "Bearer rvs_my-secret-session"})
        client.post("/api/v1/sessions", json={**sent, "colour": "red"})
    assert [(line["event"], line["status"]) for line in lines] == [
        ("request.answered", 404),
        ("request.answered", 401),
        ("request.answered", 422),
    ]
    logged = str(lines)
    for word in ("my-secret-token", "own words", "rvs_my", "courriel", "nobody should"):
        assert word not in logged
    assert stored_state(session) == before
