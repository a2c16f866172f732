"""The page on which staff say of two reports whether they are one."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts.rules import Role
from core.clock import utc_now
from reports import lifecycle
from reports.history import Author
from reports.models import PairVerdict, ServiceRequest
from reports.triage import triage
from reports.vocabulary import ActorKind, Status
from tests.factories import (
    new_citizen,
    new_jurisdiction,
    new_photo,
    new_report,
    new_service,
    new_staff,
    new_team,
    stored,
)
from tests.reports.duplicates.test_suggestions import Doubtful
from tests.web.browsing import browse_as, text_of

PAGE = "/staff/duplicates?lang=en"


class Desk:
    """A city with a leader, a report that may repeat it, and a manager's browser."""

    def __init__(self, client: FlaskClient, session: Session, role: Role = Role.MANAGER) -> None:
        self.client, self.session = client, session
        self.city = new_jurisdiction(session)
        self.team = new_team(session, self.city)
        self.service = new_service(session, self.city)
        self.leader = self.led(hours=5)
        self.report = self.asked()
        self.staff = new_staff(session, self.city, role)
        self.csrf = browse_as(client, session, self.staff.person)

    def led(self, hours: int) -> ServiceRequest:
        at = utc_now() - timedelta(hours=hours)
        return new_report(
            self.session,
            self.service,
            status=Status.TRIAGED,
            team=self.team,
            requested_at=at,
            description="Un nid-de-poule <profond>.",
        )

    def asked(self) -> ServiceRequest:
        report = new_report(self.session, self.service)
        triage(self.session, [report.id], now=utc_now(), judge=Doubtful())
        self.session.expire_all()
        return report

    def see(self, path: str = PAGE) -> str:
        answer = self.client.get(path)
        assert answer.status_code == 200
        return answer.get_data(as_text=True)

    def say(self, answer: str, other: UUID | None = None, **form: str) -> Any:
        return self.client.post(
            f"/staff/duplicates/{self.report.id}/{other or self.leader.id}?lang=en",
            data={
                "csrf": self.csrf,
                "answer": answer,
                "version": str(self.report.version),
                **form,
            },
        )

    def follow(self, answer: Any) -> str:
        assert answer.status_code == 303, answer.get_data(as_text=True)
        self.session.expire_all()
        return text_of(self.client.get(answer.headers["Location"]))


@pytest.fixture
def desk(client: FlaskClient, session: Session) -> Desk:
    return Desk(client, session)


def test_both_stand_side_by_side_with_why_and_how_far(desk: Desk) -> None:
    photo = new_photo(desk.session, desk.leader, is_public=False)
    page = desk.see()
    assert page.index(f"Report {desk.report.number}") < page.index(f"Report {desk.leader.number}")
    assert "Un nid-de-poule &lt;profond&gt;." in page
    assert f"/media/{photo.id}/thumb.jpg" in page
    for words in ("0\u00a0m", "same kind of problem", "Likelihood", "The same: join them"):
        assert words in page
    assert f'name="csrf" value="{desk.csrf}"' in page
    french = desk.see("/staff/duplicates?lang=fr")
    for words in ("Doublons possibles", "même type de problème", "Pas le même"):
        assert words in french


def test_the_same_joins_and_can_be_taken_back(desk: Desk) -> None:
    told = desk.follow(desk.say("same"))
    assert f"Reports {desk.report.number} and {desk.leader.number} are one problem now" in told
    assert "Nothing to look at" in told
    assert desk.report.parent_id == desk.leader.id
    told = desk.follow(desk.say("undo"))
    assert "stand as they did before" in told
    assert "The same: join them" in told
    assert desk.report.parent_id is None
    assert stored(desk.session, PairVerdict) == []


def test_not_the_same_is_remembered_and_the_next_is_asked(desk: Desk) -> None:
    desk.led(hours=4)
    desk.report = desk.asked()
    best = desk.report.suggested_id
    told = desk.follow(desk.say("another", best))
    assert "stay apart" in told
    [verdict] = stored(desk.session, PairVerdict)
    assert (verdict.other_id, verdict.is_same) == (best, False)
    assert desk.report.suggested_id not in (best, None)


def test_what_changed_meanwhile_is_shown_again(desk: Desk) -> None:
    told = desk.follow(desk.say("same", version="0"))
    assert f"Somebody changed report {desk.report.number} meanwhile" in told
    assert desk.report.parent_id is None


def test_what_cannot_be_joined_any_more_is_said(desk: Desk) -> None:
    desk.follow(desk.say("same"))
    told = desk.follow(desk.say("same", version=str(desk.report.version)))
    assert "Nothing was done" in told
    lifecycle.move(
        desk.session, desk.leader, Status.RESOLVED, by=Author(ActorKind.STAFF), now=utc_now()
    )
    assert "Nothing to look at" in text_of(desk.client.get(PAGE))


def test_pages_follow_one_another_and_the_last_says_so(desk: Desk) -> None:
    for _ in range(11):
        desk.asked()
    first = desk.see()
    assert first.count("<article") == 10
    more = re.search(r'href="(/staff/duplicates\?cursor=[^"]+)"', first)
    assert more
    second = desk.see(more[1].replace("&amp;", "&"))
    assert second.count("<article") == 2
    assert "Back to the first" in second
    assert desk.client.get("/staff/duplicates?cursor=nonsense").status_code == 404


def test_nothing_to_look_at_is_said(client: FlaskClient, session: Session) -> None:
    staff = new_staff(session, new_jurisdiction(session), Role.MANAGER)
    browse_as(client, session, staff.person)
    assert "no report of yours waits" in text_of(client.get(PAGE))


def test_viewers_look_and_do_not_answer(client: FlaskClient, session: Session) -> None:
    desk = Desk(client, session, Role.VIEWER)
    page = desk.see()
    assert "not yours to change" in page
    assert "join them" not in page
    assert desk.say("same").status_code == 403


def test_who_cares_for_one_team_sees_of_another_teams_report_its_number_alone(
    client: FlaskClient, session: Session
) -> None:
    desk = Desk(client, session)
    mine = new_team(session, desk.city)
    desk.report.team_id = mine.id
    session.flush()
    agent = new_staff(session, desk.city, Role.AGENT, team=mine)
    desk.csrf = browse_as(client, session, agent.person)
    page = desk.see()
    assert f"Report {desk.leader.number}" in page
    assert "nid-de-poule" not in page
    assert "join them" not in page
    assert desk.say("same").status_code == 404


def test_only_staff_with_their_form_get_in(
    client: FlaskClient, session: Session, desk: Desk
) -> None:
    assert desk.say("same", csrf="").status_code == 403
    assert desk.say("join").status_code == 422
    citizen = new_citizen(session)
    browse_as(client, session, citizen.person)
    assert client.get(PAGE).status_code == 403
    client.delete_cookie("riverain")
