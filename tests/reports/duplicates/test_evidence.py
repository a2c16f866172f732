"""Evidence counts, raises the priority and gives it back; a person's word is final."""

from __future__ import annotations

from typing import Any

from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts.rules import Role
from core.clock import utc_now
from core.tokens import Purpose, token_for
from reports import conversation
from reports.duplicates import evidence, joining
from reports.history import Author
from reports.models import HistoryEntry, Service, ServiceRequest
from reports.triage import triage
from reports.vocabulary import ActorKind, Status
from reports.withdrawing import WITHDRAWN
from tests.factories import (
    new_citizen,
    new_follower,
    new_jurisdiction,
    new_report,
    new_service,
    new_staff,
    new_team,
    stored,
)

STAFF = Author(ActorKind.STAFF)


def new_city(session: Session, **values: Any) -> Service:
    return new_service(session, **{"evidence_priority": [[3, 1], [6, 2]], **values})


def test_from_so_many_people_on_it_is_more_urgent(session: Session) -> None:
    service = new_city(session)
    leader = new_report(session, service, status=Status.TRIAGED)
    for size, expected in ((1, 0), (1, 1), (2, 1), (1, 2)):
        ids = [new_report(session, service).id for _ in range(size)]
        triage(session, ids, now=utc_now())
        session.refresh(leader)
        assert leader.priority == expected
    assert (leader.joined_count, leader.priority_by) == (5, "evidence")
    entries = stored(session, HistoryEntry, report_id=leader.id, kind="priority_changed")
    assert [(e.data["from"], e.data["to"], e.data["people"]) for e in entries] == [
        (0, 1, 3),
        (1, 2, 6),
    ]


def test_separating_takes_the_priority_back(session: Session) -> None:
    service = new_city(session)
    leader, one, two = (new_report(session, service, status=Status.TRIAGED) for _ in range(3))
    for child in (one, two):
        joining.join(session, child, leader, by=STAFF, now=utc_now())
    assert (leader.priority, leader.joined_count) == (1, 2)
    joining.unjoin(session, two, by=STAFF, now=utc_now())
    assert (leader.priority, leader.priority_by, leader.joined_count) == (0, None, 1)


def test_followers_are_evidence_once_they_have_confirmed_and_until_they_leave(
    session: Session,
) -> None:
    service = new_city(session)
    leader = new_report(session, service, status=Status.TRIAGED)
    new_follower(session, leader)
    follower = new_follower(session, leader, is_confirmed=False)
    secret = "s" * 32
    token = token_for(secret, Purpose.CONFIRM, follower.id, 1)
    conversation.confirm(session, follower.id, token, secret=secret, now=utc_now())
    session.refresh(leader)
    assert leader.priority == 1
    token = token_for(secret, Purpose.LEAVE, follower.id, 1)
    conversation.leave(session, follower.id, token, secret=secret, now=utc_now())
    session.refresh(leader)
    assert leader.priority == 0


def test_rules_give_more_than_evidence_and_keep_it(session: Session) -> None:
    service = new_city(session)
    leader = new_report(session, service, status=Status.TRIAGED, priority=2)
    new_report(session, service, parent=leader)
    children = [new_report(session, service).id for _ in range(3)]
    triage(session, children, now=utc_now())
    session.refresh(leader)
    assert (leader.priority, leader.priority_by) == (2, None)


def test_a_service_may_say_that_evidence_changes_nothing(session: Session) -> None:
    service = new_city(session, evidence_priority=[])
    leader = new_report(session, service, status=Status.TRIAGED)
    triage(session, [new_report(session, service).id for _ in range(9)], now=utc_now())
    session.refresh(leader)
    assert (leader.joined_count, leader.priority) == (9, 0)


def test_what_a_person_set_stays_until_a_person_takes_it_back(
    client: FlaskClient, session: Session
) -> None:
    city = new_jurisdiction(session)
    service, team = new_city(session, jurisdiction_id=city.id), new_team(session, city)
    leader = new_report(session, service, status=Status.TRIAGED, team=team)
    staff = new_staff(session, city, Role.MANAGER)

    def say(priority: str | None) -> ServiceRequest:
        answer = client.post(
            f"/api/v1/reports/{leader.id}/priority",
            json={"priority": priority},
            headers=staff.headers,
        )
        assert answer.status_code == 200, answer.text
        session.refresh(leader)
        return leader

    assert (say("low").priority, leader.priority_by) == (-1, "person")
    triage(session, [new_report(session, service).id for _ in range(4)], now=utc_now())
    session.refresh(leader)
    assert (leader.priority, leader.joined_count) == (-1, 4)
    assert (say(None).priority, leader.priority_by) == (1, "evidence")
    leader.status = Status.CLOSED.value
    session.flush()
    refused = client.post(
        f"/api/v1/reports/{leader.id}/priority", json={"priority": "high"}, headers=staff.headers
    )
    assert refused.status_code == 409


def test_everybody_sees_how_many_told_of_it(client: FlaskClient, session: Session) -> None:
    service = new_city(session)
    leader = new_report(session, service, status=Status.TRIAGED)
    for _ in range(2):
        child = new_report(session, service, parent=leader)
    new_follower(session, leader)
    new_follower(session, leader, is_confirmed=False)
    new_follower(session, child)
    shown = client.get(f"/api/v1/reports/{leader.id}").json
    assert shown is not None
    assert (shown["people"], shown["duplicates"], shown["followers"]) == (5, 2, 2)


def heard(session: Session, leader: ServiceRequest) -> int:
    return evidence.told(session, [leader.id])[leader.id].people


def joined_by(session: Session, leader: ServiceRequest, **contact: Any) -> ServiceRequest:
    """A report that waits for triage, of somebody who left that."""
    service = session.get_one(Service, leader.service_id)
    child = new_report(session, service)
    if contact:
        new_follower(session, child, **{"is_reporter": True, "email": None, **contact})
    return child


def test_one_person_who_tells_it_twenty_times_is_one(session: Session) -> None:
    leader = new_report(session, new_city(session), status=Status.TRIAGED)
    ids = [joined_by(session, leader, email="a@x.fr").id for _ in range(20)]
    triage(session, ids, now=utc_now())
    session.refresh(leader)
    assert (leader.joined_count, leader.priority, heard(session, leader)) == (20, 0, 2)
    triage(session, [joined_by(session, leader, email="b@x.fr").id], now=utc_now())
    session.refresh(leader)
    assert (leader.priority, heard(session, leader)) == (1, 3)


def test_a_person_is_known_by_account_address_or_number(session: Session) -> None:
    leader = new_report(session, new_city(session), status=Status.TRIAGED)
    ann = new_citizen(session).id
    known: list[dict[str, Any]] = [
        {"email": "ann@x.fr", "phone": "+33611111111"},
        {"person_id": ann, "email": "ann@x.fr"},
        {"phone": "+33611111111"},
        {"email": "ann@x.fr"},
        {"person_id": ann, "phone": "+33611111111"},
    ]
    triage(session, [joined_by(session, leader, **each).id for each in known], now=utc_now())
    assert heard(session, leader) == 2
    new_follower(session, leader, email="ann@x.fr")
    assert heard(session, leader) == 2
    new_follower(session, leader, email="ben@x.fr")
    assert heard(session, leader) == 3


def test_who_left_nothing_counts_each_time(session: Session) -> None:
    leader = new_report(session, new_city(session), status=Status.TRIAGED)
    triage(session, [joined_by(session, leader).id for _ in range(3)], now=utc_now())
    assert heard(session, leader) == 4


def test_followers_of_a_duplicate_are_evidence_of_its_parent(session: Session) -> None:
    leader = new_report(session, new_city(session), status=Status.TRIAGED)
    child = joined_by(session, leader, email="a@x.fr")
    triage(session, [child.id], now=utc_now())
    follower = new_follower(session, child, is_confirmed=False)
    secret = "s" * 32
    token = token_for(secret, Purpose.CONFIRM, follower.id, 1)
    conversation.confirm(session, follower.id, token, secret=secret, now=utc_now())
    session.refresh(leader)
    assert leader.priority == 1


def test_a_wave_is_not_counted_again_once_it_is_as_urgent_as_can_be(session: Session) -> None:
    leader = new_report(session, new_city(session), status=Status.TRIAGED)
    triage(session, [joined_by(session, leader).id for _ in range(6)], now=utc_now())
    session.refresh(leader)
    assert leader.priority == 2
    leader.priority_base = 5
    session.flush()
    # As nothing was taken away, nobody notices what this test did to the row.
    assert evidence.weigh(session, [leader.id], now=utc_now(), has_grown=True) == 0
    assert evidence.weigh(session, [leader.id], now=utc_now()) == 1


def people_of(client: FlaskClient, report: ServiceRequest) -> tuple[int, int, int]:
    shown = client.get(f"/api/v1/reports/{report.id}").json
    assert shown is not None
    return shown["people"], shown["followers"], shown["duplicates"]


def test_who_takes_a_duplicate_back_tells_no_more_and_its_followers_still_do(
    client: FlaskClient, session: Session
) -> None:
    leader = new_report(session, new_city(session), status=Status.TRIAGED)
    left, stays = (joined_by(session, leader, email=f"{name}@x.fr") for name in "ab")
    triage(session, [left.id, stays.id], now=utc_now())
    new_follower(session, left, email="c@x.fr")
    evidence.weigh(session, [leader.id], now=utc_now())
    session.expire_all()
    assert (people_of(client, leader), leader.priority) == ((4, 1, 2), 1)
    for _ in range(2):
        assert not conversation.withdraw(session, left, "Une erreur", now=utc_now())
    session.expire_all()
    # The report stays joined; it is one of two, of whom one person speaks no more.
    assert (people_of(client, leader), leader.priority) == ((3, 1, 2), 1)
    assert [entry.kind for entry in stored(session, HistoryEntry, report_id=left.id)].count(
        "withdrawn"
    ) == 1
    conversation.withdraw(session, stays, None, now=utc_now())
    session.expire_all()
    assert (people_of(client, leader), leader.priority, leader.status) == ((2, 1, 2), 0, "triaged")


def test_a_duplicate_shows_the_people_of_the_problem_that_it_tells(
    client: FlaskClient, session: Session
) -> None:
    leader = new_report(session, new_city(session), status=Status.TRIAGED)
    child = joined_by(session, leader, email="a@x.fr")
    triage(session, [child.id], now=utc_now())
    new_follower(session, leader, email="b@x.fr")
    assert people_of(client, leader) == people_of(client, child) == (3, 1, 1)


def test_one_who_says_me_too_by_address_and_by_number_is_one_follower(
    client: FlaskClient, session: Session
) -> None:
    leader = new_report(session, new_city(session), status=Status.TRIAGED)
    ann = new_citizen(session).id
    new_follower(session, leader, email="ann@x.fr", person_id=ann)
    new_follower(session, leader, email=None, phone="+33611111111", person_id=ann)
    assert people_of(client, leader) == (2, 1, 0)


def test_who_left_no_contact_can_take_a_report_back_too(session: Session) -> None:
    leader = new_report(session, new_city(session), status=Status.TRIAGED)
    children = [joined_by(session, leader) for _ in range(2)]
    triage(session, [child.id for child in children], now=utc_now())
    assert heard(session, leader) == 3
    conversation.withdraw(session, children[0], None, now=utc_now())
    assert heard(session, leader) == 2


def test_who_wants_no_more_messages_of_their_report_has_still_told_of_it(session: Session) -> None:
    leader = new_report(session, new_city(session), status=Status.TRIAGED)
    child = joined_by(session, leader)
    triage(session, [child.id], now=utc_now())
    mine = new_follower(session, child, is_reporter=True, email="a@x.fr")
    secret = "s" * 32
    token = token_for(secret, Purpose.LEAVE, mine.id, 1)
    conversation.leave(session, mine.id, token, secret=secret, now=utc_now())
    assert heard(session, leader) == 2


def test_a_report_goes_when_the_last_who_told_of_it_takes_theirs_back(session: Session) -> None:
    leader = new_report(session, new_city(session), status=Status.TRIAGED)
    child = joined_by(session, leader, email="a@x.fr")
    triage(session, [child.id], now=utc_now())
    session.expire_all()
    assert not conversation.withdraw(session, leader, None, now=utc_now())
    assert (leader.status, heard(session, leader)) == ("triaged", 1)
    assert not conversation.withdraw(session, child, None, now=utc_now())
    session.expire_all()
    assert (leader.status, child.status, heard(session, leader)) == ("closed", "duplicate", 0)
    [entry] = stored(session, HistoryEntry, report_id=leader.id, to_status="closed")
    assert (entry.actor_kind, entry.data) == ("reporter", {"reason": WITHDRAWN})


def test_who_says_it_is_not_fixed_tells_of_it_again(session: Session) -> None:
    leader = new_report(session, new_city(session), status=Status.TRIAGED)
    child = joined_by(session, leader, email="a@x.fr")
    triage(session, [child.id], now=utc_now())
    conversation.withdraw(session, child, None, now=utc_now())
    leader.status, leader.resolved_at = Status.RESOLVED.value, utc_now()
    session.flush()
    conversation.not_fixed(session, child, None, now=utc_now())
    session.expire_all()
    assert (leader.status, heard(session, leader)) == ("reopened", 2)


def test_a_signed_in_reporter_who_follows_again_tells_of_it_again(session: Session) -> None:
    leader = new_report(session, new_city(session), status=Status.TRIAGED)
    ann = new_citizen(session).id
    new_follower(session, leader, is_reporter=True, person_id=ann)
    new_follower(session, leader)
    conversation.withdraw(session, leader, None, now=utc_now())
    assert heard(session, leader) == 1
    wish = conversation.Wish(locale="fr", person_id=ann)
    conversation.follow(session, leader, wish, now=utc_now())
    assert heard(session, leader) == 2


def test_what_phones_felt_is_urgent_and_nobodys_word(client: FlaskClient, session: Session) -> None:
    leader = new_report(session, new_city(session), status=Status.TRIAGED, sensed_by=2)
    evidence.weigh(session, [leader.id], now=utc_now())
    session.refresh(leader)
    assert (leader.priority, people_of(client, leader)[0]) == (1, 1)
    [entry] = stored(session, HistoryEntry, report_id=leader.id, kind="priority_changed")
    assert entry.data == {"from": 0, "to": 1, "people": 1, "sensed_by": 2}
