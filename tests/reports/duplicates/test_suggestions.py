"""What staff are asked, their answer in one click, and what follows when the world moves on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts.rules import Role
from core.clock import utc_now
from reports import lifecycle
from reports.duplicates import joining
from reports.duplicates.leading import Standing, leads
from reports.duplicates.rules import Decision, FirstRule, Outcome, Verdicts
from reports.history import Author
from reports.models import HistoryEntry, PairVerdict, ServiceRequest
from reports.triage import triage
from reports.vocabulary import ActorKind, Status
from tests.factories import (
    SignedIn,
    new_jurisdiction,
    new_report,
    new_service,
    new_staff,
    new_team,
    stored,
)

STAFF = Author(ActorKind.STAFF)
NOW = utc_now()


class Doubtful(FirstRule):
    """Finds what the first rule finds, and is never sure."""

    name = "doubtful/1"

    def decide(self, report: Any, candidates: Any, verdicts: Verdicts) -> Decision:
        found = super().decide(report, candidates, verdicts)
        if found.outcome is not Outcome.JOINED:
            return found
        return Decision(
            Outcome.SUGGESTED, found.parent_id, found.score, found.reasons, found.ranked
        )


class City:
    """A city with two leaders apart from each other, and a report that may repeat both."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.city = new_jurisdiction(session)
        self.team = new_team(session, self.city)
        self.service = new_service(session, self.city, recurrence="reopen")
        self.first, self.second = (
            self.leader(requested_at=NOW - timedelta(hours=hours)) for hours in (5, 4)
        )
        self.staff = new_staff(session, self.city, Role.MANAGER)
        self.report = new_report(session, self.service)
        triage(session, [self.report.id], now=utc_now(), judge=Doubtful())
        session.expire_all()

    def leader(self, **values: Any) -> ServiceRequest:
        return new_report(
            self.session, self.service, **{"status": Status.TRIAGED, "team": self.team, **values}
        )

    @property
    def best(self) -> ServiceRequest:
        return self.session.get_one(ServiceRequest, self.report.suggested_id)

    @property
    def next_best(self) -> ServiceRequest:
        return self.second if self.best is self.first else self.first


@pytest.fixture
def city(session: Session) -> City:
    return City(session)


def say(client: FlaskClient, city: City, other: UUID, same: bool, staff: SignedIn | None = None):  # type: ignore[no-untyped-def]
    return client.post(
        f"/api/v1/reports/{city.report.id}/suggestions/{other}",
        json={"same": same},
        headers=(staff or city.staff).headers,
    )


def test_a_doubtful_one_is_routed_and_asked_about(client: FlaskClient, city: City) -> None:
    assert city.report.parent_id is None
    assert city.report.suggested_id in {city.first.id, city.second.id}
    listed = client.get("/api/v1/suggestions", headers=city.staff.headers).json
    assert listed is not None
    [item] = listed["items"]
    assert item["id"] == str(city.report.id)
    assert [s["id"] for s in item["suggestions"]] == [str(city.best.id), str(city.next_best.id)]
    assert item["suggestions"][0]["number"] == city.best.number
    assert {reason["code"] for reason in item["suggestions"][0]["reasons"]} >= {"distance"}
    path = f"/api/v1/reports/{city.report.id}"
    whole = client.get(path, headers=city.staff.headers).json
    assert whole is not None
    english = client.get(f"{path}?locale=en", headers=city.staff.headers).json
    assert english is not None
    assert english["suggestions"][0]["because"] == english["duplicate_because"]
    assert english["duplicate_because"].startswith("0 m, ")
    assert whole["suggestions"] == item["suggestions"]
    asked = client.get("/api/v1/reports?may_repeat=true", headers=city.staff.headers).json
    assert asked is not None
    assert [each["id"] for each in asked["items"]] == [str(city.report.id)]
    assert client.get("/api/v1/reports?may_repeat=true").status_code == 401
    assert "suggestions" not in (client.get(f"/api/v1/reports/{city.report.id}").json or {})


def test_a_team_sees_what_is_asked_of_its_own_reports(client: FlaskClient, city: City) -> None:
    other = new_staff(city.session, city.city, Role.AGENT, team=city.team)
    listed = client.get("/api/v1/suggestions", headers=other.headers).json
    assert listed == {"items": [], "next": None}
    city.report.team_id = city.team.id
    city.session.flush()
    for path in (
        f"/api/v1/suggestions?team={city.team.code}",
        f"/api/v1/queues/{city.team.code}/reports?may_repeat=true",
    ):
        listed = client.get(path, headers=other.headers).json
        assert listed is not None
        assert [item["id"] for item in listed["items"]] == [str(city.report.id)]


def test_one_click_joins_and_is_remembered(client: FlaskClient, city: City) -> None:
    best = city.best
    answer = say(client, city, best.id, True)
    assert (answer.status_code, answer.json["status"]) == (200, "duplicate")
    assert (answer.json["parent"]["id"], answer.json["may_repeat"]) == (str(best.id), None)
    [verdict] = stored(city.session, PairVerdict)
    assert (verdict.report_id, verdict.other_id, verdict.is_same) == (city.report.id, best.id, True)
    assert verdict.actor_id == city.staff.id


def test_one_click_says_no_and_the_next_is_asked(client: FlaskClient, city: City) -> None:
    best, following = city.best, city.next_best
    answer = say(client, city, best.id, False)
    assert answer.status_code == 200
    assert [item["id"] for item in answer.json["suggestions"]] == [str(following.id)]
    assert answer.json["may_repeat"] == str(following.id)
    answer = say(client, city, following.id, False)
    assert (answer.json["may_repeat"], answer.json["suggestions"]) == (None, [])
    said = stored(city.session, PairVerdict, report_id=city.report.id)
    assert [verdict.is_same for verdict in said] == [False, False]
    # What was refused is not suggested again when the report is looked at once more.
    city.report.triaged_at = None
    city.session.flush()
    triage(city.session, [city.report.id], now=utc_now(), judge=Doubtful())
    city.session.refresh(city.report)
    assert city.report.suggested_id is None


@pytest.mark.parametrize("same", [True, False])
def test_an_answer_can_be_taken_back(client: FlaskClient, city: City, same: bool) -> None:
    best = city.best
    before = (city.report.status, city.report.suggested_id, city.report.team_id)
    assert say(client, city, best.id, same).status_code == 200
    undone = client.delete(
        f"/api/v1/reports/{city.report.id}/suggestions/{best.id}", headers=city.staff.headers
    )
    assert undone.status_code == 200, undone.text
    city.session.expire_all()
    assert (city.report.status, city.report.suggested_id, city.report.team_id) == before
    assert stored(city.session, PairVerdict) == []
    assert best.joined_count == 0
    kinds = [entry.kind for entry in stored(city.session, HistoryEntry, report_id=city.report.id)]
    assert "suggestion_taken_back" in kinds
    again = client.delete(
        f"/api/v1/reports/{city.report.id}/suggestions/{best.id}", headers=city.staff.headers
    )
    assert (again.status_code, again.json["code"]) == (409, "nothing_said")


def test_a_suggestion_follows_its_report_into_another(city: City) -> None:
    best, following = city.best, city.next_best
    joining.join(city.session, best, following, by=STAFF, now=utc_now())
    city.session.expire_all()
    assert city.report.suggested_id == following.id


def test_when_it_is_over_the_next_is_asked_and_at_last_nothing(city: City) -> None:
    best, following = city.best, city.next_best
    lifecycle.move(city.session, best, Status.RESOLVED, by=STAFF, now=utc_now())
    city.session.expire_all()
    assert city.report.suggested_id == following.id
    lifecycle.move(city.session, following, Status.RESOLVED, by=STAFF, now=utc_now())
    city.session.expire_all()
    assert city.report.suggested_id is None


def test_nothing_is_asked_of_what_is_over_itself(city: City) -> None:
    lifecycle.move(city.session, city.report, Status.RESOLVED, by=STAFF, now=utc_now())
    city.session.expire_all()
    assert city.report.suggested_id is None


def test_the_older_leads_whichever_was_asked_about(client: FlaskClient, city: City) -> None:
    older = city.leader(requested_at=NOW - timedelta(days=1))
    answer = client.post(
        f"/api/v1/reports/{older.id}/suggestions/{city.first.id}",
        json={"same": True},
        headers=city.staff.headers,
    )
    assert answer.status_code == 200
    city.session.expire_all()
    assert (older.parent_id, city.first.parent_id) == (None, older.id)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((0, True, None), (1, True, None), True),
        ((1, True, None), (0, True, None), False),
        ((0, False, None), (1, True, None), False),
        ((0, True, 200.0), (1, True, 8.0), False),
        ((0, True, 200.0), (1, True, 60.0), True),
        ((1, True, 8.0), (0, True, 200.0), True),
        ((0, True, 60.0), (1, True, 8.0), True),
    ],
)
def test_the_older_leads_unless_only_the_younger_can_be_found(
    one: tuple[int, bool, float | None], other: tuple[int, bool, float | None], expected: bool
) -> None:
    def standing(number: int, given: tuple[int, bool, float | None]) -> Standing:
        hours, is_placed, accuracy_m = given
        return Standing(NOW + timedelta(hours=hours), is_placed, accuracy_m, UUID(int=number))

    assert leads(standing(1, one), standing(2, other)) is expected
    assert leads(standing(2, other), standing(1, one)) is not expected


def test_same_as_one_that_is_over_opens_it_or_names_it(client: FlaskClient, city: City) -> None:
    best, following = city.best, city.next_best
    for leader in (best, following):
        leader.status = Status.CLOSED.value
        leader.resolved_at = leader.closed_at = city.report.requested_at - timedelta(minutes=5)
    following.resolved_at = None
    city.session.flush()
    # It was rejected or taken back: nothing was repaired that could be opened again.
    answer = say(client, city, following.id, True)
    assert (answer.status_code, answer.json["status"]) == (200, city.report.status)
    assert answer.json["recurs"] == str(following.id)
    undone = client.delete(
        f"/api/v1/reports/{city.report.id}/suggestions/{following.id}", headers=city.staff.headers
    )
    assert (undone.status_code, undone.json["recurs"]) == (200, None)
    answer = say(client, city, best.id, True)
    assert (answer.status_code, answer.json["status"]) == (200, "duplicate")
    city.session.expire_all()
    assert (best.status, city.report.parent_id) == ("reopened", best.id)


def test_what_cannot_be_is_refused(client: FlaskClient, city: City) -> None:
    best, following = city.best, city.next_best
    abroad = new_report(city.session, status=Status.TRIAGED)
    assert say(client, city, abroad.id, True).status_code == 404
    assert say(client, city, city.report.id, False).status_code == 409
    assert say(client, city, UUID(int=1), True).status_code == 404
    viewer = new_staff(city.session, city.city, Role.VIEWER)
    assert say(client, city, best.id, True, viewer).status_code == 403
    joining.join(city.session, best, following, by=STAFF, now=utc_now())
    answer = say(client, city, best.id, True)
    assert (answer.status_code, answer.json["code"]) == (409, "parent_is_duplicate")
    assert answer.json["parent_id"] == str(following.id)
