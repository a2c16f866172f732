"""What the beat asks for: finding what got lost, and what is due by the clock.

The broker is forgetful, workers are killed, providers are away: whatever is not recorded as done
in the database is found here and set going again. Each task is small, set-based, and safe to run
twice. When each runs stands in `workers.schedule`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import redis
import sqlalchemy as sa
import structlog
from celery import shared_task
from flask import current_app
from sqlalchemy.orm import Session

from accounts import lockout
from accounts.audit import chain as audit_chain
from accounts.models import Invitation, SignInChallenge, SignInSession
from assets import photos
from core import idempotency, outbox
from core.clock import utc_now
from core.db import transaction
from core.models import DeadLetter, OutboxEvent
from core.outbox import Happening
from geo import geocoding
from notifications import digests
from notifications.people_data import delete_old_copies
from open311 import repeating
from reports import events, lifecycle
from reports.models import Photo, ServiceRequest
from reports.vocabulary import PhotoState
from workers import downstreaming, foreseeing, photo_fetching, pipeline, retaining
from workers.queues import DELIVERY_QUEUE, MEDIA_QUEUE, PIPELINE_QUEUE

log = structlog.get_logger()

#: What was relayed longer ago and is not done was lost: by a killed worker or a broker that forgot.
LOST_AFTER = timedelta(seconds=30)

#: The same while messages wait in a queue: then it may only be waiting its turn. The relay lets so
#: few wait that even slow work gets through them in this time.
LOST_AFTER_IN_A_QUEUE = timedelta(seconds=180)

#: Events that are given back at a time; the rest follows with the next beat.
GIVEN_BACK = 5000

#: How long a done event can still be looked at.
KEPT = timedelta(days=7)

#: Rows of one clean-up transaction, and transactions of one run: it never holds anybody up.
CLEANED, CLEANING_ROUNDS = 2000, 20

#: A staged photo should be clean within seconds.
PHOTO_LATE_AFTER = timedelta(minutes=15)
PHOTOS_AT_A_TIME = 200

#: Sessions and links that ended are kept for a while, so that one can see what happened.
SIGN_INS_KEPT = timedelta(days=30)


@shared_task(name="sweep.events")
def sweep_events() -> None:
    """Give back to the relay what it relayed and nobody finished."""
    patience = LOST_AFTER_IN_A_QUEUE if _is_backlog() else LOST_AFTER
    with transaction() as session:
        lost = outbox.stalled(session, relayed_before=utc_now() - patience, limit=GIVEN_BACK)
        count = outbox.give_back(session, lost) if lost else 0
    if count:
        log.warning("sweep.events", given_back=count, waited_s=patience.total_seconds())


@shared_task(name="sweep.deliveries")
def sweep_deliveries() -> None:
    """Send what is due: tried in vain before, kept for the morning, or claimed by the dead."""
    count = pipeline.send_due()
    if count:
        log.info("sweep.deliveries", claimed=count)


@shared_task(name="sweep.forwardings")
def sweep_forwardings() -> None:
    """Hand over what is due: tried in vain before, looked for, or claimed by the dead."""
    count = downstreaming.hand_over_due()
    if count:
        log.info("sweep.forwardings", claimed=count)


@shared_task(name="downstream.poll")
def poll_downstream() -> None:
    """Ask other systems what became of the reports that they were handed."""
    counts = downstreaming.poll()
    if counts.get("endpoints"):
        log.info("downstream.poll", **counts)


@shared_task(name="sweep.photos")
def sweep_photos() -> None:
    """Emit again photos that are still staged long after they came."""
    now = utc_now()
    with transaction() as session:
        late = session.execute(
            sa.select(Photo.id, Photo.report_id, ServiceRequest.jurisdiction_id)
            .join(ServiceRequest, ServiceRequest.id == Photo.report_id)
            .where(
                Photo.state == PhotoState.STAGED.value,
                Photo.created_at < now - PHOTO_LATE_AFTER,
            )
            .order_by(Photo.created_at)
            .limit(PHOTOS_AT_A_TIME)
        ).all()
        outbox.emit_many(
            session,
            events.PHOTO_STAGED,
            [
                Happening(row.report_id, row.jurisdiction_id, {"photo_id": str(row.id)})
                for row in late
            ],
        )
    if late:
        log.warning("sweep.photos", emitted=len(late))


@shared_task(name="sweep.linked_photos")
def sweep_linked_photos() -> None:
    """Fetch photos that came as addresses and are due: tried in vain, or claimed by the dead."""
    counts = photo_fetching.fetch_due()
    if counts.get("claimed"):
        log.info("sweep.linked_photos", **counts)


@shared_task(name="sweep.places")
def sweep_places() -> None:
    """Ask the geocoder about reports that nobody could place when they came."""
    counts = pipeline.ask_geocoder(None)
    if counts.get("asked"):
        log.info("sweep.places", **counts)


@shared_task(name="reports.close_resolved")
def close_resolved() -> None:
    """Close what was resolved as long ago as its service says."""
    _until_nothing_is_left(
        "reports.closed", lambda session: lifecycle.close_resolved(session, now=utc_now())
    )


@shared_task(name="notifications.digests")
def send_digests() -> None:
    """Queue the digests of teams whose window has ended."""
    with transaction() as session:
        queued = digests.queue_due(session, now=utc_now())
    if queued:
        log.info("notifications.digests", queued=len(queued))


@shared_task(name="audit.seal")
def seal_audit() -> None:
    """Seal what was entered in the audit log since the last time; the log holds each head.

    What does not fit into these rounds follows with the next beat.
    """
    for _ in range(CLEANING_ROUNDS):
        with transaction() as session:
            sealed = audit_chain.seal_next(
                session, secret=current_app.config["SECRET_KEY"], now=utc_now()
            )
        if sealed is None:
            return
        # Outside the database: with this line, `flask audit verify --head` finds a tail cut off.
        log.info("audit.sealed", seal=sealed.number, entries=sealed.entries, head=sealed.head)


@shared_task(name="clean.outbox")
def clean_outbox() -> None:
    """Forget events that were done long ago, unless somebody still has to look at one."""
    before = utc_now() - KEPT
    unsettled = sa.exists().where(
        DeadLetter.event_id == OutboxEvent.id, DeadLetter.settled_at.is_(None)
    )
    _until_nothing_is_left(
        "clean.outbox",
        lambda session: _delete(
            session,
            OutboxEvent,
            sa.select(OutboxEvent.id)
            .where(OutboxEvent.done_at < before, ~unsettled)
            .order_by(OutboxEvent.done_at),
        ),
    )


@shared_task(name="clean.sign_ins")
def clean_sign_ins() -> None:
    """Forget sessions, links, codes and invitations that ended, and failures that are old."""
    before = utc_now() - SIGN_INS_KEPT
    with transaction() as session:
        lockout.forget_old(session, now=utc_now())
    for model in (SignInSession, SignInChallenge, Invitation):
        _until_nothing_is_left(
            "clean.sign_ins",
            lambda session, model=model: _delete(  # type: ignore[misc]
                session, model, sa.select(model.id).where(model.expires_at < before)
            ),
        )


@shared_task(name="clean.kept_answers")
def clean_kept_answers() -> None:
    """Forget answers to writes under an `Idempotency-Key` that nobody is given again."""
    with transaction() as session:
        count = idempotency.clear(session, now=utc_now())
    if count:
        log.info("clean.kept_answers", deleted=count)


@shared_task(name="clean.filed_contents")
def clean_filed_contents() -> None:
    """Forget which content came over Open311 too long ago to be the same request, sent again."""
    with transaction() as session:
        count = repeating.forget_filed(session, now=utc_now())
    if count:
        log.info("clean.filed_contents", deleted=count)


@shared_task(name="clean.geocodes")
def clean_geocodes() -> None:
    """Forget geocodings that are too old to be believed."""
    with transaction() as session:
        geocoding.purge(session, now=utc_now())


@shared_task(name="retention.run")
def run_retention() -> None:
    """Forget people and photos of reports that are over for as long as their service says."""
    retaining.run(current_app.extensions["storage"], now=utc_now())


@shared_task(name="forecasts.recompute")
def recompute_forecasts() -> None:
    """Compute how long reports take, where it is night."""
    count = foreseeing.recompute_due(utc_now())
    if count:
        log.info("forecasts.recompute", cities=count)


@shared_task(name="clean.traces")
def clean_traces() -> None:
    """Forget who was told what, texts of errors, copies of mail, and accounts that nobody uses."""
    now = utc_now()
    for what, step in (
        ("clean.deliveries", retaining.forget_deliveries),
        ("clean.dead_letters", retaining.forget_errors),
        ("clean.accounts", retaining.forget_accounts),
    ):
        _until_nothing_is_left(what, lambda session, step=step: step(session, now=now))  # type: ignore[misc]
    copies = delete_old_copies(current_app.extensions["settings"].data_dir / "outbox", now=now)
    if copies:
        log.info("clean.copies", deleted=copies)


@shared_task(name="clean.staged_files")
def clean_staged_files() -> None:
    """Delete bytes that were staged for a request that never came to be."""
    from reports.media import staging

    storage = current_app.extensions["storage"]
    names = staging.stale(storage, now=utc_now())
    with transaction() as session:
        orphans = photos.orphans(session, staging.orphans(session, names))
    staging.forget(storage, orphans)
    if orphans:
        log.info("clean.staged_files", deleted=len(orphans))


def _is_backlog() -> bool:
    """Whether messages wait in any queue of the pipeline."""
    client = redis.Redis.from_url(
        current_app.config["REDIS_URL"], socket_connect_timeout=1, socket_timeout=2
    )
    with client, client.pipeline(transaction=False) as pipe:
        for queue in (PIPELINE_QUEUE, DELIVERY_QUEUE, MEDIA_QUEUE):
            pipe.llen(queue)
        return any(pipe.execute())


def _until_nothing_is_left(what: str, step: Callable[[Session], int]) -> None:
    """Run a step in small transactions until it finds nothing, or it has been long enough."""
    total = 0
    for _ in range(CLEANING_ROUNDS):
        with transaction() as session:
            count = step(session)
        total += count
        if not count:
            break
    if total:
        log.info(what, count=total)


def _delete(session: Session, model: type, ids: sa.Select[Any]) -> int:
    """Delete some of those rows; what somebody holds is left for the next time."""
    chosen = ids.limit(CLEANED).with_for_update(skip_locked=True).scalar_subquery()
    gone = session.execute(
        sa.delete(model)
        .where(model.id.in_(chosen))  # type: ignore[attr-defined]
        .returning(model.id)  # type: ignore[attr-defined]
        .execution_options(synchronize_session=False)
    )
    return len(gone.all())
