"""What the roads need of the workers: judging defects, following what becomes of their requests,
the day's round of each city, and the counts of coverage.

Nearly no process ever needs the arithmetic of sensing: it is loaded where it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import structlog
from celery import shared_task
from flask import current_app
from sqlalchemy.orm import Session

from core.clock import utc_now
from core.db import reading, transaction
from core.outbox import Event
from geo import jurisdictions
from geo.jurisdictions import JurisdictionRef
from sensing.acting import cases
from sensing.policy import RoadPolicy
from workers.queues import FOLLOW_ROADS, JUDGE_ROADS
from workers.reacting import Counts, each_alone, in_transaction

log = structlog.get_logger()

#: Transactions of one round in which repairs are asked about; the rest follows the next day.
ROUNDS = 20


@shared_task(name="pipeline.judge_roads")
def judge_roads(event_ids: Sequence[int]) -> None:
    """Judge what defects are that changed."""

    def handle(session: Session, events: Sequence[Event]) -> Counts:
        from sensing.acting import verdicts

        ids = {UUID(id_) for event in events for id_ in event.data["defect_ids"]}
        return {"judged": verdicts.give(session, ids)}

    in_transaction(JUDGE_ROADS, event_ids, handle)


@shared_task(name="pipeline.follow_roads")
def follow_roads(event_ids: Sequence[int]) -> None:
    """Bring the cases of defects up to date whose requests moved, were joined or separated."""

    def handle(session: Session, events: Sequence[Event]) -> Counts:
        ids = {event.subject_id for event in events if event.subject_id is not None}
        ids |= {UUID(event.data["parent_id"]) for event in events if "parent_id" in event.data}
        if not cases.are_any(session, ids):
            return {}
        from sensing.acting import following

        return {"moved": following.follow(session, ids, now=utc_now())}

    in_transaction(FOLLOW_ROADS, event_ids, handle)


@shared_task(name="roads.act")
def act_on_defects() -> None:
    """Do each city's round of the day, once a day."""
    now = utc_now()
    places = [place for place in _places() if RoadPolicy.of(place.policy) is not None]
    each_alone("roads.failed", places, lambda place: act(place, now), named=_code)


@shared_task(name="roads.count_coverage")
def count_coverage() -> None:
    """Count anew where phones drove and where nobody did."""
    from sensing.seeing import coverage

    def count(place: JurisdictionRef) -> None:
        with transaction() as session:
            coverage.recount(session, place, now=utc_now())

    each_alone("roads.failed", _places(), count, named=_code)


def act(place: JurisdictionRef, now: datetime) -> None:
    """A city's round: its defects, and what later trips say of repairs; not twice a day."""
    from sensing.acting import opening, verifying

    settings = current_app.extensions["settings"]
    with transaction() as session:
        acted = opening.act(
            session, place, now=now, secret=settings.secret_key, base_url=settings.base_url
        )
    reopened = confirmed = 0
    if acted.is_first:
        for _ in range(ROUNDS):
            with transaction() as session:
                done = verifying.verify(session, place, now=now, before=now)
            reopened, confirmed = reopened + done.reopened, confirmed + done.confirmed
            if done.asked < verifying.BATCH:
                break
        log.info(
            "roads.acted",
            jurisdiction=place.code,
            opened=acted.opened,
            strengthened=acted.strengthened,
            reopened=reopened,
            confirmed=confirmed,
        )


def _code(place: JurisdictionRef) -> str:
    return place.code


def _places() -> Sequence[JurisdictionRef]:
    with reading() as session:
        return jurisdictions.all_of_them(session)
