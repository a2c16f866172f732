"""Everything that happens by the clock, in one table.

Each job asks the database what is due, so a clock that stood still, started anew or ticks twice
does no harm. A job that waited longer than its interval is dropped: the next one does its work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workers.queues import DELIVERY_QUEUE, HOUSE_QUEUE, MEDIA_QUEUE


@dataclass(frozen=True, slots=True)
class Job:
    """A task and how often it runs."""

    task: str
    every_s: float
    what: str
    queue: str = HOUSE_QUEUE


JOBS = (
    Job("sweep.events", 10, "relay again what was relayed and lost"),
    Job(
        "sweep.deliveries",
        15,
        "send what is due: retries, the morning's, ended leases",
        DELIVERY_QUEUE,
    ),
    Job(
        "sweep.forwardings",
        15,
        "hand over what is due to other systems: retries, tokens, ended leases",
        DELIVERY_QUEUE,
    ),
    Job(
        "downstream.poll",
        30,
        "ask other systems, each when it is due, what became of reports",
        DELIVERY_QUEUE,
    ),
    Job("sweep.photos", 900, "clean photos that were staged and forgotten"),
    Job(
        "sweep.linked_photos",
        30,
        "fetch photos that came as addresses and are due again",
        MEDIA_QUEUE,
    ),
    Job(
        "sweep.places", 600, "ask the geocoder again about reports without a place", DELIVERY_QUEUE
    ),
    Job("reports.close_resolved", 300, "close what was resolved long enough ago"),
    Job("notifications.digests", 60, "write to teams about new and overdue work"),
    Job("audit.seal", 60, "seal the audit log's new entries in its hash chain"),
    Job("clean.outbox", 60, "forget events that were done a week ago"),
    Job("clean.sign_ins", 3600, "forget sessions, links and invitations that are over"),
    Job("clean.kept_answers", 600, "forget answers kept for clients that retry"),
    Job("clean.filed_contents", 600, "forget what Open311 clients might have sent twice"),
    Job("clean.geocodes", 3600, "forget geocodings that are too old"),
    Job("retention.run", 3600, "forget people and photos of what is long over", MEDIA_QUEUE),
    Job("forecasts.recompute", 3600, "compute, where it is night, how long reports usually take"),
    Job("adoptions.keep", 300, "remind adopters, ask the next in line, end what lapsed"),
    Job("roads.act", 3600, "tell cities, once a day each, of defects, and ask about repairs"),
    Job("roads.count_coverage", 3600, "count where phones drove and where nobody did"),
    Job(
        "campaigns.keep", 120, "send what the calendar says, ask whether it is clear, end campaigns"
    ),
    Job(
        "weather.look",
        900,
        "ask for the weather, and tell adopters when it matters",
        DELIVERY_QUEUE,
    ),
    Job("clean.traces", 3600, "forget old messages and errors, and accounts without use"),
    Job("clean.asset_photos", 3600, "delete photos of assets that are over", MEDIA_QUEUE),
    Job("clean.trips", 3600, "forget trips, device keys and traces that are over", HOUSE_QUEUE),
    Job("clean.staged_files", 3600, "delete bytes that no photo waits for", MEDIA_QUEUE),
)


def beat_schedule() -> dict[str, dict[str, Any]]:
    """The table as Celery's beat wants it."""
    return {
        job.task: {
            "task": job.task,
            "schedule": job.every_s,
            "options": {"queue": job.queue, "expires": job.every_s},
        }
        for job in JOBS
    }
