"""The staff's side of the JSON API: scopes, moves, versions, queues, keys."""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from sqlalchemy.orm import Session

from accounts.models import Team
from accounts.rules import Role
from core import idempotency
from core.clock import utc_now
from core.db import transaction
from core.models import KeptAnswer, OutboxEvent
from geo.models import Jurisdiction
from reports.models import HistoryEntry, Note, Photo, Service, ServiceRequest
from reports.schemas import ReportOut
from reports.staff_schemas import StaffListedOut
from reports.vocabulary import Status, Visibility
from tests.factories import (
    SignedIn,
    grant,
    new_area,
    new_follower,
    new_jurisdiction,
    new_photo,
    new_report,
    new_service,
    new_staff,
    new_team,
    stored,
)
from tests.statements import count_statements


@dataclass
class World:
    """A city with a team, an agent of the whole city, and a report of that team."""

    city: Jurisdiction
    team: Team
    service: Service
    agent: SignedIn
    report: ServiceRequest


@pytest.fixture
def world(session: Session) -> World:
    city = new_jurisdiction(session)
    team = new_team(session, city, code="voirie")
    service = new_service(session, city, code="trou")
    report = new_report(session, service, team=team, status=Status.TRIAGED)
    return World(city, team, service, new_staff(session, city), report)


def act(
    client: FlaskClient,
    who: SignedIn,
    report: ServiceRequest,
    action: str,
    payload: Any = None,
    **headers: str,
) -> Any:
    """POST an action on a report; header names with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(
        f"/api/v1/reports/{report.id}/{action}", json=payload, headers={**who.headers, **named}
    )


# -- who may --------------------------------------------------------------------------------------

ACTIONS: dict[str, Any] = {
    "status": {"status": "in_progress"},
    "assignment": {"team": "voirie"},
    "comments": {"note": "vu"},
    "question": {"question": "Où ?"},
    "service": {"service_code": "trou"},
    "place": {"lat": 43.6, "lon": 3.88},
    "visibility": {"visibility": "hidden"},
    "duplicate-of": {"report": 1},
    "photos": None,
}


@pytest.mark.parametrize("action", ACTIONS)
def test_a_stranger_must_sign_in_and_a_viewer_is_refused(
    client: FlaskClient, session: Session, world: World, action: str
) -> None:
    url = f"/api/v1/reports/{world.report.id}/{action}"
    answer = client.post(url, json=ACTIONS[action])
    assert (answer.status_code, answer.json["code"]) == (401, "not_signed_in")
    viewer = new_staff(session, world.city, Role.VIEWER)
    answer = act(client, viewer, world.report, action, ACTIONS[action])
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
    assert session.get_one(ServiceRequest, world.report.id).version == 1


@pytest.mark.parametrize("action", ACTIONS)
def test_the_report_of_another_city_or_team_looks_missing(
    client: FlaskClient, session: Session, world: World, action: str
) -> None:
    elsewhere = new_staff(session, new_jurisdiction(session), Role.ADMIN)
    other_team = new_staff(session, world.city, team=new_team(session, world.city))
    for who in (elsewhere, other_team):
        answer = act(client, who, world.report, action, ACTIONS[action])
        assert (answer.status_code, answer.json["code"]) == (404, "not_found")
    assert session.get_one(ServiceRequest, world.report.id).version == 1


def test_a_viewer_here_who_is_agent_there_changes_nothing_here(
    client: FlaskClient, session: Session, world: World
) -> None:
    viewer = new_staff(session, world.city, Role.VIEWER)
    grant(session, viewer.person, Role.AGENT, new_jurisdiction(session))
    answer = act(client, viewer, world.report, "comments", {"note": "vu"})
    assert answer.status_code == 403


def test_a_member_of_the_team_does_the_team_s_work(
    client: FlaskClient, session: Session, world: World
) -> None:
    member = new_staff(session, world.city, team=world.team)
    answer = act(client, member, world.report, "status", {"status": "in_progress"})
    assert answer.status_code == 200


# -- reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "reads"),
    [
        (Role.VIEWER, False),
        (Role.COORDINATOR, False),
        (Role.AGENT, True),
        (Role.MANAGER, True),
        (Role.ADMIN, True),
        (Role.AUDITOR, True),
    ],
)
def test_contact_data_is_for_those_who_may_read_it(
    client: FlaskClient, session: Session, world: World, role: Role, reads: bool
) -> None:
    new_follower(session, world.report, is_reporter=True, email="c@courriel.example")
    reader = new_staff(session, world.city, role)
    answer = client.get(f"/api/v1/reports/{world.report.id}", headers=reader.headers)
    assert answer.status_code == 200
    assert answer.json["has_contact"] is True
    assert (answer.json["contact"] is not None) == reads
    assert ("c@courriel.example" in answer.text) == reads
    assert "no-store" in answer.headers["Cache-Control"]


def test_staff_of_another_city_see_what_the_public_sees(
    client: FlaskClient, session: Session, world: World
) -> None:
    elsewhere = new_staff(session, new_jurisdiction(session), Role.ADMIN)
    answer = client.get(f"/api/v1/reports/{world.report.id}", headers=elsewhere.headers)
    assert answer.status_code == 200
    assert "routing" not in answer.json
    world.report.visibility = Visibility.HELD.value
    session.flush()
    answer = client.get(f"/api/v1/reports/{world.report.id}", headers=elsewhere.headers)
    assert answer.status_code == 404
    own = client.get(f"/api/v1/reports/{world.report.id}", headers=world.agent.headers)
    assert own.json["visibility"] == "held"


def test_the_list_of_staff_is_their_own_work_unless_they_ask_for_the_public_one(
    client: FlaskClient, session: Session, world: World
) -> None:
    other = new_report(session, world.service)
    member = new_staff(session, world.city, team=world.team)

    def numbers(query: str) -> set[int]:
        answer = client.get(f"/api/v1/reports?{query}", headers=member.headers)
        assert answer.status_code == 200, answer.json
        return {item["number"] for item in answer.json["items"]}

    assert numbers("") == {world.report.number}
    assert numbers("view=public") == {world.report.number, other.number}


def test_staff_filter_their_work(client: FlaskClient, session: Session, world: World) -> None:
    mine = new_report(
        session,
        world.service,
        team=world.team,
        status=Status.ASSIGNED,
        assignee_id=world.agent.id,
        due_at=utc_now() - timedelta(hours=1),
        description="Lampadaire éteint",
    )
    new_report(session, world.service, at=None, description="Ailleurs")

    def numbers(query: str) -> list[int]:
        answer = client.get(f"/api/v1/reports?{query}", headers=world.agent.headers)
        assert answer.status_code == 200, answer.json
        return [item["number"] for item in answer.json["items"]]

    assert numbers("assignee=me") == [mine.number]
    assert numbers(f"assignee={world.agent.id}") == [mine.number]
    assert numbers("overdue=true") == [mine.number]
    assert numbers("q=lampad") == [mine.number]
    assert numbers(f"q=%23{mine.number}") == [mine.number]
    assert numbers("team=voirie&status=triaged") == [world.report.number]
    assert numbers("team=inconnue") == []
    assert len(numbers("needs_place=true")) == 1
    assert len(numbers("status=open")) == 3
    assert numbers("sort=due_at&team=voirie")[0] == mine.number
    answer = client.get("/api/v1/reports?assignee=moi", headers=world.agent.headers)
    assert (answer.status_code, answer.json["errors"].keys()) == (422, {"assignee"})


def test_a_list_shows_what_its_schema_documents(
    client: FlaskClient, session: Session, world: World
) -> None:
    new_photo(session, world.report)
    new_report(session, world.service, parent=world.report, areas=[new_area(session, world.city)])
    for schema, headers in ((StaffListedOut(), world.agent.headers), (ReportOut(), {})):
        items = client.get("/api/v1/reports", headers=headers).json["items"]
        assert len(items) == 2
        for item in items:
            assert schema.dump(schema.load(item)) == item


@pytest.mark.parametrize("name", ["team=a", "assignee=me", "overdue=1", "needs_place=1", "q=a"])
def test_the_filters_of_staff_are_not_for_everybody(client: FlaskClient, name: str) -> None:
    assert client.get(f"/api/v1/reports?{name}").status_code == 401


def test_a_list_of_staff_costs_at_most_eight_statements(
    client: FlaskClient, session: Session, world: World
) -> None:
    for _ in range(55):
        report = new_report(session, world.service, team=world.team, status=Status.ASSIGNED)
        new_photo(session, report)
        new_follower(session, report, is_reporter=True)
    client.get("/api/v1/reports", headers=world.agent.headers)
    for url in ("/api/v1/reports?q=trou&team=voirie", "/api/v1/queues/voirie/reports?"):
        costs = []
        for limit in (5, 50):
            session.commit()
            with count_statements() as statements:
                answer = client.get(f"{url}&limit={limit}", headers=world.agent.headers)
            assert len(answer.json["items"]) == limit
            costs.append(len(statements))
        assert costs[0] == costs[1] <= 8, statements


# -- moving ---------------------------------------------------------------------------------------


def test_a_move_answers_with_the_report_as_it_is_then(
    client: FlaskClient, session: Session, world: World
) -> None:
    answer = act(
        client,
        world.agent,
        world.report,
        "status",
        {"status": "resolved", "note": "RAS", "public_note": "Réparé ce matin."},
    )
    assert answer.status_code == 200
    assert (answer.json["status"], answer.json["version"]) == ("resolved", 2)
    assert answer.headers["ETag"] == '"2"'
    assert answer.json["may_move_to"] == ["closed", "reopened"]
    public = client.get(f"/api/v1/reports/{world.report.id}/history").json["items"]
    assert [word["text"] for step in public for word in step["words"]] == ["Réparé ce matin."]
    assert all("actor" not in step and "data" not in step for step in public)
    own = client.get(f"/api/v1/reports/{world.report.id}/history", headers=world.agent.headers)
    last = own.json["items"][-1]
    assert {word["kind"] for word in last["words"]} == {"public", "internal"}
    assert last["actor"]["id"] == str(world.agent.id)


def test_a_move_that_is_not_allowed_is_409_and_leaves_no_trace(
    client: FlaskClient, session: Session, world: World
) -> None:
    before = len(stored(session, HistoryEntry))
    for status, code in (
        ("closed", "move_not_allowed"),
        ("duplicate", "only_by_joining"),
        ("triaged", "move_not_allowed"),
    ):
        payload = {"status": status, "note": "x"}
        answer = act(client, world.agent, world.report, "status", payload)
        assert (answer.status_code, answer.json["code"]) == (409, code)
        assert answer.content_type == "application/problem+json"
    assert len(stored(session, HistoryEntry)) == before
    assert not stored(session, Note)
    assert not stored(session, OutboxEvent)
    assert session.get_one(ServiceRequest, world.report.id).version == 1


@pytest.mark.parametrize(
    ("action", "payload", "field"),
    [
        ("status", {}, "status"),
        ("status", {"status": "done"}, "status"),
        ("status", {"status": "rejected"}, "public_note"),
        ("status", {"status": "rejected", "public_note": "  "}, "public_note"),
        ("status", {"status": "rejected", "public_note": "Non", "reason": "mood"}, "reason"),
        ("status", {"status": "resolved", "note": "a\0b"}, "note"),
        ("status", {"status": "resolved", "note": "a" * 4001}, "note"),
        ("status", {"status": "resolved", "by": "me"}, "by"),
        ("assignment", {}, "team"),
        ("assignment", {"team": "inconnue"}, "team"),
        ("assignment", {"person": "x@ailleurs.example"}, "person"),
        ("comments", {}, "note"),
        ("question", {"question": " "}, "question"),
        ("service", {"service_code": "inconnu"}, "service_code"),
        ("place", {"lat": 95, "lon": 3}, "lat"),
        ("place", {"lat": 48.85, "lon": 2.35}, "lat"),
        ("duplicate-of", {"report": "x"}, "report"),
        ("duplicate-of", {"report": [1]}, "report"),
        ("photos", {}, "photos"),
    ],
)
def test_a_payload_that_cannot_be_is_422_and_names_the_field(
    client: FlaskClient, world: World, action: str, payload: Any, field: str
) -> None:
    answer = act(client, world.agent, world.report, action, payload)
    assert answer.status_code == 422, answer.json
    assert field in answer.json["errors"]


def test_each_action_does_what_it_says(client: FlaskClient, session: Session, world: World) -> None:
    new_service(session, world.city, code="lampe")
    new_team(session, world.city, code="parcs")

    def done(action: str, payload: Any, status: int = 200) -> Any:
        answer = act(client, world.agent, world.report, action, payload)
        assert answer.status_code == status, answer.json
        return answer.json

    me = {"id": str(world.agent.id), "name": world.agent.person.name}
    assert done("assignment", {"person": "me"})["assignee"] == me
    assert done("assignment", {"team": "parcs"})["team"]["code"] == "parcs"
    assert done("assignment", {"team": "voirie", "taken": False})["status"] == "triaged"
    assert done("comments", {"note": "vu", "public_note": "Bientôt"}, 201)["version"] == 5
    asked = done("question", {"question": "Où ?", "hold": True}, 201)
    assert (asked["status"], asked["question"]["text"]) == ("on_hold", "Où ?")
    assert done("service", {"service_code": "lampe"})["service_code"] == "lampe"
    moved = done("place", {"lat": 43.61, "lon": 3.88})
    assert (moved["lat"], moved["place_source"]) == (43.61, "staff")
    assert done("visibility", {"visibility": "hidden"})["visibility"] == "hidden"
    assert client.get(f"/api/v1/reports/{world.report.id}").status_code == 404


def test_joining_and_separating_put_back_what_was(
    client: FlaskClient, session: Session, world: World
) -> None:
    child = new_report(session, world.service, status=Status.IN_PROGRESS)
    new_follower(session, child)
    for name in (world.report.number, f"#{world.report.number}", str(world.report.id)):
        answer = act(client, world.agent, child, "duplicate-of", {"report": name})
        assert answer.status_code == 200, answer.json
        assert answer.json["status"] == "duplicate"
        assert answer.json["parent"]["number"] == world.report.number
        public = client.get(f"/api/v1/reports/{world.report.id}").json
        assert (public["duplicates"], public["followers"]) == (1, 1)
        refused = act(client, world.agent, child, "status", {"status": "resolved"})
        assert (refused.status_code, refused.json["code"]) == (409, "is_duplicate")
        url = f"/api/v1/reports/{child.id}/duplicate-of"
        back = client.delete(url, headers=world.agent.headers)
        assert (back.status_code, back.json["status"]) == (200, "in_progress")
    again = client.delete(url, headers=world.agent.headers)
    assert (again.status_code, again.json["code"]) == (409, "not_joined")


def test_a_report_is_joined_to_none_that_its_agent_may_not_touch(
    client: FlaskClient, session: Session, world: World
) -> None:
    member = new_staff(session, world.city, team=world.team)
    other = new_report(session, world.service, team=new_team(session, world.city))
    foreign = new_report(session)
    for target in (other, foreign):
        answer = act(client, member, world.report, "duplicate-of", {"report": str(target.id)})
        assert (answer.status_code, answer.json["errors"].keys()) == (422, {"report"})
    itself = {"report": world.report.number}
    answer = act(client, member, world.report, "duplicate-of", itself)
    assert (answer.status_code, answer.json["code"]) == (409, "same_report")


def test_photos_of_staff_wait_to_be_cleaned(
    client: FlaskClient, session: Session, world: World
) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (40, 30), "grey").save(picture, "JPEG")

    def send() -> Any:
        picture.seek(0)
        return client.post(
            f"/api/v1/reports/{world.report.id}/photos",
            data={"photos": [(io.BytesIO(picture.getvalue()), "a.jpg")]},
            headers={**world.agent.headers, "Idempotency-Key": "one"},
        )

    answers = [send(), send()]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    [photo] = stored(session, Photo, report_id=world.report.id)
    assert (photo.state, photo.added_by) == ("staged", "staff")
    [event] = stored(session, OutboxEvent, subject_id=world.report.id)
    assert event.name == "photo.staged"


# -- versions -------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", [name for name in ACTIONS if name != "photos"])
def test_a_stale_version_is_412_and_changes_nothing(
    client: FlaskClient, session: Session, world: World, action: str
) -> None:
    payload = ACTIONS[action]
    if action == "duplicate-of":
        payload = {"report": new_report(session, world.service).number}
    answer = act(client, world.agent, world.report, action, payload, If_Match='"0"')
    assert (answer.status_code, answer.json["code"]) == (412, "stale")
    assert answer.json["current"] == '"1"'
    session.expire_all()
    assert session.get_one(ServiceRequest, world.report.id).version == 1


def test_the_present_version_and_any_version_are_taken(client: FlaskClient, world: World) -> None:
    read = client.get(f"/api/v1/reports/{world.report.id}", headers=world.agent.headers)
    etag = read.headers["ETag"]
    moved = {"status": "in_progress"}
    assert act(client, world.agent, world.report, "status", moved, If_Match=etag).status_code == 200
    answer = act(client, world.agent, world.report, "comments", {"note": "a"}, If_Match="*")
    assert answer.status_code == 201
    stale = act(client, world.agent, world.report, "comments", {"note": "a"}, If_Match=etag)
    assert stale.status_code == 412


# -- keys -----------------------------------------------------------------------------------------


def test_a_write_under_a_key_happens_once_and_is_answered_alike(
    client: FlaskClient, session: Session, world: World
) -> None:
    payload = {"note": "vu", "public_note": "Vu"}
    answers = [
        act(client, world.agent, world.report, "comments", payload, Idempotency_Key="k1")
        for _ in range(3)
    ]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert {answer.headers["ETag"] for answer in answers} == {'"2"'}
    assert [answer.headers.get("Idempotent-Replayed") for answer in answers] == [
        None,
        "true",
        "true",
    ]
    assert len(stored(session, Note)) == 2


def test_a_key_is_of_one_person_one_report_one_action_and_one_payload(
    client: FlaskClient, session: Session, world: World
) -> None:
    other_agent = new_staff(session, world.city)
    other_report = new_report(session, world.service)
    note, key = {"note": "vu"}, {"Idempotency_Key": "k1"}
    for who, report, action in (
        (world.agent, world.report, "comments"),
        (other_agent, world.report, "comments"),
        (world.agent, other_report, "comments"),
        (world.agent, world.report, "question"),
    ):
        payload = {"question": "?"} if action == "question" else note
        answer = act(client, who, report, action, payload, **key)
        assert answer.status_code == 201
        assert "Idempotent-Replayed" not in answer.headers
    other = act(client, world.agent, world.report, "comments", {"note": "autre"}, **key)
    assert (other.status_code, other.json["code"]) == (422, "idempotency_key_reused")


def test_what_was_refused_is_tried_again_under_the_same_key(
    client: FlaskClient, session: Session, world: World
) -> None:
    payload, key = {"status": "closed"}, {"Idempotency_Key": "k1"}
    assert act(client, world.agent, world.report, "status", payload, **key).status_code == 409
    assert session.query(KeptAnswer).all() == []
    world.report.status = Status.RESOLVED.value
    session.flush()
    assert act(client, world.agent, world.report, "status", payload, **key).status_code == 200


def test_answers_are_kept_for_a_day_and_can_be_forgotten(
    client: FlaskClient, session: Session, world: World
) -> None:
    for key in ("k1", "k2"):
        act(client, world.agent, world.report, "comments", {"note": "vu"}, Idempotency_Key=key)
    assert idempotency.clear(session, now=utc_now() + timedelta(hours=23)) == 0
    idempotency.forget(session, UUID(int=1))
    assert len(session.query(KeptAnswer).all()) == 2
    idempotency.forget(session, world.report.id)
    assert session.query(KeptAnswer).all() == []
    act(client, world.agent, world.report, "comments", {"note": "vu"}, Idempotency_Key="k1")
    assert idempotency.clear(session, now=utc_now() + timedelta(hours=25)) == 1


def test_an_old_key_stands_for_nothing(client: FlaskClient, session: Session, world: World) -> None:
    note, key = {"note": "vu"}, {"Idempotency_Key": "k1"}
    act(client, world.agent, world.report, "comments", note, **key)
    session.query(KeptAnswer).update({"created_at": utc_now() - timedelta(hours=25)})
    answer = act(client, world.agent, world.report, "comments", note, **key)
    assert (answer.status_code, answer.json["version"]) == (201, 3)


@pytest.mark.parametrize("key", ["", "k" * 201])
def test_a_key_has_a_length(client: FlaskClient, world: World, key: str) -> None:
    answer = act(client, world.agent, world.report, "comments", {"note": "a"}, Idempotency_Key=key)
    assert (answer.status_code, answer.json["errors"].keys()) == (422, {"Idempotency-Key"})


def test_a_key_sent_twice_at_the_same_instant_counts_once(committed_db: Flask) -> None:
    with committed_db.app_context(), transaction() as session:
        city = new_jurisdiction(session)
        report = new_report(session, new_service(session, city))
        report_id, agent = report.id, new_staff(session, city)
        headers = {**agent.headers, "Idempotency-Key": "k1"}
    ready = threading.Barrier(4)
    answers: list[tuple[int, str]] = []

    def send() -> None:
        ready.wait(timeout=10)
        answer = committed_db.test_client().post(
            f"/api/v1/reports/{report_id}/comments", json={"note": "vu"}, headers=headers
        )
        answers.append((answer.status_code, answer.text))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(answers) == 4
    assert len(set(answers)) == 1
    assert answers[0][0] == 201
    with committed_db.app_context(), transaction() as session:
        assert len(stored(session, Note)) == 1


# -- queues ---------------------------------------------------------------------------------------


def test_a_queue_holds_open_work_oldest_due_first(
    client: FlaskClient, session: Session, world: World
) -> None:
    now = utc_now()
    later = new_report(
        session,
        world.service,
        team=world.team,
        status=Status.ASSIGNED,
        due_at=now + timedelta(days=30),
    )
    sooner = new_report(
        session,
        world.service,
        team=world.team,
        status=Status.IN_PROGRESS,
        due_at=now - timedelta(days=1),
    )
    unknown = new_report(
        session, world.service, team=world.team, status=Status.TRIAGED, due_at=None
    )
    new_report(session, world.service, team=world.team, status=Status.RESOLVED)
    seen: list[int] = []
    cursor = ""
    while cursor is not None:
        answer = client.get(
            f"/api/v1/queues/voirie/reports?limit=3{cursor and '&cursor=' + cursor}",
            headers=world.agent.headers,
        )
        seen += [item["number"] for item in answer.json["items"]]
        cursor = answer.json["next"]
    assert seen == [sooner.number, world.report.number, later.number, unknown.number]
    assert client.get("/api/v1/queues/voirie/reports").status_code == 401


def test_special_queues_and_scopes_of_queues(
    client: FlaskClient, session: Session, world: World
) -> None:
    lost = new_report(session, world.service, at=None)
    new_team(session, world.city, code="parcs")
    member = new_staff(session, world.city, team=world.team)

    def numbers(queue: str, who: SignedIn) -> Any:
        answer = client.get(f"/api/v1/queues/{queue}/reports", headers=who.headers)
        if answer.status_code != 200:
            return answer.status_code
        return [item["number"] for item in answer.json["items"]]

    assert numbers("needs-place", world.agent) == [lost.number]
    assert numbers("unrouted", world.agent) == [lost.number]
    assert numbers("parcs", world.agent) == []
    assert numbers("inconnue", world.agent) == 404
    assert numbers("voirie", member) == [world.report.number]
    assert numbers("parcs", member) == 404
    assert numbers("needs-place", member) == 404
    assert numbers("review", member) == 404
    names = [
        item["queue"]
        for item in client.get("/api/v1/queues", headers=world.agent.headers).json["items"]
    ]
    assert names == ["parcs", "voirie", "needs-place", "unrouted", "review"]
    own = client.get("/api/v1/queues?locale=en", headers=member.headers).json["items"]
    assert [(item["queue"], item["team"]["name"]) for item in own] == [("voirie", "Team voirie")]
