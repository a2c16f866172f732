"""The steps of the pipeline as tasks: each takes ids of events and calls one feature's service.

What follows which event stands in `workers.queues.REACTIONS`; how a batch is locked, isolated and
marked as done, in `workers.reacting`. What happens in a step is the feature's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from celery import shared_task
from flask import current_app
from sqlalchemy.orm import Session

from accounts import people_data
from accounts.actors import Actor
from assets.helping import asking
from core import outbox
from core.clock import utc_now
from core.db import reading, transaction
from core.outbox import Event
from geo import geocoding
from geo.geocoding import AddressQuestion, Answer, Geocoder, Outcome, PositionQuestion, Question
from notifications import announcing, delivery, gathering, queueing
from notifications.channels import open_carriers
from notifications.links import Links
from notifications.messages import Sent
from open311.forwarding import queueing as forwarding
from reports import asset_linking, comparing, locating
from reports import events as report_events
from reports import triage as triaging
from workers import downstreaming, person_data, photo_fetching
from workers.queues import (
    ANALYSE_TRIP,
    ANNOUNCE,
    CLEAN_PHOTO,
    COMPARE,
    DELIVER,
    ERASE,
    FETCH_PHOTO,
    FOLLOW_ROADS,
    FORWARD,
    GEOCODE,
    HAND_OVER,
    JUDGE_ROADS,
    LOCATE,
    REACTIONS,
    TRIAGE,
)
from workers.reacting import Counts, Work, in_transaction, outside
from workers.roads import follow_roads, judge_roads
from workers.trips import analyse_trip

#: Claimed messages are ours for so long. Sending stops before that, so nobody takes over what is
#: still on its way; and what a killed worker had claimed is free again within a minute.
LEASE = timedelta(seconds=45)
SENDING_PATIENCE_S = 20.0

#: Rounds of `sweep` after which the next beat goes on.
SWEEP_ROUNDS = 20


@shared_task(name="pipeline.locate")
def locate(event_ids: Sequence[int]) -> None:
    """Find the address, areas and position of reports."""

    def handle(session: Session, events: Sequence[Event]) -> Counts:
        done = locating.locate(
            session,
            _subjects(events),
            now=utc_now(),
            causes=_causes(events),
            is_asked_online=_geocoder() is not None,
        )
        return {"placed": done.placed, "unplaced": done.unplaced}

    in_transaction(LOCATE, event_ids, handle)


@shared_task(name="pipeline.triage")
def triage(event_ids: Sequence[int]) -> None:
    """Join reports to those they repeat; route and date the others; ask adopters nearby."""

    def handle(session: Session, events: Sequence[Event]) -> Counts:
        # Duplicates and rules of owners look at the asset.
        linked = asset_linking.link(
            session,
            _subjects(events),
            now=utc_now(),
            finder=current_app.extensions["asset_facts"],
        )
        done = triaging.triage(
            session,
            _subjects(events),
            now=utc_now(),
            causes=_causes(events),
            assets=current_app.extensions["asset_owners"],
        )
        # A past that is replayed is nobody's work any more.
        fresh = [event for event in events if not event.data.get("quiet")]
        helped = asking.ask(session, _subjects(fresh), now=utc_now())
        return {
            "linked": linked,
            "routed": done.routed,
            "joined": done.joined,
            "suggested": done.suggested,
            "helpers": helped,
        }

    in_transaction(TRIAGE, event_ids, handle)


@shared_task(name="pipeline.compare")
def compare(event_ids: Sequence[int]) -> None:
    """Compare reports again whose photos were not cleaned yet when they were triaged."""

    def handle(session: Session, events: Sequence[Event]) -> Counts:
        return {"suggested": comparing.compare_again(session, _subjects(events), now=utc_now())}

    in_transaction(COMPARE, event_ids, handle)


@shared_task(name="pipeline.announce")
def announce(event_ids: Sequence[int]) -> None:
    """Queue a message to everybody whom the events concern."""

    def handle(session: Session, events: Sequence[Event]) -> Counts:
        queued = announcing.announce(session, events, now=utc_now(), channels=set(_carriers()))
        return {"queued": len(queued)}

    in_transaction(ANNOUNCE, event_ids, handle)


@shared_task(name="pipeline.deliver")
def deliver(event_ids: Sequence[int]) -> None:
    """Send queued messages."""

    def work(events: Sequence[Event]) -> Work:
        wanted = [UUID(id_) for event in events for id_ in event.data["delivery_ids"]]
        counts = send(wanted)
        return Work(record=lambda _session: counts)

    outside(DELIVER, event_ids, work)


@shared_task(name="pipeline.forward")
def forward(event_ids: Sequence[int]) -> None:
    """Queue what a team that lives in another system has to be handed."""

    def handle(session: Session, events: Sequence[Event]) -> Counts:
        # A past that is replayed is nobody's work any more.
        reports: dict[UUID, bool] = {}
        for event in events:
            if event.subject_id is not None and not event.data.get("quiet"):
                is_routed = event.name != report_events.ASSIGNED.name
                reports[event.subject_id] = reports.get(event.subject_id, False) or is_routed
        if not reports:
            return {}
        return {"queued": len(forwarding.enqueue(session, reports, now=utc_now()))}

    in_transaction(FORWARD, event_ids, handle)


@shared_task(name="pipeline.hand_over")
def hand_over(event_ids: Sequence[int]) -> None:
    """Hand queued reports over to other systems."""

    def work(events: Sequence[Event]) -> Work:
        wanted = [UUID(id_) for event in events for id_ in event.data["forwarding_ids"]]
        counts = downstreaming.hand_over(wanted)
        return Work(record=lambda _session: counts)

    outside(HAND_OVER, event_ids, work)


@shared_task(name="pipeline.geocode")
def geocode(event_ids: Sequence[int]) -> None:
    """Ask the on-line geocoder about reports that the gazetteer could not place."""

    def work(events: Sequence[Event]) -> Work:
        counts = ask_geocoder(_subjects(events))
        return Work(record=lambda _session: counts)

    outside(GEOCODE, event_ids, work)


@shared_task(name="pipeline.clean_photo")
def clean_photo(event_ids: Sequence[int]) -> None:
    """Decode, clean and store staged photos."""
    # The decoders are large, and most processes never see a photo.
    from reports.media import cleaning

    storage = current_app.extensions["storage"]

    def work(events: Sequence[Event]) -> Work:
        with transaction() as session:
            photos = cleaning.waiting(session, [UUID(event.data["photo_id"]) for event in events])
        outcomes = [cleaning.clean(storage, photo) for photo in photos]

        def record(session: Session) -> Counts:
            cleaning.record(session, outcomes, now=utc_now())
            cleaned = sum(isinstance(outcome, cleaning.CleanedPhoto) for outcome in outcomes)
            return {"cleaned": cleaned, "dropped": len(outcomes) - cleaned}

        return Work(record=record, afterwards=lambda: cleaning.discard(storage, outcomes))

    outside(CLEAN_PHOTO, event_ids, work)


@shared_task(name="pipeline.fetch_photo")
def fetch_photo(event_ids: Sequence[int]) -> None:
    """Fetch photos that came as addresses."""

    def work(events: Sequence[Event]) -> Work:
        counts = photo_fetching.fetch([id_ for event in events for id_ in event.data["link_ids"]])
        return Work(record=lambda _session: counts)

    outside(FETCH_PHOTO, event_ids, work)


@shared_task(name="pipeline.erase")
def erase(event_ids: Sequence[int]) -> None:
    """Erase people who ended their accounts."""

    def work(events: Sequence[Event]) -> Work:
        erased = [erase_person(person_id) for person_id in _subjects(events)]
        return Work(record=lambda _session: {"erased": sum(erased)})

    outside(ERASE, event_ids, work)


#: The task of each reaction, to run it in this process.
TASKS = {
    LOCATE: locate,
    TRIAGE: triage,
    COMPARE: compare,
    ANNOUNCE: announce,
    GEOCODE: geocode,
    DELIVER: deliver,
    FORWARD: forward,
    HAND_OVER: hand_over,
    FETCH_PHOTO: fetch_photo,
    CLEAN_PHOTO: clean_photo,
    ERASE: erase,
    ANALYSE_TRIP: analyse_trip,
    JUDGE_ROADS: judge_roads,
    FOLLOW_ROADS: follow_roads,
}


def send(ids: Sequence[UUID] | None) -> Counts:
    """Claim, send and record deliveries that are due: of these ids, or of all (one batch)."""
    settings = current_app.extensions["settings"]
    counts = {"claimed": 0, "sent": 0}
    batches = (
        [None]
        if ids is None
        else [ids[at : at + queueing.BATCH] for at in range(0, len(ids), queueing.BATCH)]
    )
    for batch in batches:
        with transaction() as session:
            claimed = delivery.claim(session, now=utc_now(), ids=batch, lease=LEASE)
            gathered = gathering.gather(
                session, claimed, Links(settings.base_url, settings.secret_key)
            )
        if not claimed:
            continue
        outcomes = delivery.send_all(
            claimed, gathered, _carriers(), now=utc_now(), patience_s=SENDING_PATIENCE_S
        )
        with transaction() as session:
            delivery.record(session, outcomes, now=utc_now())
        counts["claimed"] += len(claimed)
        counts["sent"] += sum(isinstance(outcome.result, Sent) for outcome in outcomes)
    return counts


def erase_person(person_id: UUID) -> bool:
    """Erase somebody at their own wish, wherever anything is held; False: it was done before."""
    settings = current_app.extensions["settings"]
    with reading() as session:
        if not people_data.is_known(session, person_id):
            return False
        who = people_data.of_person(session, person_id)
    person_data.erase(
        who,
        Actor(person_id=person_id),
        storage=current_app.extensions["storage"],
        data_dir=settings.data_dir,
        now=utc_now(),
    )
    return True


def ask_geocoder(report_ids: Sequence[UUID] | None, *, limit: int = 10) -> Counts:
    """Ask about reports without a position or address: these, or those that wait the longest.

    A geocoder that is away is asked again by the beat.
    """
    geocoder = _geocoder()
    if geocoder is None:
        return {}
    now = utc_now()
    since = now - locating.ASKED_AGAIN_FOR
    with transaction() as session:
        lost = locating.unplaced(session, report_ids, since=since, limit=limit)
        asked = [_question(report) for report in lost]
        known = [
            geocoding.look_up(session, report.place.id, [question], geocoder, now=now)[0]
            for report, question in zip(lost, asked, strict=True)
        ]
    answers = _asked(geocoder, asked, known)
    placed = 0
    for report, answer in zip(lost, answers, strict=True):
        if answer.place is not None:
            with transaction() as session:
                placed += locating.place_by_geocoder(
                    session, report.id, answer.place, now=utc_now()
                )
    return {"asked": len(lost), "placed": placed}


def drain(*, limit: int = 400) -> int:
    """Run everything that waits in the outbox in this process, and what follows from it.

    For commands that work without a server, and for tests. Returns how many events there were.
    """
    total = 0
    while True:
        with transaction() as session:
            claimed = outbox.claim_pending(session, REACTIONS, now=utc_now(), limit=limit)
        if not claimed:
            return total
        total += len(claimed)
        for reaction, task in TASKS.items():
            ids = [event_id for event_id, _, reactions in claimed if reaction in reactions]
            if ids:
                task.run(ids)


def _asked(
    geocoder: Geocoder, questions: Sequence[Question], known: Sequence[Answer | None]
) -> list[Answer]:
    """The answers, from the network where nothing is known; those are remembered."""
    unknown = [
        question for question, answer in zip(questions, known, strict=True) if answer is None
    ]
    fresh = geocoding.ask(geocoder, unknown)
    if any(answer.outcome is not Outcome.UNAVAILABLE for answer in fresh):
        with transaction() as session:
            geocoding.remember(session, geocoder, unknown, fresh, now=utc_now())
    rest = iter(fresh)
    return [answer or next(rest) for answer in known]


def _question(report: locating.Unplaced) -> Question:
    if report.point is not None:
        return PositionQuestion(report.point, report.place.default_locale)
    return AddressQuestion(
        report.address_given,
        report.place.boundary.box,
        report.place.country,
        report.place.default_locale,
    )


def _subjects(events: Sequence[Event]) -> list[UUID]:
    return [event.subject_id for event in events if event.subject_id is not None]


def _causes(events: Sequence[Event]) -> dict[UUID, Event]:
    return {event.subject_id: event for event in events if event.subject_id is not None}


def _carriers() -> dict[Any, Any]:
    """Carriers for a batch; they dial when they send and hang up after it.

    Which endpoints did not answer is known to the whole process.
    """
    known = current_app.extensions
    return open_carriers(known["settings"], silent=known.setdefault("silent_endpoints", {}))


def _geocoder() -> Geocoder | None:
    """The geocoder that the settings name, made once for this application."""
    known = current_app.extensions
    if "geocoder" not in known:
        settings = known["settings"]
        known["geocoder"] = geocoding.geocoder_of(
            settings.geocoder, settings.geocoder_url, timeout_s=settings.geocoder_timeout_s
        )
    geocoder: Geocoder | None = known["geocoder"]
    return geocoder


def send_due() -> int:
    """Send all deliveries that are due now, batch by batch; how many were claimed."""
    total = 0
    for _ in range(SWEEP_ROUNDS):
        claimed = send(None).get("claimed", 0)
        total += claimed
        if claimed < queueing.BATCH:
            break
    return total
