"""Claim, send, record: nothing twice, nothing lost, and what follows from a failure."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import jinja2
import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from accounts.models import SignInChallenge
from core.db import db
from core.ids import new_id
from core.models import OutboxEvent
from notifications import rendering, wording
from notifications.announcing import announce
from notifications.delivery import LEASE, claim, record, retry_dead, send_all
from notifications.gathering import gather
from notifications.messages import Message, NotSent, Result, Sent
from notifications.models import Delivery, PushSubscription, WebhookEndpoint
from notifications.rules import ENDPOINT_PATIENCE, MAX_ATTEMPTS
from notifications.vocabulary import Channel, Fault
from tests.factories import WEDNESDAY, new_follower, new_jurisdiction, new_report, new_service
from tests.notifications.conftest import LINKS, letters, new_event, send_due


class Fake:
    """A carrier that answers as told and remembers what it was given."""

    reads_html = True

    def __init__(self, answer: Result | Callable[[Message], Result]) -> None:
        self.answer = answer
        self.given: list[Message] = []
        self.is_closed = False

    def send(self, message: Message, now: datetime) -> Result:
        self.given.append(message)
        return self.answer(message) if callable(self.answer) else self.answer

    def close(self) -> None:
        self.is_closed = True


def queued(session: Session, reports: int = 1) -> list[UUID]:
    """Deliveries that wait: one to the reporter of each of so many reports."""
    service = new_service(session)
    events = []
    for _ in range(reports):
        report = new_report(session, service)
        new_follower(session, report, is_reporter=True)
        events.append(
            new_event("report.submitted", report.id, report.jurisdiction_id, at=WEDNESDAY)
        )
    return announce(session, events, now=WEDNESDAY)


def only(session: Session) -> Delivery:
    session.expire_all()
    return session.scalars(sa.select(Delivery)).one()


def test_a_message_goes_out_and_is_noted(session: Session, folder: Any, outbox: Path) -> None:
    (delivery_id,) = queued(session)
    send_due(session, folder, now=WEDNESDAY)
    delivery = only(session)
    assert (delivery.state, delivery.attempts, delivery.sent_at) == ("sent", 1, WEDNESDAY)
    assert (outbox / f"{delivery_id}.txt").exists()
    assert send_due(session, folder, now=WEDNESDAY + timedelta(days=1)) == []


def test_what_is_claimed_is_nobody_elses_until_the_lease_ends(session: Session) -> None:
    queued(session)
    assert len(claim(session, now=WEDNESDAY)) == 1
    assert claim(session, now=WEDNESDAY + LEASE - timedelta(seconds=1)) == []
    (again,) = claim(session, now=WEDNESDAY + LEASE)
    assert again.attempts == 2


def test_killed_after_sending_a_repeat_finds_the_file_there(
    session: Session, folder: Any, outbox: Path
) -> None:
    queued(session)
    claimed = claim(session, now=WEDNESDAY)
    send_all(claimed, gather(session, claimed, LINKS), folder, now=WEDNESDAY)
    (before,) = letters(outbox)
    # The process died here, before `record`.
    later = WEDNESDAY + LEASE
    send_due(session, folder, now=later)
    assert letters(outbox) == [before]
    assert only(session).state == "sent"


def test_a_failed_message_comes_back_after_a_growing_wait(session: Session) -> None:
    queued(session)
    carrier = Fake(NotSent(Fault.TRY_AGAIN, "smtp 451"))
    now, waits = WEDNESDAY, []
    for _ in range(MAX_ATTEMPTS):
        assert len(send_due(session, {Channel.EMAIL: carrier}, now=now)) == 1
        delivery = only(session)
        waits.append(delivery.next_attempt_at - now)
        if delivery.state != "pending":
            break
        assert send_due(session, {Channel.EMAIL: carrier}, now=now + waits[-1] / 2) == []
        now = delivery.next_attempt_at
    assert delivery.state == "dead"
    assert delivery.last_fault == "try_again: smtp 451"
    assert len(carrier.given) == MAX_ATTEMPTS
    assert waits[0] == timedelta(minutes=1)
    assert waits[:-1] == sorted(waits[:-1])
    assert len({message.delivery_id for message in carrier.given}) == 1


def test_a_dead_letter_is_sent_when_the_cause_is_repaired(session: Session) -> None:
    (delivery_id,) = queued(session)
    broken = Fake(NotSent(Fault.OUR_BUG, "smtp 535 sign-in"))
    send_due(session, {Channel.EMAIL: broken}, now=WEDNESDAY)
    assert only(session).state == "dead"
    later = WEDNESDAY + timedelta(hours=5)
    assert retry_dead(session, [delivery_id], now=later) == [delivery_id]
    assert retry_dead(session, None, now=later) == []
    events = session.scalars(
        sa.select(OutboxEvent.data).where(OutboxEvent.name == "delivery.queued")
    ).all()
    assert events[-1] == {"delivery_ids": [str(delivery_id)]}
    send_due(session, {Channel.EMAIL: Fake(Sent("q1"))}, now=later)
    assert (only(session).state, only(session).provider_id) == ("sent", "q1")


def test_a_recipient_who_cannot_be_reached_is_given_up(session: Session) -> None:
    queued(session)
    gone = Fake(NotSent(Fault.GIVE_UP_ON_RECIPIENT, "smtp 550 5.1.1 to"))
    send_due(session, {Channel.EMAIL: gone}, now=WEDNESDAY)
    assert only(session).state == "gone"


def test_one_bad_message_does_not_hold_up_its_batch(
    session: Session, folder: Any, outbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued(session, 3)
    real = wording.letter
    calls = iter((True, False, True))

    def letter(*args: Any, **kwargs: Any) -> Any:
        if next(calls):
            return real(*args, **kwargs)
        raise jinja2.UndefinedError("'nothing' is undefined")

    monkeypatch.setattr(rendering, "letter", letter)
    send_due(session, folder, now=WEDNESDAY)
    states = session.scalars(sa.select(Delivery.state).order_by(Delivery.id)).all()
    assert states == ["sent", "dead", "sent"]
    assert len(letters(outbox)) == 2


def test_whoever_left_or_was_erased_meanwhile_is_not_written_to(
    session: Session, folder: Any, outbox: Path
) -> None:
    report = new_report(session)
    left = new_follower(session, report, is_reporter=True)
    erased = new_follower(session, report, is_reporter=True)
    city = report.jurisdiction_id
    announce(session, [new_event("report.submitted", report.id, city, at=WEDNESDAY)], now=WEDNESDAY)
    left.left_at = WEDNESDAY
    erased.email = None
    session.flush()
    send_due(session, folder, now=WEDNESDAY)
    faults = set(session.scalars(sa.select(Delivery.last_fault)))
    assert faults == {"give_up_on_recipient: left", "give_up_on_recipient: no address"}
    assert letters(outbox) == []


def test_the_present_address_and_words_are_used(
    session: Session, folder: Any, outbox: Path
) -> None:
    report = new_report(session)
    reporter = new_follower(session, report, is_reporter=True)
    city = report.jurisdiction_id
    announce(session, [new_event("report.submitted", report.id, city, at=WEDNESDAY)], now=WEDNESDAY)
    reporter.email = "nouvelle@courriel.example"
    report.address = "2 rue Neuve"
    session.flush()
    send_due(session, folder, now=WEDNESDAY)
    (letter,) = letters(outbox)
    assert "To: nouvelle@courriel.example\n" in letter
    assert "2 rue Neuve" in letter


def test_a_message_that_waited_through_the_night_is_not_sent_when_overtaken(
    session: Session, folder: Any, outbox: Path
) -> None:
    report = new_report(session)
    new_follower(session, report, is_reporter=True, email=None, phone="+33612345678")
    night = WEDNESDAY + timedelta(hours=13)
    event = new_event(
        "report.status_changed", report.id, report.jurisdiction_id, at=night, to="resolved"
    )
    announce(session, [event], now=night)
    send_due(session, folder, now=night + timedelta(hours=9))
    assert only(session).last_fault == "give_up_on_recipient: overtaken"
    assert letters(outbox) == []


@pytest.mark.parametrize("is_replayed", [False, True])
def test_a_text_that_failed_by_day_does_not_ring_at_night(
    session: Session, is_replayed: bool
) -> None:
    report = new_report(session)
    new_follower(session, report, is_reporter=True, email=None, phone="+33612345678")
    evening, night, morning = (WEDNESDAY.replace(hour=hour) for hour in (18, 20, 7))
    event = new_event(
        "report.status_changed", report.id, report.jurisdiction_id, at=evening, to="resolved"
    )
    report.status = "resolved"
    announce(session, [event], now=evening)
    fault = Fault.OUR_BUG if is_replayed else Fault.TRY_AGAIN
    send_due(session, {Channel.SMS: Fake(NotSent(fault, "sms 500"))}, now=evening)
    if is_replayed:
        retry_dead(session, None, now=night)
    carrier = Fake(Sent())
    send_due(session, {Channel.SMS: carrier}, now=night)
    waiting = only(session)
    morning += timedelta(days=1)
    assert carrier.given == []
    assert waiting.state == "pending"
    assert waiting.attempts == (0 if is_replayed else 1)
    assert waiting.next_attempt_at == morning
    send_due(session, {Channel.SMS: carrier}, now=morning)
    assert len(carrier.given) == 1


def test_a_code_to_sign_in_is_sent_at_night_too(session: Session) -> None:
    place = new_jurisdiction(session)
    night = WEDNESDAY.replace(hour=22)
    challenge = SignInChallenge(
        phone="+33612345678",
        locale="fr",
        jurisdiction_id=place.id,
        created_at=night,
        expires_at=night + timedelta(minutes=15),
    )
    session.add(challenge)
    session.flush()
    announce(session, [new_event("sign_in.asked", challenge.id, place.id, at=night)], now=night)
    carrier = Fake(Sent())
    send_due(session, {Channel.SMS: carrier}, now=night + timedelta(minutes=1))
    assert len(carrier.given) == 1


def test_what_there_was_no_time_for_goes_back_untried(session: Session) -> None:
    queued(session, 3)
    claimed = claim(session, now=WEDNESDAY)
    carrier = Fake(Sent())
    outcomes = send_all(
        claimed, gather(session, claimed, LINKS), {Channel.EMAIL: carrier}, now=WEDNESDAY,
        patience_s=-1,
    )  # fmt: skip
    record(session, outcomes, now=WEDNESDAY)
    assert carrier.given == []
    assert carrier.is_closed
    rows = session.execute(sa.select(Delivery.state, Delivery.attempts)).all()
    assert rows == [("pending", 0)] * 3
    assert len(claim(session, now=WEDNESDAY)) == 3


def test_a_message_that_kills_its_sender_dies_in_the_end(session: Session) -> None:
    queued(session)
    now = WEDNESDAY
    for _ in range(MAX_ATTEMPTS):
        assert len(claim(session, now=now)) == 1
        now += LEASE
    assert claim(session, now=now) == []
    assert only(session).state == "dead"


def test_a_late_failure_does_not_undo_what_the_next_worker_did(session: Session) -> None:
    queued(session)
    (first,) = claim(session, now=WEDNESDAY)
    later = WEDNESDAY + LEASE
    (second,) = claim(session, now=later)
    from notifications.delivery import Outcome

    record(session, [Outcome(first, NotSent(Fault.OUR_BUG, "late"))], now=later)
    assert only(session).state == "sending"
    record(session, [Outcome(second, Sent("q"))], now=later)
    record(session, [Outcome(first, NotSent(Fault.OUR_BUG, "later"))], now=later)
    assert only(session).state == "sent"


def test_a_channel_that_is_not_set_up_makes_a_dead_letter(session: Session) -> None:
    queued(session)
    send_due(session, {}, now=WEDNESDAY)
    assert only(session).last_fault == "our_bug: email is not set up"


def test_a_browser_that_is_gone_is_not_asked_again(session: Session) -> None:
    report = new_report(session)
    follower = new_follower(session, report, is_reporter=True, email=None)
    browser = PushSubscription(
        follower_id=follower.id,
        endpoint="https://push.example/1",
        keys={"p256dh": "x", "auth": "y"},
        created_at=WEDNESDAY,
    )
    session.add(browser)
    session.flush()
    event = new_event("report.assigned", report.id, report.jurisdiction_id, at=WEDNESDAY)
    announce(session, [event], now=WEDNESDAY)
    gone = Fake(NotSent(Fault.GIVE_UP_ON_RECIPIENT, "push 410"))
    send_due(session, {Channel.PUSH: gone}, now=WEDNESDAY)
    assert gone.given[0].target is not None
    session.refresh(browser)
    assert browser.gone_at == WEDNESDAY


def test_an_endpoint_that_fails_for_days_is_switched_off(session: Session) -> None:
    city = new_jurisdiction(session)
    endpoint = WebhookEndpoint(
        jurisdiction_id=city.id, url="https://hooks.example/", events=[], created_at=WEDNESDAY
    )
    session.add(endpoint)
    session.flush()
    report = new_report(session, new_service(session, city))

    def call(answer: Result, now: datetime) -> None:
        event = new_event("report.triaged", report.id, city.id, at=now)
        announce(session, [event], now=now)
        send_due(session, {Channel.WEBHOOK: Fake(answer)}, now=now)
        session.refresh(endpoint)

    def state() -> tuple[datetime | None, datetime | None]:
        return endpoint.failing_since, endpoint.disabled_at

    failed = NotSent(Fault.TRY_AGAIN, "webhook 500")
    call(failed, WEDNESDAY)
    assert state() == (WEDNESDAY, None)
    call(Sent(), WEDNESDAY + timedelta(days=1))
    assert state() == (None, None)
    begun = WEDNESDAY + timedelta(days=2)
    call(failed, begun)
    call(failed, begun + timedelta(days=1))
    assert state() == (begun, None)
    end = begun + ENDPOINT_PATIENCE
    call(failed, end)
    assert state() == (begun, end)


def test_many_workers_send_each_message_once(
    committed_db: Flask, folder: Any, outbox: Path
) -> None:
    with committed_db.app_context():
        session = db.session()
        queued(session, 120)
        session.commit()
    sent: list[UUID] = []
    errors: list[BaseException] = []

    def work() -> None:
        with committed_db.app_context():
            try:
                while True:
                    session = db.session()
                    claimed = claim(session, now=WEDNESDAY, limit=7)
                    gathered = gather(session, claimed, LINKS)
                    session.commit()
                    if not claimed:
                        return
                    outcomes = send_all(claimed, gathered, folder, now=WEDNESDAY)
                    sent.extend(outcome.claimed.id for outcome in outcomes)
                    record(session, outcomes, now=WEDNESDAY)
                    session.commit()
            except BaseException as error:
                errors.append(error)
                raise
            finally:
                db.session.remove()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert len(sent) == len(set(sent)) == 120
    assert len(letters(outbox)) == 120
    with committed_db.app_context():
        states = db.session.scalars(sa.select(Delivery.state).distinct()).all()
    assert states == ["sent"]


def test_only_the_ids_asked_for_are_claimed(session: Session) -> None:
    first, _ = queued(session, 2)
    assert [one.id for one in claim(session, now=WEDNESDAY, ids=[first, new_id()])] == [first]
