"""A team that lives in another system, and a clock to hand reports over by, step by step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.models import Team
from core.clock import utc_now
from core.outgoing import Allowance
from geo.models import Jurisdiction
from open311 import polling
from open311.client import Remote
from open311.downstream import Endpoint, EndpointSpec, endpoints, load_endpoints
from open311.downstream_models import DownstreamEndpoint, Forwarding, ForwardingAttempt
from open311.forwarding import calling, claiming, health, queueing, recording
from open311.forwarding.jobs import Job, Outcome
from reports.models import Note, Service, ServiceRequest
from reports.vocabulary import NoteKind, Status
from tests.factories import new_jurisdiction, new_report, new_service, new_team, stored
from tests.open311.foreign import Foreign

KEYS = {"lampes": "the key of the lamps"}
ALLOW = Allowance.parse("127.0.0.0/8")
BASE = "https://ville.example"


@dataclass(slots=True)
class Handing:
    """The client side, whose clock a test moves."""

    session: Session
    foreign: Foreign
    city: Jurisdiction
    team: Team
    service: Service
    now: datetime = field(default_factory=utc_now)
    keys: dict[str, str] = field(default_factory=lambda: dict(KEYS))
    timeout_s: float = 1.0
    words: int = 0

    @property
    def endpoint(self) -> Endpoint:
        [found] = endpoints(self.session).values()
        return found

    @property
    def endpoint_row(self) -> DownstreamEndpoint:
        [row] = stored(self.session, DownstreamEndpoint)
        return row  # type: ignore[no-any-return]

    def later(self, **span: float) -> None:
        """Let time pass."""
        self.now += timedelta(**span)

    def report(self, **values: Any) -> ServiceRequest:
        """A report that was routed to the team a minute ago."""
        self.words += 1
        given: dict[str, Any] = {
            "status": Status.TRIAGED,
            "team": self.team,
            "requested_at": self.now - timedelta(minutes=1),
            "description": f"La lampe numéro {self.words} ne brûle plus depuis hier soir.",
        }
        return new_report(self.session, self.service, **(given | values))

    def queue(self, *reports: ServiceRequest, is_routed: bool = True) -> list[UUID]:
        return queueing.enqueue(
            self.session, {report.id: is_routed for report in reports}, now=self.now
        )

    def claim(self, **options: Any) -> list[Job]:
        return claiming.claim(self.session, now=self.now, base_url=BASE, **options)

    def carry_out(self, jobs: Sequence[Job], **options: Any) -> list[Outcome]:
        return calling.carry_out(jobs, self.remote, now=self.now, **options)

    def record(self, outcomes: Sequence[Outcome]) -> Counter[str]:
        return recording.record(self.session, outcomes, now=self.now, jitter=lambda: 0.5)

    def step(self) -> Counter[str]:
        """One batch, whole."""
        return self.record(self.carry_out(self.claim()))

    def run(self, **span: float) -> Counter[str]:
        """Let the beat tick every quarter of a minute (or a longer stride) for so long."""
        until = self.now + timedelta(**span)
        counts: Counter[str] = Counter()
        while self.now < until:
            done = self.step()
            counts += done
            if not done:
                due = self.session.scalar(
                    sa.select(sa.func.min(Forwarding.next_attempt_at)).where(
                        Forwarding.state == "waiting"
                    )
                )
                if due is None:
                    break
                self.now = max(self.now + timedelta(seconds=15), due)
        return counts

    def remote(self, endpoint: Endpoint) -> Remote | None:
        address = endpoint.address(self.keys)
        if address is None:
            return None
        return Remote(address, ALLOW, timeout_s=self.timeout_s, reading_timeout_s=self.timeout_s)

    def poll(self) -> Counter[str]:
        """Ask the endpoint, if it is due, and take in what it says."""
        counts: Counter[str] = Counter()
        for one in polling.claim(self.session, now=self.now):
            remote = self.remote(one.endpoint)
            assert remote is not None
            heard = polling.ask(one, remote)
            remote.close()
            for step in heard.updates:
                counts[polling.take_update(self.session, one.endpoint, step, now=self.now)] += 1
            fresh = polling.news_among(self.session, one.endpoint, heard.requests, now=self.now)
            for found in fresh:
                counts[polling.take_status(self.session, one.endpoint, found, now=self.now)] += 1
            polling.note_missing(self.session, one.endpoint, heard.missing, now=self.now)
            counts["missing"] += len(heard.missing)
            health.note_health(self.session, one.endpoint.id, heard.results, now=self.now)
            polling.finish(self.session, one, is_whole=heard.is_whole, now=self.now)
        return +counts

    def forwarding_of(self, report: ServiceRequest) -> Forwarding:
        [row] = stored(self.session, Forwarding, report_id=report.id)
        return row  # type: ignore[no-any-return]

    def attempts_of(self, report: ServiceRequest) -> list[str | None]:
        name = self.forwarding_of(report).id
        return [one.outcome for one in stored(self.session, ForwardingAttempt, forwarding_id=name)]

    def notes_of(self, report: ServiceRequest, kind: NoteKind = NoteKind.INTERNAL) -> list[str]:
        found = stored(self.session, Note, report_id=report.id, kind=kind.value)
        return [note.body for note in sorted(found, key=lambda note: note.created_at)]


def settle(session: Session, foreign: Foreign, **spec: Any) -> Handing:
    """A city with one team, which lives in that system."""
    city = new_jurisdiction(session, code="ville")
    team = new_team(session, city, code="eclairage")
    service = new_service(session, city, code="lampe")
    given = {"key": "lampes", **spec}
    load_endpoints(
        session,
        city.id,
        [EndpointSpec(code="lampes", url=foreign.url, **given)],
        {"eclairage": "lampes"},
    )
    return Handing(session, foreign, city, team, service)
