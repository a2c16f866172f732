"""Talking to the systems in which teams live: claim, call, record, with nothing open in between.

What happens in each step is `open311`'s business (`open311.forwarding`, `open311.polling`); here
are the transactions around them. Killed anywhere, the lease runs out and the next one goes on.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from uuid import UUID

import structlog
from flask import current_app

from core.clock import utc_now
from core.db import transaction
from core.outgoing import Allowance
from open311 import polling
from open311.answers import ForeignRequest, ForeignUpdate
from open311.client import Remote
from open311.downstream import Endpoint
from open311.forwarding import calling, claiming, health, queueing, recording
from open311.polling import Heard, Round
from workers.reacting import Counts, each_alone

log = structlog.get_logger()

#: A sweep begins no further batch, and polling no further endpoint, after so long.
_SWEEPING_S, _POLLING_S = 10.0, 40.0


def hand_over(ids: Collection[UUID] | None) -> Counts:
    """Carry out one batch of forwardings that are due: of these, or of all."""
    settings = current_app.extensions["settings"]
    with transaction() as session:
        jobs = claiming.claim(session, now=utc_now(), base_url=settings.base_url, ids=ids)
    if not jobs:
        return {}
    outcomes = calling.carry_out(jobs, remote_of, now=utc_now())
    with transaction() as session:
        counts = recording.record(session, outcomes, now=utc_now())
    return {"claimed": len(jobs), **counts}


def hand_over_due() -> int:
    """Carry out all forwardings that are due now, batch by batch; how many were claimed."""
    total = 0
    stop_at = time.monotonic() + _SWEEPING_S
    while time.monotonic() < stop_at:
        claimed = hand_over(None).get("claimed", 0)
        total += claimed
        if claimed < queueing.BATCH:
            break
    return total


def poll() -> Counts:
    """Ask the endpoints that are due what became of what they were handed."""
    stop_at = time.monotonic() + _POLLING_S
    counts = {"endpoints": 0, "moved": 0}
    while time.monotonic() < stop_at:
        with transaction() as session:
            rounds = polling.claim(session, now=utc_now())
        if not rounds:
            break
        counts["endpoints"] += len(rounds)
        counts["moved"] += sum(_round(one) for one in rounds)
    return counts


def _round(one: Round) -> int:
    """Ask one endpoint and take in what it says; how many reports moved."""
    remote = remote_of(one.endpoint)
    if remote is None:
        log.warning("downstream.no_key", endpoint=one.endpoint.name, key=one.endpoint.spec.key)
        return _take_in(one, Heard(is_whole=False))
    try:
        heard = polling.ask(one, remote)
    finally:
        remote.close()
    return _take_in(one, heard)


def remote_of(endpoint: Endpoint) -> Remote | None:
    """The line to an endpoint; None while the setting lacks its key."""
    settings = current_app.extensions["settings"]
    address = endpoint.address(settings.downstream_keys)
    if address is None:
        return None
    return Remote(address, Allowance.parse(settings.outgoing_allow))


def _take_in(one: Round, heard: Heard) -> int:
    """Each step and each status in a transaction of its own: one that fails stops no other."""
    endpoint = one.endpoint

    def take_update(step: ForeignUpdate) -> str:
        with transaction() as session:
            return polling.take_update(session, endpoint, step, now=utc_now())

    def take_status(found: ForeignRequest) -> str:
        with transaction() as session:
            return polling.take_status(session, endpoint, found, now=utc_now())

    outcomes = each_alone("downstream.failed", heard.updates, take_update)
    # A step that could not be taken in is read again: the window stays where it is.
    is_whole = heard.is_whole and None not in outcomes
    with transaction() as session:
        fresh = polling.news_among(session, endpoint, heard.requests, now=utc_now())
    outcomes += each_alone("downstream.failed", fresh, take_status)
    if endpoint.spec.list == "updated":
        is_whole = is_whole and None not in outcomes
    with transaction() as session:
        polling.note_missing(session, endpoint, heard.missing, now=utc_now())
        health.note_health(session, endpoint.id, heard.results, now=utc_now())
        polling.finish(session, one, is_whole=is_whole, now=utc_now())
    return outcomes.count("news")
