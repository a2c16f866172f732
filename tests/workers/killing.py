"""A load of reports while something is killed, and what must be true when the dust has settled."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from core.models import DeadLetter, OutboxEvent
from notifications.models import Delivery
from reports.models import HistoryEntry, ServiceRequest
from tests.workers.installation import Installation

REPORTS = 500

#: After the recovery everything must be where it belongs within this time.
SETTLED_WITHIN_S = 90.0


def load_and_disturb(installation: Installation, disturb: Callable[[], None]) -> float:
    """Send the reports, disturb while they are on their way; how long it took to settle after."""
    codes = installation.load_city()
    installation.start_ours()
    sent = threading.Event()

    def send() -> None:
        for number in range(REPORTS):
            installation.submit(
                number, codes[number % len(codes)], email=f"personne-{number}@courriel.example"
            )
        sent.set()

    sender = threading.Thread(target=send)
    sender.start()
    # In the middle: some are through, some on their way, some not sent yet.
    installation.wait_until(lambda: _count(installation, triaged=True) >= 30, 60, "no report came")
    disturb()
    sender.join(timeout=120)
    assert sent.is_set()
    return installation.wait_until(
        installation.is_settled, SETTLED_WITHIN_S, "something still waits"
    )


def check(installation: Installation) -> None:
    """All are routed to the right team, once; everybody is told, once."""
    with installation.session() as session:
        rows = session.execute(
            sa.select(ServiceRequest.status, ServiceRequest.team_id, ServiceRequest.due_at)
        ).all()
        assert len(rows) == REPORTS
        assert Counter(row.status for row in rows) == {"triaged": REPORTS}
        assert all(row.team_id is not None and row.due_at is not None for row in rows)
        kinds = Counter(session.scalars(sa.select(HistoryEntry.kind)))
        assert kinds["routed"] == REPORTS
        assert kinds["located"] == REPORTS
        assert kinds["status"] == 2 * REPORTS
        states = Counter(session.scalars(sa.select(Delivery.state)))
        assert states == {"sent": REPORTS}
        assert session.scalar(sa.select(sa.func.count()).select_from(DeadLetter)) == 0
        left = sa.select(sa.func.count()).where(OutboxEvent.done_at.is_(None))
        assert session.scalar(left) == 0
    told = Counter(_recipient(path) for path in installation.outbox.iterdir())
    expected = {f"personne-{number}@courriel.example": 1 for number in range(REPORTS)}
    assert told == expected


def pause(seconds: float) -> None:
    """Let time pass."""
    time.sleep(seconds)


def _count(installation: Installation, *, triaged: bool) -> int:
    with installation.session() as session:
        found = sa.select(sa.func.count()).select_from(ServiceRequest)
        if triaged:
            found = found.where(ServiceRequest.triaged_at.is_not(None))
        return session.scalar(found) or 0


def _recipient(path: Path) -> str:
    for line in path.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() == "to":
            return value.strip().rpartition("<")[2].rstrip(">")
    raise AssertionError(f"{path} names no recipient")
