"""The whole way of a report in one process: submitted, located, triaged, announced, delivered."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from core import outbox
from core.clock import utc_now
from core.models import OutboxEvent
from core.outbox import Happening
from geo import geocoding
from geo.geocoding import Answer, Outcome, Place
from notifications.models import Delivery
from reports import events
from reports.models import HistoryEntry, ServiceRequest
from tests.factories import (
    COMEDIE,
    new_follower,
    new_jurisdiction,
    new_report,
    new_service,
    stored,
)
from tests.workers.driving import happened, run_pipeline
from workers import pipeline


def outbox_of(app: Flask) -> Path:
    return Path(app.extensions["settings"].data_dir) / "outbox"


def test_a_report_is_routed_and_its_reporter_told_once(app: Flask, session: Session) -> None:
    report = new_report(session, located_at=None, address=None, search=None)
    follower = new_follower(session, report, is_reporter=True)
    happened(session, events.SUBMITTED, report)
    run_pipeline(app)
    session.refresh(report)
    assert report.located_at is not None
    assert report.triaged_at is not None
    [delivery] = stored(session, Delivery)
    assert (delivery.recipient_id, delivery.state) == (str(follower.id), "sent")
    [letter] = outbox_of(app).glob(f"*{delivery.id}*")
    assert f"{report.number}" in letter.read_text()
    assert all(event.done_at is not None for event in stored(session, OutboxEvent))


def test_every_step_run_twice_leaves_what_one_run_leaves(app: Flask, session: Session) -> None:
    service = new_service(session)
    reports = [new_report(session, service, located_at=None, search=None) for _ in range(2)]
    for report in reports:
        new_follower(session, report, is_reporter=True)
    happened(session, events.SUBMITTED, *reports)
    seen: dict[str, list[int]] = {}
    with app.app_context():
        for _ in range(6):
            claimed = outbox.claim_pending(session, pipeline.REACTIONS, now=utc_now(), limit=100)
            session.commit()
            for reaction, task in pipeline.TASKS.items():
                ids = [event_id for event_id, _, names in claimed if reaction in names]
                seen.setdefault(reaction, []).extend(ids)
                task.run(ids)
                task.run(ids)
    counts = [len(stored(session, model)) for model in (HistoryEntry, Delivery, OutboxEvent)]
    letters = sorted(path.name for path in outbox_of(app).iterdir())
    with app.app_context():
        for reaction, ids in seen.items():
            pipeline.TASKS[reaction].run(ids)
    assert seen["locate"]
    assert seen["triage"]
    assert seen["announce"]
    assert seen["deliver"]
    again = [len(stored(session, model)) for model in (HistoryEntry, Delivery, OutboxEvent)]
    assert again == counts
    assert sorted(path.name for path in outbox_of(app).iterdir()) == letters
    states = [report.status for report in stored(session, ServiceRequest)]
    assert sorted(states) == ["duplicate", "received"]


def test_what_is_quiet_stays_quiet_to_the_end(app: Flask, session: Session) -> None:
    report = new_report(session, located_at=None, search=None)
    new_follower(session, report, is_reporter=True)
    outbox.emit_many(
        session,
        events.SUBMITTED,
        [Happening(report.id, report.jurisdiction_id, {"quiet": True}, "the request")],
    )
    session.commit()
    run_pipeline(app)
    followed = stored(session, OutboxEvent)
    assert [event.name for event in followed] == [
        "report.submitted", "report.located", "report.triaged",
    ]  # fmt: skip
    assert all(event.data["quiet"] for event in followed)
    assert {event.request_id for event in followed} == {"the request"}
    assert stored(session, Delivery) == []


class KnowsOnePlace:
    """A geocoder on the network that knows one address, when it is not away."""

    name = "fake"
    pause_s = 0.0

    def __init__(self) -> None:
        self.is_away = True
        self.asked = 0

    def forward(self, _question: geocoding.AddressQuestion) -> Answer:
        self.asked += 1
        if self.is_away:
            return geocoding.UNAVAILABLE
        return Answer(Outcome.FOUND, Place(COMEDIE, "Le Grand Chêne", self.name, 10.0, 0.9))

    def reverse(self, _question: geocoding.PositionQuestion) -> Answer:
        self.asked += 1
        return geocoding.NOT_FOUND


def test_a_geocoder_that_is_away_holds_nothing_up_and_is_asked_again(
    app: Flask, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    geocoder = KnowsOnePlace()
    monkeypatch.setitem(app.extensions, "geocoder", geocoder)
    city = new_jurisdiction(session)
    report = new_report(
        session, new_service(session, city), at=None, located_at=None, search=None,
        address_given="au grand chêne", requested_at=utc_now(),
    )  # fmt: skip
    happened(session, events.SUBMITTED, report)
    run_pipeline(app)
    session.refresh(report)
    assert (report.cell, report.triaged_at is None) == (None, False)
    geocoder.is_away = False
    with app.app_context():
        assert pipeline.ask_geocoder(None) == {"asked": 1, "placed": 1}
    run_pipeline(app)
    session.refresh(report)
    assert (report.address, report.triaged_at is None) == ("Le Grand Chêne", False)
    assert geocoder.asked == 2
