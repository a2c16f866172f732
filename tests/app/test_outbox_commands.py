"""`flask outbox`: what an operator sees when something is stuck, and how it is set going."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
from click.testing import Result
from flask import Flask
from sqlalchemy.orm import Session

from core import outbox
from core.clock import utc_now
from core.db import transaction
from core.ids import new_id
from core.models import OutboxEvent
from notifications.models import Delivery
from notifications.vocabulary import Channel, DeliveryState, RecipientKind
from reports import events
from workers.queues import LOCATE


def outbox_command(app: Flask, *arguments: str) -> Result:
    return app.test_cli_runner().invoke(args=["outbox", *arguments])


def put_aside(session: Session, error: str = "ValueError in locating") -> int:
    """An event whose reaction failed until it was given up; its id."""
    outbox.emit(session, events.SUBMITTED, new_id())
    event_id = session.scalars(
        sa.update(OutboxEvent)
        .where(OutboxEvent.waiting.is_(None))
        .values(waiting=[LOCATE], relayed_at=utc_now())
        .returning(OutboxEvent.id)
    ).one()
    for _ in range(outbox.MAX_ATTEMPTS):
        outbox.fail(session, LOCATE, event_id, error, now=utc_now())
    return event_id


@pytest.mark.usefixtures("committed_db")
def test_an_empty_outbox_says_so(app: Flask) -> None:
    assert outbox_command(app, "status").output == (
        "pending events: 0\n"
        "relayed and not done: 0\n"
        "deliveries: 0 pending, 0 sending, 0 dead\n"
        "dead letters: 0\n"
    )


@pytest.mark.usefixtures("committed_db")
def test_what_waits_and_what_was_put_aside_is_shown_with_its_age_and_cause(app: Flask) -> None:
    with app.app_context(), transaction() as session:
        put_aside(session)
        outbox.emit(session, events.SUBMITTED, new_id())
        session.execute(
            sa.update(OutboxEvent)
            .where(OutboxEvent.relayed_at.is_(None))
            .values(created_at=utc_now() - timedelta(minutes=5))
        )
    shown = outbox_command(app, "status").output
    assert "pending events: 1, oldest 5 min ago\n" in shown
    assert "dead letters: 1\n" in shown
    assert f"locate of {events.SUBMITTED}" in shown
    assert "ValueError in locating" in shown


@pytest.mark.usefixtures("committed_db")
def test_retry_sets_going_what_is_named_and_leaves_the_rest(app: Flask) -> None:
    with app.app_context(), transaction() as session:
        first, second = put_aside(session), put_aside(session)
        letter = session.scalar(
            sa.text("SELECT id FROM dead_letters WHERE event_id = :event"), {"event": first}
        )
    assert outbox_command(app, "retry", str(letter)).output == "1 dead letters run again.\n"
    with app.app_context(), transaction() as session:
        pending = session.scalars(
            sa.select(OutboxEvent.id).where(OutboxEvent.relayed_at.is_(None))
        ).all()
        assert pending == [first]
        assert outbox.take(session, LOCATE, [first, second])[0].id == first
    assert outbox_command(app, "retry").output == "1 dead letters run again.\n"


@pytest.mark.usefixtures("committed_db")
def test_dead_deliveries_are_told_with_their_cause_and_sent_again_when_asked_for(
    app: Flask,
) -> None:
    now = utc_now()
    with app.app_context(), transaction() as session:
        delivery = Delivery(
            event_id=1,
            event="report.submitted",
            jurisdiction_id=1,
            recipient_kind=RecipientKind.FOLLOWER.value,
            recipient_id=str(new_id()),
            channel=Channel.EMAIL.value,
            locale="fr",
            state=DeliveryState.DEAD.value,
            last_fault="our_bug: smtp 535 sign-in",
            created_at=now,
            next_attempt_at=now,
        )
        session.add(delivery)
        session.flush()
        delivery_id = delivery.id
    shown = outbox_command(app, "status").output
    assert "deliveries: 0 pending, 0 sending, 1 dead\n" in shown
    assert "  dead: 1 by email, oldest 0 s ago: our_bug: smtp 535 sign-in\n" in shown.replace(
        "oldest 1 s", "oldest 0 s"
    )
    assert 'riverain_deliveries_dead{channel="email"} 1.0' in app.test_client().get("/metrics").text
    assert outbox_command(app, "retry").output == "0 dead letters run again.\n"
    said = outbox_command(app, "retry", "--deliveries").output
    assert said == "0 dead letters run again.\n1 dead deliveries are sent again.\n"
    with app.app_context(), transaction() as session:
        state = session.scalar(sa.select(Delivery.state).where(Delivery.id == delivery_id))
    assert state == DeliveryState.PENDING.value
