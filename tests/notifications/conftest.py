"""What the tests of telling share: events as the relay gives them, and one round of sending."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from core.outbox import Event
from geo import jurisdictions
from notifications.channels.folder import FolderCarrier
from notifications.delivery import Outcome, claim, record, send_all
from notifications.gathering import gather
from notifications.links import Links
from notifications.messages import Carrier
from notifications.vocabulary import Channel
from reports import catalogue

_event_ids = itertools.count(1)

LINKS = Links("https://riverain.example", "a key for tests only")


def new_event(
    name: str,
    subject_id: UUID | None,
    jurisdiction_id: int | None,
    *,
    at: datetime,
    **data: Any,
) -> Event:
    """An event as the relay hands it to `announce`."""
    return Event(next(_event_ids), name, subject_id, jurisdiction_id, data, None, at)


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    """The tests' database goes back in time; what processes remember of it must not."""
    jurisdictions.forget()
    catalogue.forget()
    yield
    jurisdictions.set_clock(time.monotonic)


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    """The mailbox folder."""
    return tmp_path / "outbox"


@pytest.fixture
def folder(outbox: Path) -> dict[Channel, Carrier]:
    """Everything into the mailbox folder."""
    carrier = FolderCarrier(outbox)
    return dict.fromkeys(Channel, carrier)


def send_due(
    session: Session, carriers: Mapping[Channel, Carrier], *, now: datetime
) -> list[Outcome]:
    """One round: claim, send, record."""
    claimed = claim(session, now=now)
    gathered = gather(session, claimed, LINKS)
    outcomes = send_all(claimed, gathered, carriers, now=now)
    record(session, outcomes, now=now, jitter=lambda: 0.0)
    session.expire_all()
    return outcomes


def letters(outbox: Path) -> list[str]:
    """The messages in the mailbox, in the order of their deliveries."""
    return [path.read_text() for path in sorted(outbox.glob("*.txt"))] if outbox.exists() else []
