"""Separating undoes all that came of joining: the leader's reopening, and what waited meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts.models import Team
from accounts.rules import Role
from core.clock import utc_now
from core.models import OutboxEvent
from geo.models import Jurisdiction
from notifications import announcing
from notifications.models import Delivery
from reports import conversation, lifecycle, prioritising, promises, remarks, separating, suggesting
from reports.changing import Words
from reports.duplicates import evidence, joining
from reports.history import SYSTEM, Author
from reports.loading import load_routing_rules
from reports.models import Follower, HistoryEntry, PairVerdict, Photo, Service, ServiceRequest
from reports.routing.grammar import parse
from reports.triage import triage
from reports.vocabulary import ActorKind, Status
from tests.factories import (
    new_asset,
    new_follower,
    new_jurisdiction,
    new_photo,
    new_report,
    new_service,
    new_staff,
    new_team,
    stored,
)

STAFF = Author(ActorKind.STAFF)

#: How a repaired report stands, beside its version.
ENDS = ("status", "resolved_at", "closed_at", "due_at", "priority", "joined_count", "team_id")


def new_city(session: Session, **values: Any) -> Service:
    city = new_jurisdiction(session)
    new_team(session, city, code="voirie")
    service = new_service(
        session,
        city,
        code="trou",
        **{"recurrence": "reopen", "service_level": {"working_days": 3}, **values},
    )
    load_routing_rules(
        session,
        city.id,
        parse(
            "rule trous when service trou then team voirie and tag centre\notherwise team voirie\n"
        ),
    )
    return service


def repaired(
    session: Session, service: Service, status: Status = Status.CLOSED, **values: Any
) -> ServiceRequest:
    over = utc_now() - timedelta(days=3)
    return new_report(
        session,
        service,
        requested_at=over - timedelta(days=2),
        status=status,
        resolved_at=over,
        closed_at=over if status is Status.CLOSED else None,
        due_at=over - timedelta(days=1),
        **values,
    )


def stand(session: Session, report: ServiceRequest) -> tuple[object, ...]:
    session.refresh(report)
    return tuple(getattr(report, name) for name in ENDS)


def told_again(session: Session, service: Service) -> ServiceRequest:
    """A report at the same spot, which opens what was repaired there again."""
    again = new_report(session, service)
    triage(session, [again.id], now=utc_now())
    session.expire_all()
    return again


def announced(session: Session) -> list[tuple[str, str]]:
    """Announce what has happened since the last time, and send it; who was told what."""
    known = {row.id for row in stored(session, Delivery)}
    announcing.announce(session, stored(session, OutboxEvent), now=utc_now())
    session.execute(sa.delete(OutboxEvent))
    new = [row for row in stored(session, Delivery) if row.id not in known]
    for row in new:
        row.state = "sent"
    session.flush()
    return sorted((row.recipient_id, row.event) for row in new)


@pytest.mark.parametrize("status", [Status.RESOLVED, Status.CLOSED])
def test_what_another_problem_had_opened_again_is_over_again_as_it_was(
    session: Session, status: Status
) -> None:
    service = new_city(session, evidence_priority=[[2, 2]])
    leader = repaired(session, service, status)
    before = stand(session, leader)
    again = told_again(session, service)
    assert (leader.status, leader.priority, again.parent_id) == ("reopened", 2, leader.id)
    separating.separate(session, again, by=STAFF, now=utc_now())
    assert stand(session, leader) == before


def test_the_history_says_who_took_the_reopening_back_and_which(session: Session) -> None:
    service = new_city(session)
    leader = repaired(session, service)
    again = told_again(session, service)
    separating.separate(session, again, by=STAFF, now=utc_now())
    *_, opened, closed = stored(session, HistoryEntry, report_id=leader.id, kind="status")
    assert (closed.actor_kind, closed.from_status, closed.to_status) == (
        "staff",
        "reopened",
        "closed",
    )
    assert closed.data == {"reason": lifecycle.SEPARATED, "takes_back": opened.id}


def test_it_is_triaged_on_its_own_then_and_opens_the_other_no_more(session: Session) -> None:
    service = new_city(session)
    leader = repaired(session, service)
    again = told_again(session, service)
    separating.separate(session, again, by=STAFF, now=utc_now())
    assert (again.status, again.triaged_at) == ("received", None)
    triage(session, [again.id], now=utc_now())
    session.expire_all()
    assert (again.status, again.parent_id, again.recurs_id) == ("triaged", None, None)
    assert leader.status == "closed"


def one_more(session: Session, leader: ServiceRequest) -> None:
    third = new_report(session, session.get_one(Service, leader.service_id))
    joining.join(session, third, leader, by=SYSTEM, now=utc_now(), judge="test")


def me_too(session: Session, leader: ServiceRequest) -> None:
    follower = new_follower(session, leader)
    follower.confirmed_at = utc_now()
    session.flush()


def a_word(session: Session, leader: ServiceRequest) -> None:
    remarks.comment(session, leader, Words(note="Vu."), by=STAFF, now=utc_now())


def a_hand(session: Session, leader: ServiceRequest) -> None:
    lifecycle.move(session, leader, Status.IN_PROGRESS, by=STAFF, now=utc_now())


def an_urgency(session: Session, leader: ServiceRequest) -> None:
    prioritising.set_priority(session, leader, 2, by=STAFF, now=utc_now())


def a_word_of_the_reporter(session: Session, leader: ServiceRequest) -> None:
    conversation.add(session, leader, "Oui, encore.", photos=0, now=utc_now())


@pytest.mark.parametrize(
    "happens", [one_more, me_too, a_word, a_hand, an_urgency, a_word_of_the_reporter]
)
def test_it_stays_open_once_anybody_else_had_to_do_with_it(
    session: Session, happens: Callable[[Session, ServiceRequest], None]
) -> None:
    service = new_city(session)
    leader = repaired(session, service)
    again = told_again(session, service)
    happens(session, leader)
    separating.separate(session, again, by=STAFF, now=utc_now())
    session.refresh(leader)
    assert Status(leader.status).is_open
    assert leader.closed_at is None


def test_it_is_over_again_when_the_last_that_told_of_it_since_has_left(session: Session) -> None:
    service = new_city(session)
    leader = repaired(session, service)
    again, third = new_report(session, service), new_report(session, service)
    triage(session, [again.id, third.id], now=utc_now())
    session.expire_all()
    assert leader.joined_count == 2
    separating.separate(session, again, by=STAFF, now=utc_now())
    assert leader.status == "reopened"
    separating.separate(session, third, by=STAFF, now=utc_now())
    assert (leader.status, leader.joined_count) == ("closed", 0)


def test_what_a_person_opened_again_for_another_reason_stays_open(session: Session) -> None:
    service = new_city(session)
    leader = repaired(session, service)
    lifecycle.move(session, leader, Status.REOPENED, by=STAFF, now=utc_now())
    child = new_report(session, service)
    joining.join(session, child, leader, by=STAFF, now=utc_now())
    separating.separate(session, child, by=STAFF, now=utc_now())
    assert leader.status == "reopened"


def test_who_says_of_another_problem_that_it_is_not_fixed_keeps_nothing_open(
    session: Session,
) -> None:
    service = new_city(session)
    leader, child = (new_report(session, service, status=Status.TRIAGED) for _ in range(2))
    joining.join(session, child, leader, by=STAFF, now=utc_now())
    lifecycle.move(session, leader, Status.RESOLVED, by=STAFF, now=utc_now())
    conversation.not_fixed(session, child, None, now=utc_now())
    assert leader.status == "reopened"
    separating.separate(session, child, by=STAFF, now=utc_now())
    assert (leader.status, child.status) == ("resolved", "triaged")
    assert leader.resolved_at is not None


def test_one_click_takes_back_the_click_that_had_opened_it_again(session: Session) -> None:
    service = new_city(session)
    leader = repaired(session, service)
    report = new_report(session, service, status=Status.TRIAGED)
    before = stand(session, leader)
    suggesting.say_same(session, report, leader, by=STAFF, now=utc_now())
    assert (leader.status, report.parent_id) == ("reopened", leader.id)
    suggesting.take_back(session, report, leader, by=STAFF, now=utc_now())
    assert stand(session, leader) == before
    assert (report.status, report.parent_id) == ("triaged", None)
    assert stored(session, PairVerdict) == []


def test_staff_separate_by_the_api_too(client: FlaskClient, session: Session) -> None:
    service = new_city(session)
    city = session.get_one(Jurisdiction, service.jurisdiction_id)
    headers = new_staff(session, city, Role.MANAGER).headers
    leader = repaired(session, service)
    again = told_again(session, service)
    answer = client.delete(f"/api/v1/reports/{again.id}/duplicate-of", headers=headers)
    assert answer.status_code == 200, answer.text
    session.expire_all()
    assert leader.status == "closed"
    last = client.get(f"/api/v1/reports/{leader.id}/history").json["items"][-1]
    assert (last["to_status"], last["reason"]) == ("closed", "separated")


def test_what_a_judge_joined_is_not_joined_again_when_it_is_taken_back(session: Session) -> None:
    service = new_city(session)
    leader = new_report(session, service, status=Status.TRIAGED)
    child = new_report(session, service, same_as=leader.id)
    triage(session, [child.id], now=utc_now())
    session.expire_all()
    assert child.parent_id == leader.id
    suggesting.take_back(session, child, leader, by=STAFF, now=utc_now())
    triage(session, [child.id], now=utc_now())
    session.expire_all()
    assert (child.status, child.parent_id) == ("triaged", None)


def test_those_who_heard_that_it_was_open_hear_that_it_is_not_and_nobody_else(
    session: Session,
) -> None:
    service = new_city(session)
    leader = repaired(session, service)
    waits, late = new_follower(session, leader, is_reporter=True), new_follower(session, leader)
    late.left_at = utc_now()
    again = told_again(session, service)
    told_it = new_follower(session, again, is_reporter=True)
    assert announced(session) == sorted([(str(waits.id), "reopened"), (str(told_it.id), "merged")])
    # Came back, and knows of no reopening.
    late.left_at = None
    separating.separate(session, again, by=STAFF, now=utc_now())
    assert announced(session) == sorted(
        [(str(waits.id), "not_reopened"), (str(told_it.id), "separated")]
    )


def test_who_heard_of_the_leader_that_it_is_over_hears_that_theirs_is_not(
    session: Session,
) -> None:
    service = new_city(session)
    leader, child, repeats = (new_report(session, service, status=Status.TRIAGED) for _ in range(3))
    theirs, its, late = (
        new_follower(session, child, is_reporter=True),
        new_follower(session, child),
        new_follower(session, child),
    )
    other = new_follower(session, repeats, is_reporter=True)
    late.left_at = utc_now()
    joining.join(session, repeats, child, by=STAFF, now=utc_now())
    joining.join(session, child, leader, by=STAFF, now=utc_now())
    announced(session)
    lifecycle.move(session, leader, Status.RESOLVED, by=STAFF, now=utc_now())
    assert announced(session) == sorted((str(each.id), "resolved") for each in (theirs, its, other))
    # Came back, and was told nothing.
    late.left_at = None
    separating.separate(session, child, by=STAFF, now=utc_now())
    assert announced(session) == sorted(
        [(str(theirs.id), "separated"), (str(its.id), "not_over"), (str(other.id), "not_over")]
    )


def test_who_heard_that_it_is_open_again_was_not_misled(session: Session) -> None:
    service = new_city(session)
    leader, child = (new_report(session, service, status=Status.TRIAGED) for _ in range(2))
    follower = new_follower(session, child)
    joining.join(session, child, leader, by=STAFF, now=utc_now())
    for status in (Status.RESOLVED, Status.REOPENED):
        lifecycle.move(session, leader, status, by=STAFF, now=utc_now())
        assert announced(session) == [(str(follower.id), status.value)]
    separating.separate(session, child, by=STAFF, now=utc_now())
    assert announced(session) == []


def test_who_has_not_heard_yet_hears_neither(session: Session) -> None:
    service = new_city(session)
    leader = repaired(session, service)
    new_follower(session, leader, is_reporter=True)
    again = told_again(session, service)
    separating.separate(session, again, by=STAFF, now=utc_now())
    assert [event for _, event in announced(session)] == ["reopened"]


def test_who_took_theirs_back_while_it_was_joined_is_not_worked_for_alone(
    session: Session,
) -> None:
    service = new_city(session)
    leader, child, followed = (
        new_report(session, service, status=Status.TRIAGED) for _ in range(3)
    )
    new_follower(session, followed)
    for each in (child, followed):
        joining.join(session, each, leader, by=STAFF, now=utc_now())
        conversation.withdraw(session, each, None, now=utc_now())
        separating.separate(session, each, by=STAFF, now=utc_now())
    assert (child.status, followed.status, leader.status) == ("closed", "triaged", "triaged")


def test_a_leader_whose_reporter_had_left_it_to_the_others_goes_with_them(
    session: Session,
) -> None:
    service = new_city(session)
    leader, child = (new_report(session, service, status=Status.TRIAGED) for _ in range(2))
    joining.join(session, child, leader, by=STAFF, now=utc_now())
    conversation.withdraw(session, leader, None, now=utc_now())
    assert leader.status == "triaged"
    separating.separate(session, child, by=STAFF, now=utc_now())
    assert (leader.status, child.status) == ("closed", "triaged")


def test_what_staff_opened_again_is_not_closed_for_a_word_that_they_knew(session: Session) -> None:
    service = new_city(session)
    leader, child = (new_report(session, service, status=Status.TRIAGED) for _ in range(2))
    assert conversation.withdraw(session, leader, None, now=utc_now())
    lifecycle.move(session, leader, Status.REOPENED, by=STAFF, now=utc_now())
    joining.join(session, child, leader, by=STAFF, now=utc_now())
    separating.separate(session, child, by=STAFF, now=utc_now())
    assert (child.status, leader.status) == ("triaged", "reopened")


def test_what_waited_for_an_answer_that_came_meanwhile_goes_on(session: Session) -> None:
    service = new_city(session)
    [team] = stored(session, Team)
    leader, child, waits = (
        new_report(session, service, status=Status.TRIAGED, team=team) for _ in range(3)
    )
    for each in (child, waits):
        remarks.ask(session, each, "Quel côté ?", hold=True, by=STAFF, now=utc_now())
        joining.join(session, each, leader, by=STAFF, now=utc_now())
    conversation.answer(session, child, "Côté pair.", now=utc_now())
    assert child.status == "duplicate"
    for each in (child, waits):
        separating.separate(session, each, by=STAFF, now=utc_now())
    assert (child.status, child.held_since, waits.status) == ("triaged", None, "on_hold")
    # An answer that comes after lets it go on as ever.
    conversation.answer(session, waits, "Côté impair.", now=utc_now())
    assert waits.status == "triaged"


def test_the_promise_of_a_reopened_report_counts_from_its_reopening_still(
    session: Session,
) -> None:
    service = new_city(session)
    child = repaired(session, service)
    leader = new_report(session, service, status=Status.TRIAGED)
    then = utc_now() - timedelta(hours=5)
    lifecycle.move(session, child, Status.REOPENED, by=STAFF, now=then)
    joining.join(session, child, leader, by=STAFF, now=utc_now())
    separating.separate(session, child, by=STAFF, now=utc_now())
    assert (child.status, promises.promised_at(session, child)) == ("reopened", then)


def test_words_photos_followers_tags_and_asset_are_the_reports_own_all_the_time(
    session: Session,
) -> None:
    service = new_city(session)
    leader, child = (
        new_report(session, service),
        new_report(session, service, asset_id=new_asset(session).id, address="9 rue Foch"),
    )
    photo = new_photo(session, child)
    mine, too = new_follower(session, child, is_reporter=True), new_follower(session, child)
    triage(session, [child.id], now=utc_now(), judge=None)
    session.refresh(child)
    assert child.routing is not None
    assert child.routing["tags"] == ["centre"]
    before = {
        name: getattr(child, name)
        for name in ("routing", "routed_by", "team_id", "due_at", "asset_id", "asset_link")
    }
    joining.join(session, child, leader, by=STAFF, now=utc_now())
    separating.separate(session, child, by=STAFF, now=utc_now())
    assert {name: getattr(child, name) for name in before} == before
    owned = stored(session, Photo, report_id=child.id)
    assert [each.id for each in owned] == [photo.id]
    assert {each.id for each in stored(session, Follower, report_id=child.id)} == {mine.id, too.id}
    heard = evidence.told(session, [leader.id, child.id])
    assert (heard[leader.id].people, heard[child.id].people) == (1, 2)


def test_what_was_joined_on_arrival_is_routed_as_if_it_had_come_alone(session: Session) -> None:
    service = new_city(session)
    leader = new_report(session, service)
    triage(session, [leader.id], now=utc_now())
    child = new_report(session, service)
    triage(session, [child.id], now=utc_now())
    session.expire_all()
    assert (child.parent_id, child.due_at) == (leader.id, None)
    separating.separate(session, child, by=STAFF, now=utc_now())
    triage(session, [child.id], now=utc_now())
    session.expire_all()
    assert (child.status, child.team_id, child.routed_by) == ("triaged", leader.team_id, "rule")
    assert child.routing is not None
    assert child.routing["tags"] == ["centre"]
    assert child.due_at is not None


def test_a_place_that_was_found_meanwhile_is_routed_from(session: Session) -> None:
    service = new_city(session)
    leader, child = (
        new_report(session, service, status=Status.TRIAGED, triaged_at=utc_now()) for _ in range(2)
    )
    joining.join(session, child, leader, by=STAFF, now=utc_now())
    # As `reports.locating` does when a geocoder answers late.
    child.triaged_at = None
    session.flush()
    separating.separate(session, child, by=STAFF, now=utc_now())
    assert (child.status, child.triaged_at) == ("triaged", None)


def test_what_is_asked_about_a_report_follows_it_to_its_leader_and_back(session: Session) -> None:
    service = new_city(session)
    leader, child, asks = (new_report(session, service, status=Status.TRIAGED) for _ in range(3))
    asks.duplicate = {"outcome": "suggested", "candidates": [{"id": str(child.id)}]}
    asks.suggested_id = child.id
    session.flush()
    joining.join(session, child, leader, by=STAFF, now=utc_now())
    session.refresh(asks)
    assert asks.suggested_id == leader.id
    separating.separate(session, child, by=STAFF, now=utc_now())
    session.refresh(asks)
    assert asks.suggested_id == child.id
