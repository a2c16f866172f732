"""Who hears of what, and how often."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.ids import new_id
from core.models import OutboxEvent
from geo import jurisdictions
from notifications.announcing import announce
from notifications.models import Delivery, PushSubscription, WebhookEndpoint
from notifications.vocabulary import Channel
from reports.history import Author, Entry, append
from reports.models import Note, ServiceRequest
from reports.vocabulary import ActorKind, HistoryKind, NoteKind, Status
from tests.factories import (
    WEDNESDAY,
    new_citizen,
    new_follower,
    new_jurisdiction,
    new_report,
    new_service,
    new_staff,
)
from tests.notifications.conftest import new_event, send_due

NIGHT = WEDNESDAY + timedelta(hours=13)  # 23:00 in Montpellier


def deliveries(session: Session) -> list[Delivery]:
    session.expire_all()
    return list(session.scalars(sa.select(Delivery).order_by(Delivery.id)))


def told(session: Session) -> Counter[tuple[str, str, str]]:
    return Counter((d.recipient_id, d.event, d.channel) for d in deliveries(session))


def changed(
    session: Session,
    report: ServiceRequest,
    to: Status,
    *,
    by: Author | None = None,
    words: str | None = None,
    at: Any = WEDNESDAY,
    **data: str,
) -> Any:
    """The event of a status change, with its history entry and public words."""
    author = by or Author(ActorKind.STAFF, new_id())
    (entry,) = append(
        session,
        [Entry(report.id, HistoryKind.STATUS, author, Status(report.status), to, data=data)],
        now=at,
    )
    if words is not None:
        session.add(
            Note(
                report_id=report.id,
                history_id=entry,
                kind=NoteKind.PUBLIC.value,
                author_kind=author.kind.value,
                author_id=author.id,
                body=words,
                created_at=at,
            )
        )
        session.flush()
    report.status = to.value
    session.flush()
    move = {"from": "assigned", "to": to.value}
    return new_event(
        "report.status_changed", report.id, report.jurisdiction_id, at=at, history_id=entry, **move
    )


def submitted(report: ServiceRequest, at: Any = WEDNESDAY) -> Any:
    return new_event("report.submitted", report.id, report.jurisdiction_id, at=at)


def test_a_reporter_hears_that_the_report_arrived(session: Session) -> None:
    report = new_report(session)
    reporter = new_follower(session, report, is_reporter=True, is_confirmed=False)
    new_follower(session, report)
    announce(session, [submitted(report)], now=WEDNESDAY)
    assert told(session) == {(str(reporter.id), "received", "email"): 1}
    queued = session.scalars(
        sa.select(OutboxEvent).where(OutboxEvent.name == "delivery.queued")
    ).one()
    assert queued.data == {"delivery_ids": [str(deliveries(session)[0].id)]}


def test_announcing_again_tells_nobody_again(session: Session) -> None:
    report = new_report(session)
    new_follower(session, report, is_reporter=True)
    events = [
        submitted(report),
        new_event("report.assigned", report.id, report.jurisdiction_id, at=WEDNESDAY),
        changed(session, report, Status.RESOLVED),
    ]
    first = announce(session, events, now=WEDNESDAY)
    assert len(first) == 3
    assert announce(session, events, now=WEDNESDAY) == []
    assert len(deliveries(session)) == 3


def test_a_report_nobody_left_an_address_for_tells_nobody(session: Session) -> None:
    report = new_report(session)
    new_follower(session, report, is_reporter=True, email=None, name="Camille")
    assert announce(session, [submitted(report)], now=WEDNESDAY) == []


def test_followers_hear_the_outcome_and_only_once_they_confirmed(session: Session) -> None:
    report = new_report(session, status=Status.ASSIGNED)
    reporter = new_follower(session, report, is_reporter=True, is_confirmed=False)
    follower = new_follower(session, report)
    new_follower(session, report, is_confirmed=False)
    new_follower(session, report, left_at=WEDNESDAY)
    announce(session, [changed(session, report, Status.RESOLVED)], now=WEDNESDAY)
    assert told(session) == {
        (str(reporter.id), "resolved", "email"): 1,
        (str(follower.id), "resolved", "email"): 1,
    }


def test_one_fix_tells_everybody_of_the_joined_reports_once(session: Session) -> None:
    service = new_service(session)
    parent = new_report(session, service, status=Status.ASSIGNED)
    duplicate = new_report(session, service, parent=parent)
    other = new_report(session, service, parent=parent)
    first = new_follower(session, parent, is_reporter=True)
    second = new_follower(session, duplicate, is_reporter=True)
    # The first reporter also reported the duplicate `other`, and follows `duplicate` besides.
    new_follower(session, other, is_reporter=True, email=first.email)
    new_follower(session, duplicate, email=first.email)
    announce(session, [changed(session, parent, Status.RESOLVED)], now=WEDNESDAY)
    assert told(session) == {
        (str(first.id), "resolved", "email"): 1,
        (str(second.id), "resolved", "email"): 1,
    }


def test_what_concerns_one_report_is_not_told_to_those_joined_to_it(session: Session) -> None:
    service = new_service(session)
    parent = new_report(session, service, status=Status.ASSIGNED)
    duplicate = new_report(session, service, parent=parent)
    reporter = new_follower(session, parent, is_reporter=True)
    new_follower(session, duplicate, is_reporter=True)
    question = new_event("report.question_asked", parent.id, parent.jurisdiction_id, at=WEDNESDAY)
    announce(session, [question], now=WEDNESDAY)
    assert told(session) == {(str(reporter.id), "question", "email"): 1}


def test_joining_tells_the_reporter_of_the_duplicate(session: Session) -> None:
    service = new_service(session)
    parent = new_report(session, service)
    duplicate = new_report(session, service, parent=parent)
    new_follower(session, parent, is_reporter=True)
    reporter = new_follower(session, duplicate, is_reporter=True)
    joined = new_event(
        "report.joined",
        duplicate.id,
        duplicate.jurisdiction_id,
        at=WEDNESDAY,
        parent_id=str(parent.id),
    )
    announce(session, [joined], now=WEDNESDAY)
    assert told(session) == {(str(reporter.id), "merged", "email"): 1}


def test_a_second_person_taking_a_report_is_no_news(session: Session) -> None:
    report = new_report(session, status=Status.ASSIGNED)
    new_follower(session, report, is_reporter=True)
    city = report.jurisdiction_id
    first, second, third = (
        new_event("report.assigned", report.id, city, at=WEDNESDAY) for _ in range(3)
    )
    assert len(announce(session, [second, first], now=WEDNESDAY)) == 1
    assert announce(session, [third], now=WEDNESDAY) == []
    assert deliveries(session)[0].event_id == first.id


def test_nobody_is_told_of_their_own_act(session: Session) -> None:
    city = new_jurisdiction(session)
    report = new_report(session, new_service(session, city), status=Status.RESOLVED)
    agent = new_staff(session, city)
    colleague = new_follower(session, report, person_id=agent.id)
    follower = new_follower(session, report)
    reporter = new_follower(session, report, is_reporter=True)
    event = changed(session, report, Status.REOPENED, by=Author(ActorKind.STAFF, agent.id))
    announce(session, [event], now=WEDNESDAY)
    by_reporter = changed(session, report, Status.REOPENED, by=Author(ActorKind.REPORTER))
    announce(session, [by_reporter], now=WEDNESDAY)
    assert told(session) == {
        (str(colleague.id), "reopened", "email"): 1,
        (str(follower.id), "reopened", "email"): 2,
        (str(reporter.id), "reopened", "email"): 1,
    }


def test_of_a_joined_report_its_own_reporter_reopens_and_the_others_are_told(
    session: Session,
) -> None:
    service = new_service(session)
    parent = new_report(session, service, status=Status.RESOLVED)
    duplicate = new_report(session, service, parent=parent)
    first = new_follower(session, parent, is_reporter=True)
    new_follower(session, duplicate, is_reporter=True)
    event = changed(
        session,
        parent,
        Status.REOPENED,
        by=Author(ActorKind.REPORTER),
        duplicate_id=str(duplicate.id),
    )
    announce(session, [event], now=WEDNESDAY)
    assert told(session) == {(str(first.id), "reopened", "email"): 1}


def test_a_pause_is_news_only_with_words_for_the_public(session: Session) -> None:
    report = new_report(session, status=Status.ASSIGNED)
    reporter = new_follower(session, report, is_reporter=True)
    silent = changed(session, report, Status.ON_HOLD)
    spoken = changed(session, report, Status.IN_PROGRESS, words="On attend une pièce.")
    announce(session, [silent, spoken], now=WEDNESDAY)
    assert told(session) == {(str(reporter.id), "note", "email"): 1}
    assert deliveries(session)[0].event_id == spoken.id


def test_internal_words_tell_nobody(session: Session) -> None:
    report = new_report(session)
    new_follower(session, report, is_reporter=True)
    (entry,) = append(
        session,
        [Entry(report.id, HistoryKind.COMMENTED, Author(ActorKind.STAFF, new_id()))],
        now=WEDNESDAY,
    )
    events = []
    for kind in (NoteKind.INTERNAL, NoteKind.PUBLIC):
        note = Note(
            report_id=report.id,
            history_id=entry,
            kind=kind.value,
            author_kind="staff",
            body=f"{kind} words",
            created_at=WEDNESDAY,
        )
        session.add(note)
        session.flush()
        events.append(
            new_event(
                "report.commented",
                report.id,
                report.jurisdiction_id,
                at=WEDNESDAY,
                note_id=str(note.id),
                history_id=entry,
            )
        )
    announce(session, events, now=WEDNESDAY)
    assert [d.event_id for d in deliveries(session)] == [events[1].id]


def test_a_new_follower_is_asked_to_confirm_and_nobody_else_hears_of_it(session: Session) -> None:
    report = new_report(session)
    new_follower(session, report, is_reporter=True)
    wishing = new_follower(session, report, is_confirmed=False)
    known = new_follower(session, report)
    city = report.jurisdiction_id
    events = [
        new_event("report.followed", report.id, city, at=WEDNESDAY, follower_id=str(one.id))
        for one in (wishing, known)
    ]
    announce(session, events, now=WEDNESDAY)
    assert told(session) == {(str(wishing.id), "confirm", "email"): 1}


def test_a_reporter_who_left_is_asked_to_confirm_and_hears_nothing_else(
    session: Session,
) -> None:
    report = new_report(session, status=Status.ASSIGNED)
    left = new_follower(session, report, is_reporter=True, left_at=WEDNESDAY)
    other = new_report(session)
    present = new_follower(session, other, is_reporter=True)
    city = report.jurisdiction_id
    events = [
        new_event("report.followed", one.report_id, city, at=WEDNESDAY, follower_id=str(one.id))
        for one in (left, present)
    ]
    announce(session, [*events, changed(session, report, Status.RESOLVED)], now=WEDNESDAY)
    assert told(session) == {(str(left.id), "confirm", "email"): 1}


def test_somebody_without_email_gets_a_text_and_not_at_night(session: Session) -> None:
    report = new_report(session, status=Status.ASSIGNED)
    new_follower(session, report, is_reporter=True, email=None, phone="+33612345678")
    announce(session, [changed(session, report, Status.RESOLVED, at=NIGHT)], now=NIGHT)
    (delivery,) = deliveries(session)
    assert delivery.channel == "sms"
    assert delivery.next_attempt_at == WEDNESDAY + timedelta(hours=22)  # 08:00 the next day
    queued = sa.select(sa.func.count()).where(OutboxEvent.name == "delivery.queued")
    assert session.scalar(queued) == 0


def test_the_answer_to_a_report_sent_at_night_comes_at_once(session: Session) -> None:
    report = new_report(session)
    new_follower(session, report, is_reporter=True, email=None, phone="+33612345678")
    announce(session, [submitted(report, at=NIGHT)], now=NIGHT + timedelta(seconds=3))
    assert deliveries(session)[0].next_attempt_at == NIGHT + timedelta(seconds=3)


def test_a_channel_that_is_not_set_up_is_not_used(session: Session) -> None:
    report = new_report(session)
    new_follower(session, report, is_reporter=True, email=None, phone="+33612345678")
    assert announce(session, [submitted(report)], now=WEDNESDAY, channels={Channel.EMAIL}) == []


def test_every_browser_that_asked_is_told_besides(session: Session) -> None:
    citizen = new_citizen(session)
    report = new_report(session, status=Status.ASSIGNED)
    reporter = new_follower(session, report, is_reporter=True, email=None, person_id=citizen.id)

    def subscribe(**values: Any) -> UUID:
        browser = PushSubscription(
            endpoint=f"https://push.example/{new_id()}",
            keys={"p256dh": "x", "auth": "y"},
            created_at=WEDNESDAY,
            **values,
        )
        session.add(browser)
        session.flush()
        return browser.id

    one = subscribe(follower_id=reporter.id)
    two = subscribe(person_id=citizen.id)
    subscribe(person_id=citizen.id, gone_at=WEDNESDAY)
    announce(session, [changed(session, report, Status.RESOLVED)], now=WEDNESDAY)
    assert told(session) == {
        (str(reporter.id), "resolved", "email"): 1,
        (str(one), "resolved", "push"): 1,
        (str(two), "resolved", "push"): 1,
    }


def test_endpoints_hear_what_they_asked_for_in_their_city(session: Session) -> None:
    city, elsewhere = new_jurisdiction(session), new_jurisdiction(session)
    report = new_report(session, new_service(session, city))

    def endpoint(place: Any, events: list[str], **values: Any) -> str:
        row = WebhookEndpoint(
            jurisdiction_id=place.id,
            url="https://hooks.example/",
            events=events,
            created_at=WEDNESDAY,
            **values,
        )
        session.add(row)
        session.flush()
        return str(row.id)

    everything = endpoint(city, [])
    triaged = endpoint(city, ["report.triaged"])
    endpoint(city, ["report.assigned"])
    endpoint(elsewhere, [])
    endpoint(city, [], disabled_at=WEDNESDAY)
    events = [
        submitted(report),
        new_event("report.triaged", report.id, city.id, at=WEDNESDAY),
        new_event("report.followed", report.id, city.id, at=WEDNESDAY, follower_id=str(new_id())),
        new_event("webhook.pinged", UUID(triaged), city.id, at=WEDNESDAY),
    ]
    announce(session, events, now=WEDNESDAY)
    assert told(session) == {
        (everything, "report.submitted", "webhook"): 1,
        (everything, "report.triaged", "webhook"): 1,
        (triaged, "report.triaged", "webhook"): 1,
        (triaged, "webhook.pinged", "webhook"): 1,
    }


def test_past_cases_that_are_imported_are_told_to_nobody(session: Session) -> None:
    report = new_report(session)
    new_follower(session, report, is_reporter=True)
    event = new_event(
        "report.submitted", report.id, report.jurisdiction_id, at=WEDNESDAY, quiet=True
    )
    assert announce(session, [event], now=WEDNESDAY) == []


def test_the_number_of_statements_does_not_grow_with_the_events(
    session: Session, folder: Any, outbox: Path
) -> None:
    service = new_service(session)

    def batch(size: int) -> list[Any]:
        events = []
        for _ in range(size):
            report = new_report(session, service)
            for _ in range(3):
                new_follower(session, report)
            new_follower(session, report, is_reporter=True)
            events += [
                submitted(report),
                changed(session, report, Status.RESOLVED, words="Fait."),
                new_event("report.assigned", report.id, report.jurisdiction_id, at=WEDNESDAY),
            ]
        return events

    # What is kept in memory is compared with the database by the clock: it stands still here.
    jurisdictions.set_clock(lambda: 0.0)
    announce(session, batch(1), now=WEDNESDAY)
    send_due(session, folder, now=WEDNESDAY)
    counted = []
    for size in (1, 8):
        events = batch(size)
        session.expunge_all()
        with statements(session) as seen:
            announce(session, events, now=WEDNESDAY)
            announced = len(seen)
            send_due(session, folder, now=WEDNESDAY)
        counted.append((announced, len(seen)))
    assert counted[0] == counted[1]
    assert counted[0][0] <= 10
    assert len(list(outbox.iterdir())) == 10 * 6


class statements:  # noqa: N801
    """Collects the statements that a session sends."""

    def __init__(self, session: Session) -> None:
        self._engine = session.get_bind()
        self._seen: list[str] = []

    def __enter__(self) -> list[str]:
        sa.event.listen(self._engine, "before_cursor_execute", self._note)
        return self._seen

    def __exit__(self, *_: object) -> None:
        sa.event.remove(self._engine, "before_cursor_execute", self._note)

    def _note(self, _c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "SAVEPOINT" not in statement:
            self._seen.append(statement)
