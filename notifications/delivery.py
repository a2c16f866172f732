"""Sending what was queued, in three steps, so that no transaction is open while a provider answers.

    with transaction() as session:
        claimed = claim(session, now=now, ids=ids)          # these are ours until the lease ends
        gathered = gather(session, claimed, links)          # notifications.gathering
    outcomes = send_all(claimed, gathered, carriers, now=now)
    with transaction() as session:
        record(session, outcomes, now=now)

Killed before the last step, the lease runs out and somebody sends again: at most that one message
twice, under the same Message-ID; into a folder never twice. What fails comes back after a growing
wait, without a task that waits: the beat calls the same steps without ids.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import jinja2
import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from core.outbox import Happening, emit_many
from notifications import rendering
from notifications.events import DELIVERY_QUEUED
from notifications.gathering import Gathered
from notifications.messages import Carriers, Claimed, Message, NotSent, Result, Sent
from notifications.models import Delivery, PushSubscription, WebhookEndpoint
from notifications.queueing import BATCH
from notifications.rules import (
    ENDPOINT_PATIENCE,
    MAX_ATTEMPTS,
    OF_ACCOUNTS,
    QUIET_BY_DEFAULT,
    after_failure,
    quiet_of,
    send_from,
)
from notifications.vocabulary import Channel, DeliveryState, Fault, Occasion, RecipientKind

log = structlog.get_logger()

#: How long claimed deliveries are ours. Longer than a task may run, so that nobody takes over what
#: is still being sent.
LEASE = timedelta(seconds=180)

#: After so long no further message of a batch is begun: the rest goes back untried.
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one claimed delivery; `result` is None when its turn did not come.

    Attributes:
        not_before: when its turn may come, where it must wait for the morning.
    """

    claimed: Claimed
    result: Result | None
    not_before: datetime | None = None


def claim(
    session: Session,
    *,
    now: datetime,
    ids: Collection[UUID] | None = None,
    limit: int = BATCH,
    lease: timedelta = LEASE,
) -> list[Claimed]:
    """Take deliveries that are due, oldest first; nobody else gets them until the lease ends.

    Of `ids` those that are due, or of all. What another worker holds is skipped. An attempt counts
    from here, so that a message that kills its sender is not sent for ever.
    """
    due = (
        sa.select(Delivery.id)
        .where(
            Delivery.state.in_([DeliveryState.PENDING.value, DeliveryState.SENDING.value]),
            Delivery.next_attempt_at <= now,
        )
        .order_by(Delivery.next_attempt_at, Delivery.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    if ids is not None:
        due = due.where(Delivery.id.in_(ids))
    chosen = due.cte("due")
    rows = session.execute(
        sa.update(Delivery)
        .where(Delivery.id == chosen.c.id)
        .values(
            state=sa.case(
                (Delivery.attempts >= MAX_ATTEMPTS, DeliveryState.DEAD.value),
                else_=DeliveryState.SENDING.value,
            ),
            last_fault=sa.case(
                (Delivery.attempts >= MAX_ATTEMPTS, "try_again: lease expired"),
                else_=Delivery.last_fault,
            ),
            attempts=Delivery.attempts + 1,
            next_attempt_at=now + lease,
        )
        .returning(
            Delivery.id,
            Delivery.event_id,
            Delivery.event,
            Delivery.jurisdiction_id,
            Delivery.report_id,
            Delivery.recipient_kind,
            Delivery.recipient_id,
            Delivery.channel,
            Delivery.locale,
            Delivery.data,
            Delivery.attempts,
            Delivery.created_at,
            Delivery.state,
        )
        .execution_options(synchronize_session=False)
    ).all()
    claimed = [
        Claimed(
            id=row.id,
            event_id=row.event_id,
            event=row.event,
            jurisdiction_id=row.jurisdiction_id,
            report_id=row.report_id,
            recipient_kind=RecipientKind(row.recipient_kind),
            recipient_id=row.recipient_id,
            channel=Channel(row.channel),
            locale=row.locale,
            data=row.data,
            attempts=row.attempts,
            created_at=row.created_at,
        )
        for row in rows
        if row.state == DeliveryState.SENDING
    ]
    return sorted(claimed, key=lambda one: one.id)


def send_all(
    claimed: Sequence[Claimed],
    gathered: Gathered,
    carriers: Carriers,
    *,
    now: datetime,
    patience_s: float = PATIENCE_S,
) -> list[Outcome]:
    """Make and hand over each message; what came of each. Outside any transaction.

    One that cannot be made or sent does not hold up the others. What was queued by day and comes to
    be sent at night, by a repeat or after a standstill, waits for the morning. Carriers are closed
    at the end.
    """
    stop_at = time.monotonic() + patience_s
    outcomes: list[Outcome] = []
    try:
        for one in claimed:
            if time.monotonic() > stop_at:
                outcomes.append(Outcome(one, None))
                continue
            if (morning := _morning(one, gathered, now)) is not None:
                outcomes.append(Outcome(one, None, morning))
                continue
            outcomes.append(Outcome(one, _send(one, gathered, carriers, now)))
    finally:
        for carrier in set(carriers.values()):
            carrier.close()
    return outcomes


def record(
    session: Session,
    outcomes: Sequence[Outcome],
    *,
    now: datetime,
    jitter: Callable[[], float] = random.random,
) -> None:
    """Note what came of the deliveries: sent, to be tried again, gone, or dead.

    A late word of a worker whose lease has run out changes nothing, unless it is that the message
    was sent: that is true whoever holds it now.
    """
    sent = [(outcome.claimed.id, outcome.result.provider_id) for outcome in outcomes
            if isinstance(outcome.result, Sent)]  # fmt: skip
    if sent:
        told = (
            sa.select(
                sa.func.unnest(
                    sa.cast([each for each, _ in sent], postgresql.ARRAY(sa.Uuid()))
                ).label("id"),
                sa.func.unnest(
                    sa.cast([name for _, name in sent], postgresql.ARRAY(sa.Text()))
                ).label("provider_id"),
            )
        ).subquery("told")
        session.execute(
            sa.update(Delivery)
            .where(Delivery.id == told.c.id, Delivery.state != DeliveryState.SENT.value)
            .values(
                state=DeliveryState.SENT.value,
                sent_at=now,
                provider_id=told.c.provider_id,
                last_fault=None,
            )
            .execution_options(synchronize_session=False)
        )
    _record_failures(session, outcomes, now, jitter)
    _give_back(session, [outcome for outcome in outcomes if outcome.result is None], now)
    _record_recipients(session, outcomes, now)


def retry_dead(session: Session, ids: Collection[UUID] | None, *, now: datetime) -> list[UUID]:
    """Queue dead letters anew, all of them when no id is given; the ids of those that were."""
    change = (
        sa.update(Delivery)
        .where(Delivery.state == DeliveryState.DEAD.value)
        .values(state=DeliveryState.PENDING.value, attempts=0, next_attempt_at=now)
        .returning(Delivery.id)
        .execution_options(synchronize_session=False)
    )
    if ids is not None:
        change = change.where(Delivery.id.in_(ids))
    again = sorted(session.scalars(change))
    emit_many(
        session,
        DELIVERY_QUEUED,
        [
            Happening(None, None, {"delivery_ids": [str(each) for each in again[at : at + BATCH]]})
            for at in range(0, len(again), BATCH)
        ],
    )
    return again


def _morning(one: Claimed, gathered: Gathered, now: datetime) -> datetime | None:
    """When the quiet hours end that keep this message from being sent now; None: nothing does."""
    if one.channel not in QUIET_BY_DEFAULT or one.event in OF_ACCOUNTS:
        return None
    place = gathered.places.get(one.jurisdiction_id)
    if place is None:
        return None
    quiet = quiet_of(one.channel, place.policy)
    allowed = send_from(Occasion(one.event), now, one.created_at, place.time_zone, quiet)
    return allowed if allowed > now else None


def _send(one: Claimed, gathered: Gathered, carriers: Carriers, now: datetime) -> Result:
    carrier = carriers.get(one.channel)
    if carrier is None:
        return NotSent(Fault.OUR_BUG, f"{one.channel} is not set up")
    try:
        message = rendering.message(gathered, one, now=now, with_html=carrier.reads_html)
    except (jinja2.TemplateError, LookupError, ValueError, TypeError) as error:
        # The batch goes on; the letter waits for whoever repairs the template or the row.
        log.exception("delivery.unrenderable", delivery_id=str(one.id), message=one.event)
        return NotSent(Fault.OUR_BUG, f"rendering {type(error).__name__}")
    if not isinstance(message, Message):
        return message
    return carrier.send(message, now)


def _record_failures(
    session: Session, outcomes: Sequence[Outcome], now: datetime, jitter: Callable[[], float]
) -> None:
    values: dict[str, list[object]] = defaultdict(list)
    for outcome in outcomes:
        if not isinstance(outcome.result, NotSent):
            continue
        one, failed = outcome.claimed, outcome.result
        verdict = after_failure(
            failed.fault, one.attempts, now, jitter(), asked_wait_s=failed.retry_after_s
        )
        if verdict.state is DeliveryState.DEAD:
            log.error(
                "delivery.dead",
                delivery_id=str(one.id),
                channel=one.channel.value,
                fault=failed.fault.value,
                reason=failed.reason,
            )
        values["id"].append(one.id)
        values["attempts"].append(one.attempts)
        values["state"].append(verdict.state.value)
        values["next_attempt_at"].append(verdict.next_attempt_at)
        values["last_fault"].append(f"{failed.fault}: {failed.reason}")
    if not values:
        return
    kinds: dict[str, sa.types.TypeEngine[Any]] = {
        "id": sa.Uuid(),
        "attempts": sa.Integer(),
        "state": sa.Text(),
        "next_attempt_at": sa.DateTime(timezone=True),
        "last_fault": sa.Text(),
    }
    told = sa.select(
        *(
            sa.func.unnest(sa.cast(values[name], postgresql.ARRAY(kind))).label(name)
            for name, kind in kinds.items()
        )
    ).subquery("told")
    session.execute(
        sa.update(Delivery)
        .where(
            Delivery.id == told.c.id,
            Delivery.state == DeliveryState.SENDING.value,
            Delivery.attempts == told.c.attempts,
        )
        .values(
            state=told.c.state,
            next_attempt_at=told.c.next_attempt_at,
            last_fault=told.c.last_fault,
        )
        .execution_options(synchronize_session=False)
    )


def _give_back(session: Session, untried: Sequence[Outcome], now: datetime) -> None:
    """Those whose turn did not come have not been tried."""
    by_turn: dict[datetime, list[UUID]] = defaultdict(list)
    for outcome in untried:
        by_turn[outcome.not_before or now].append(outcome.claimed.id)
    for turn, ids in by_turn.items():
        session.execute(
            sa.update(Delivery)
            .where(Delivery.id.in_(ids), Delivery.state == DeliveryState.SENDING.value)
            .values(
                state=DeliveryState.PENDING.value,
                attempts=Delivery.attempts - 1,
                next_attempt_at=turn,
            )
            .execution_options(synchronize_session=False)
        )


def _record_recipients(session: Session, outcomes: Sequence[Outcome], now: datetime) -> None:
    """What failures and successes say of browsers and endpoints themselves."""
    gone = [
        UUID(o.claimed.recipient_id)
        for o in outcomes
        if o.claimed.recipient_kind is RecipientKind.BROWSER
        and isinstance(o.result, NotSent)
        and o.result.fault is Fault.GIVE_UP_ON_RECIPIENT
        and o.result.reason.startswith("push ")
    ]
    if gone:
        session.execute(
            sa.update(PushSubscription)
            .where(PushSubscription.id.in_(gone), PushSubscription.gone_at.is_(None))
            .values(gone_at=now)
            .execution_options(synchronize_session=False)
        )
    called: dict[UUID, Result] = {}
    for outcome in outcomes:
        if outcome.claimed.recipient_kind is RecipientKind.WEBHOOK and outcome.result is not None:
            endpoint_id = UUID(outcome.claimed.recipient_id)
            # One good answer in a batch shows that the endpoint lives.
            if not isinstance(called.get(endpoint_id), Sent):
                called[endpoint_id] = outcome.result
    well = [each for each, result in called.items() if isinstance(result, Sent)]
    ill = [each for each, result in called.items() if _is_endpoints_fault(result)]
    over = [
        each
        for each, result in called.items()
        if isinstance(result, NotSent) and result.reason == "webhook 410"
    ]
    if well:
        session.execute(
            sa.update(WebhookEndpoint)
            .where(WebhookEndpoint.id.in_(well), WebhookEndpoint.failing_since.is_not(None))
            .values(failing_since=None)
            .execution_options(synchronize_session=False)
        )
    if ill:
        session.execute(
            sa.update(WebhookEndpoint)
            .where(WebhookEndpoint.id.in_(ill))
            .values(
                failing_since=sa.func.coalesce(WebhookEndpoint.failing_since, now),
                disabled_at=sa.case(
                    (WebhookEndpoint.disabled_at.is_not(None), WebhookEndpoint.disabled_at),
                    (WebhookEndpoint.id.in_(over), now),
                    (WebhookEndpoint.failing_since <= now - ENDPOINT_PATIENCE, now),
                    else_=None,
                ),
            )
            .execution_options(synchronize_session=False)
        )


def _is_endpoints_fault(result: Result) -> bool:
    return isinstance(result, NotSent) and result.reason.startswith("webhook ")
